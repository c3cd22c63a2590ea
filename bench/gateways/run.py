"""The run: round by round each entrant does the rows, over one storage that lives through all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.client import Load, LoadFailed
from bench.gateways.rows import GIANT_ROWS
from bench.machine import durable_writes
from bench.processes import Processes
from bench.results import Results
from bench.rounds import Entrant, make_bucket, measure
from bench.rows import Row
from bench.servers import OURS
from bench.servers.place import Place, Running, ServerFailed


@dataclass(slots=True)
class Comparison:
    """What was measured. ``peaks``: bytes that an entrant's largest process held, per entrant and row."""

    results: Results
    peaks: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """What all rounds share. ``storage`` are the processes under all entrants."""

    program: Path
    directory: Path
    comparison: Comparison
    rows: tuple[Row, ...]
    giant: bool
    storage: Sequence[int]
    say: Callable[[str], None]

    def rounds(self, entrants: Sequence[Entrant]) -> None:
        """Do all rounds. A peer that fails is left out of the rest, and the results say why.

        Raises what kept s3shim from it: LoadFailed, ServerFailed, RuntimeError.
        """
        results = self.comparison.results
        for number in range(1, results.rounds + 1):
            for entrant in entrants:
                if entrant.name in results.failures:
                    continue
                results.durable_writes.append(durable_writes(self.directory))
                try:
                    self._round(entrant, number)
                except (ServerFailed, LoadFailed, RuntimeError) as failed:
                    if entrant.name == OURS:
                        raise
                    results.failures[entrant.name] = str(failed)
                    self.say(f"{entrant.name} failed: {failed}")

    def _round(self, entrant: Entrant, number: int) -> None:
        name = entrant.name
        directory = self.directory / f"{name}-{number}"
        # A gateway has a place of its own, so that its end is not that of the storage.
        with Place(directory) as place:
            gateway = entrant.start(place)
            # What an operation costs is what the gateway and the storage do for it.
            together = replace(gateway, roots=tuple(dict.fromkeys((*gateway.roots, *self.storage))))
            # Or a small answer in two pieces, as Garage sends it, waits for the client's acknowledgement.
            load = Load(self.program, together, f"{name}-{number}", quick_ack=True)
            make_bucket(load)
            for row in self.rows:
                self._row(name, number, row, load, gateway)
            memory = Processes(gateway.roots).memory(gateway.data)
            self.comparison.results.memory.setdefault(name, []).append(memory)
            if self.giant and name == OURS and number == 1:
                for row in GIANT_ROWS:
                    self._row(name, number, row, load, gateway)
        shutil.rmtree(directory, ignore_errors=True)

    def _row(self, name: str, number: int, row: Row, load: Load, gateway: Running) -> None:
        if not row.title:
            load.must(row.work)
            return
        sample = measure(name, number, row, load)
        self.comparison.results.samples.append(sample)
        peak = Processes(gateway.roots).peak()
        peaks = self.comparison.peaks.setdefault(name, {})
        peaks[row.name] = max(peak, peaks.get(row.name, 0))
        wrong = f"  {sample.errors} errors: {sample.first_error}" if sample.errors else ""
        self.say(
            f"round {number}  {name:10} {row.title:16} {sample.cpu_us or 0:11,.0f} us CPU/op "
            f"{sample.ops_per_s:8,.1f} ops/s  p50 {sample.p50_ms:9.2f} ms  peak {peak >> 20:6,} MiB{wrong}"
        )
