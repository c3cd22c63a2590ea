"""The numbers of this process, and what they come to with those of the other workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from s3shim.measures import Across, Kind, Measure, Samples
from s3shim.metrics.board import Board, Sheet, add

_EVERY = 1.0  # seconds between two looks of a worker at its own numbers

log = logging.getLogger(__name__)


class Numbers:
    """Counts the requests of this process; ``measures`` gives the numbers of its storage.

    A board that has no place for this process is not written to.
    """

    def __init__(
        self,
        version: str = "",
        backend: str = "",
        measures: Callable[[], list[Measure]] = list,
        board: Board | None = None,
    ) -> None:
        self.version = version
        self.backend = backend
        self._measures = measures
        self._board = board or Board()
        self._requests: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    @property
    def uptime(self) -> float:
        """Seconds since the service began."""
        return time.monotonic() - self._board.began

    def count(self, operation: str, status: int) -> None:
        """Count an answer; for any thread."""
        kind = operation, status
        with self._lock:
            self._requests[kind] = self._requests.get(kind, 0) + 1

    def start(self) -> None:
        """Show the numbers to the other workers, again and again, where there is a board for it."""
        if self._board.is_shared:
            self._board.show = self._show
            self._show()
            threading.Thread(target=self._run, name="s3shim-metrics", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_EVERY)
            try:
                self._show()
            except Exception:
                log.exception("the metrics of this worker are not shown")

    def _show(self) -> None:
        self._board.write(_sheet(self._own()))

    def all(self) -> list[Measure]:
        """Return the measures of the whole service: what others show is up to a second old."""
        own = self._own()
        self._board.write(_sheet(own))
        others = self._board.sheets()
        for measure in own:
            shown = [sheet.lasting if _lasts(measure) else sheet.passing for sheet in others]
            measure.samples = _together(measure, [samples.get(measure.name, {}) for samples in shown])
        return own

    def _own(self) -> list[Measure]:
        with self._lock:
            requests = dict(self._requests)
        return [
            Measure(
                "s3shim_build_info",
                "The version and the storage of the service; always 1.",
                Kind.GAUGE,
                {(self.version, self.backend): [1.0]},
                Across.ANY,
                ("version", "backend"),
            ),
            Measure.of(
                "process_start_time_seconds",
                "When the service began, in seconds since 1970.",
                Kind.GAUGE,
                self._board.started,
                Across.ANY,
            ),
            Measure.of("s3shim_workers", "Processes that serve requests.", Kind.GAUGE, 1),
            Measure(
                "s3shim_requests_total",
                "Requests that were answered.",
                Kind.COUNTER,
                {(operation, str(status)): [float(count)] for (operation, status), count in requests.items()},
                labels=("operation", "status"),
            ),
            *self._measures(),
        ]


def _lasts(measure: Measure) -> bool:
    return measure.kind is not Kind.GAUGE


def _sheet(measures: list[Measure]) -> Sheet:
    return Sheet(
        {measure.name: measure.samples for measure in measures if _lasts(measure)},
        {measure.name: measure.samples for measure in measures if not _lasts(measure)},
    )


def _together(measure: Measure, others: list[Samples]) -> Samples:
    found = {measure.name: dict(measure.samples)}
    for samples in others:
        if measure.across is Across.SUM:
            add(found, {measure.name: samples})
            continue
        for labels, numbers in samples.items():
            known = found[measure.name].setdefault(labels, numbers)
            if measure.across is Across.LEAST:
                found[measure.name][labels] = list(map(min, known, numbers))
    return found[measure.name]
