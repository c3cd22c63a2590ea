"""The run: round by round each gateway does the rows, over one nats-server that lives through all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Load
from bench.machine import durable_writes
from bench.nats.rows import GIANT_ROWS
from bench.processes import Processes
from bench.results import Results
from bench.rounds import make_bucket, measure
from bench.rows import Row
from bench.servers import OURS, clusters, singles
from bench.servers.place import Place, Running

PEER = "nats-s3"
# The gateway has a place of its own in the same run, so that its end is not that of the nats-server.
Start = Callable[[Place, int], Running]


def s3shim(place: Place, port: int) -> Running:
    """Start s3shim of this tree on the nats-server at ``port``."""
    return singles.s3shim(place, storage=singles.over_nats(port))


GATEWAYS: dict[str, Start] = {OURS: s3shim, PEER: clusters.nats_s3_on}


@dataclass(slots=True)
class Comparison:
    """What was measured. ``peaks``: bytes that a gateway's largest process held, per gateway and row."""

    results: Results
    peaks: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """What all rounds share."""

    program: Path
    directory: Path
    comparison: Comparison
    rows: tuple[Row, ...]
    giant: bool
    say: Callable[[str], None]

    def rounds(self, gateways: list[str]) -> None:
        """Do all rounds. Raises LoadFailed, ServerFailed, RuntimeError."""
        with Place(self.directory / "nats") as place:
            port = clusters.nats_server(place).port
            for number in range(1, self.comparison.results.rounds + 1):
                for name in gateways:
                    self.comparison.results.durable_writes.append(durable_writes(self.directory))
                    self._round(name, number, port, place.roots)

    def _round(self, name: str, number: int, port: int, storage: list[int]) -> None:
        directory = self.directory / f"{name}-{number}"
        with Place(directory) as place:
            gateway = GATEWAYS[name](place, port)
            # What an operation costs is what both processes do for it.
            both = Running(
                gateway.endpoint,
                gateway.access_key,
                gateway.secret_key,
                (*gateway.roots, *storage),
                gateway.data,
            )
            load = Load(self.program, both, f"{name}-{number}")
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
            f"round {number}  {name:8} {row.title:16} {sample.cpu_us or 0:11,.0f} us CPU/op "
            f"{sample.ops_per_s:8,.1f} ops/s  p50 {sample.p50_ms:9.2f} ms  peak {peak >> 20:6,} MiB{wrong}"
        )
