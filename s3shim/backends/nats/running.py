"""The life of the storage in a process, and what it tells of itself there."""

from __future__ import annotations

from s3shim.backends.nats.measuring import Measuring
from s3shim.backends.nats.rounds import Rounds


class Running(Measuring):
    """The calls of Backend that begin and end it."""

    _rounds: Rounds | None = None

    def start(self) -> None:
        """See Backend. Returns without a connection where there is none yet."""
        super().start()
        self._rounds = Rounds(self.store, self.settings.upload_expiry)
        self._rounds.start()

    def close(self) -> None:
        """See Backend."""
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.stop()
        super().close()
        if rounds is not None:
            rounds.join()
