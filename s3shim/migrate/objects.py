"""What is done about one object, as often as it changes meanwhile and as storages want to be asked again."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import ATTEMPTS, PASSING, Changed, Damaged, Unreadable, pause_after
from s3shim.migrate.looking import look_at_source, look_at_target
from s3shim.migrate.progress import Mode, Outcome, Progress, Settled
from s3shim.migrate.steps import Steps
from s3shim.model import ObjectRef


class Settle:
    """Settles objects in one of the modes, from any number of threads."""

    def __init__(self, source: Backend, target: Backend, mode: Mode, progress: Progress) -> None:
        self._source = source
        self._target = target
        steps = Steps(source, target, progress)
        self._step = {Mode.MIGRATE: steps.migrate, Mode.PLAN: steps.plan, Mode.VERIFY: steps.verify}[mode]
        self._progress = progress

    def __call__(self, ref: ObjectRef) -> Settled:
        """Do it. Raises what ``progress.pause`` and ``progress.moved`` raise."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                wanted = look_at_source(self._source, ref)
                if wanted is None:
                    return Settled(Outcome.GONE)
                return self._step(ref, wanted, look_at_target(self._target, ref))
            except Changed:
                if last:
                    return Settled(Outcome.FAILED, "it changes again and again")
            except Damaged as damage:
                return Settled(Outcome.FAILED, f"the source is damaged: {damage}")
            except Unreadable as failure:
                if last or failure.error.code not in PASSING:
                    return _failed("source", failure.error)
            except S3Error as error:
                if last or error.code not in PASSING:
                    return _failed("destination", error)
            self._progress.pause(pause_after(attempt))
        raise AssertionError("the last attempt returns")


def _failed(where: str, error: S3Error) -> Settled:
    unavailable = error.code in PASSING or error.code is Code.InsufficientStorage
    return Settled(Outcome.FAILED, f"the {where} answers {error.code.name}: {error.message}", unavailable)
