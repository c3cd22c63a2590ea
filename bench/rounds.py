"""The run: round 1 of every server, then round 2 of every server, each on an empty directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import Load, LoadFailed, Work
from bench.machine import durable_writes
from bench.processes import Processes
from bench.results import Results, Sample
from bench.rows import CLEANING, ROWS, Row, scaled
from bench.servers import OURS
from bench.servers.place import Place, Running, ServerFailed

# A server may still be busy for a moment with what it has answered: its log, its buffers.
_SETTLING = 0.1

_READY_TRIES = 50
_BUCKET, _NO_BUCKET = Work("bucket"), Work("drop")


@dataclass(frozen=True, slots=True)
class Entrant:
    """A server that takes part: its name and its start."""

    name: str
    start: Callable[[Place], Running]
    lives_on: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What all rounds share."""

    program: Path
    directory: Path
    results: Results
    bucket: str
    scale: float
    say: Callable[[str], None]

    def rounds(self, entrants: Sequence[Entrant]) -> None:
        """Do all rounds. A peer that fails is left out of the rest, and the results say why.

        Raises what kept s3shim from it: ServerFailed, LoadFailed, RuntimeError.
        """
        for number in range(1, self.results.rounds + 1):
            for entrant in entrants:
                if entrant.name in self.results.failures:
                    continue
                self.results.durable_writes.append(durable_writes(self.directory))
                try:
                    self._round(entrant, number)
                except (ServerFailed, LoadFailed, RuntimeError) as failed:
                    if entrant.name == OURS:
                        raise
                    self.results.failures[entrant.name] = str(failed)
                    self.say(f"{entrant.name} failed: {failed}")

    def _round(self, entrant: Entrant, number: int) -> None:
        directory = self.directory / f"{entrant.name}-{number}"
        try:
            with Place(directory) as place:
                server = entrant.start(place)
                load = Load(self.program, server, self.bucket)
                make_bucket(load)
                for row in ROWS:
                    self._row(entrant.name, number, load, scaled(row, self.scale))
                if server.roots:
                    memory = Processes(server.roots).memory(server.data)
                    self.results.memory.setdefault(entrant.name, []).append(memory)
                if entrant.lives_on:
                    clean(load)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _row(self, name: str, number: int, load: Load, row: Row) -> None:
        if not row.title:
            load.run(row.work)
            return
        sample = measure(name, number, row, load)
        self.results.samples.append(sample)
        cpu = "-" if sample.cpu_us is None else f"{sample.cpu_us:,.0f}"
        wrong = f"  {sample.errors} errors: {sample.first_error}" if sample.errors else ""
        self.say(
            f"round {number}  {name:10} {row.title:20} {cpu:>9} us CPU/op {sample.ops_per_s:9,.1f} ops/s"
            f"  p50 {sample.p50_ms:8.2f}  p99 {sample.p99_ms:8.2f} ms{wrong}"
        )


def measure(name: str, number: int, row: Row, load: Load) -> Sample:
    """Do the work of a row and return what it cost."""
    processes = Processes(load.server.roots)
    before = [0.0, 0.0]

    def began() -> None:
        before[:] = processes.cpu(), processes.written()

    found = load.run(row.work, began)
    time.sleep(_SETTLING)
    cpu, written = processes.cpu() - before[0], processes.written() - before[1]
    ops = max(1, int(found["ops"]))
    local = bool(load.server.roots)
    return Sample(
        server=name,
        round=number,
        row=row.name,
        ops=int(found["ops"]),
        errors=int(found["errors"]),
        first_error=str(found.get("first_error", "")),
        ops_per_s=float(found["ops_per_s"]),
        p50_ms=float(found["p50_ms"]),
        p99_ms=float(found["p99_ms"]),
        client_cpu_us=float(found["client_cpu_us"]),
        cpu_us=cpu * 1e6 / ops if local else None,
        written=written / ops if local else None,
    )


def make_bucket(load: Load) -> None:
    """Make the bucket; a server that is still coming up is asked again. Raises LoadFailed."""
    for left in reversed(range(_READY_TRIES)):
        try:
            load.must(_BUCKET)
            return
        except LoadFailed:
            if not left:
                raise
            time.sleep(0.2)


def clean(load: Load) -> None:
    """Remove what is left of a round, and the bucket."""
    for work in CLEANING:
        load.must(work)
    load.must(_NO_BUCKET)
