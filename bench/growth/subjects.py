"""The subjects: what is made larger, step by step, and the work that is done at each step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.client import Load, Work
from bench.growth.fill import PREFIX, SIZE, fill
from bench.growth.points import Growth, Point
from bench.rounds import make_bucket, measure
from bench.rows import MIB, Row
from bench.servers.place import Place, Running
from bench.servers.singles import s3shim
from conformance.server import disk_usage

OBJECTS = (1_000, 10_000, 100_000, 1_000_000)
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
WORKERS = (1, 2, 3, 4)
SIZES = (0, 1 << 10, 16 << 10, 64 << 10, 256 << 10, MIB, 16 * MIB, 128 * MIB, 1024 * MIB)

# From an object to the next one that is asked for: far away in every bucket, and prime.
_STRIDE = 7919

# How many bytes a step of the sizes moves, where that is not too many or too few operations.
_VOLUME, _MOST, _LEAST = 512 * MIB, 400, 2


@dataclass(frozen=True, slots=True)
class Study:
    """What all subjects share. ``largest`` bounds the objects of a bucket."""

    program: Path
    directory: Path
    growth: Growth
    rounds: int
    largest: int
    say: Callable[[str], None]

    def row(self, load: Load, subject: str, place: float, series: str, work: Work) -> None:
        """Do the work of one row of one step."""
        sample = measure(subject, 0, Row(series, work, series), load)
        self.growth.add(subject, place, series, sample)
        self.say(
            f"{subject:8} {place:>13,}  {series:7} {sample.cpu_us or 0:11,.0f} us CPU/op "
            f"{sample.ops_per_s:9,.1f} ops/s  p50 {sample.p50_ms:8.2f}  p99 {sample.p99_ms:8.2f} ms"
        )

    def load(self, server: Running) -> Load:
        """Return the load generator for a server of this run."""
        return Load(self.program, server)


def objects(study: Study) -> None:
    """A bucket that grows. Puts and deletes are spread over all of its keys, and so are gets and pages."""
    home = study.directory / "objects"
    data = home / "data"
    _served(study, home, make_bucket)
    before = 0
    for count in (count for count in OBJECTS if count <= study.largest):
        began = time.monotonic()
        fill(data, "bench", before, count)
        study.say(f"objects  {count:>13,}  put in {time.monotonic() - began:.0f} s")
        before = count
        disk = disk_usage(data) / count
        study.growth.points.append(Point("objects", count, "disk", "bytes_per_key", disk))
        for _ in range(study.rounds):
            began = time.monotonic()
            _served(study, home, partial(_spread_rows, study, count), began)
    shutil.rmtree(home)


def _served(study: Study, home: Path, use: Callable[[Load], None], began: float | None = None) -> None:
    """Start the server on the store in ``home``, give it to ``use``, and stop it; the store stays."""
    with Place(home) as place:
        server = s3shim(place)
        if began is not None:
            count = max(point.place for point in study.growth.points if point.figure == "bytes_per_key")
            seconds = time.monotonic() - began
            study.growth.points.append(Point("objects", count, "start", "seconds", seconds))
        use(study.load(server))


def _spread_rows(study: Study, count: int, load: Load) -> None:
    def work(op: str, size: int, number: int, clients: int, suffix: str = "") -> Work:
        return Work(op, size, number, clients, count, _STRIDE, PREFIX, suffix, verify=False)

    for series, row in (
        ("get", work("get", SIZE, 1000, 4)),
        ("list", work("list", 0, 40, 2)),
        ("put", work("put", SIZE, 400, 4, "-new")),
        ("delete", work("delete", 0, 400, 4, "-new")),
    ):
        study.row(load, "objects", count, series, row)


def clients(study: Study) -> None:
    """More and more clients at the same time, on a server of 2 workers with 8 threads each."""
    _fresh(study, "clients", CLIENTS, lambda place, _: s3shim(place), lambda number: number)


def workers(study: Study) -> None:
    """More and more workers, with 16 clients."""
    _fresh(study, "workers", WORKERS, lambda place, number: s3shim(place, number), lambda _: 16)


def _fresh(
    study: Study,
    subject: str,
    steps: Iterable[int],
    start: Callable[[Place, int], Running],
    clients_of: Callable[[int], int],
) -> None:
    for _ in range(study.rounds):
        for number in steps:
            directory = study.directory / f"{subject}-{number}"
            with Place(directory) as place:
                load = study.load(start(place, number))
                make_bucket(load)
                many = clients_of(number)
                load.must(Work("put", 4096, 64, 4, prefix="warm/"))
                study.row(load, subject, number, "put", Work("put", 4096, 600, many))
                study.row(load, subject, number, "get", Work("get", 4096, 2000, many, keys=600))
            shutil.rmtree(directory)


def sizes(study: Study) -> None:
    """Objects of more and more bytes, each put in one signed request and read back whole."""
    for _ in range(study.rounds):
        directory = study.directory / "sizes"
        with Place(directory) as place:
            load = study.load(s3shim(place))
            make_bucket(load)
            load.must(Work("put", 4096, 64, 4, prefix="warm/"))
            for size in SIZES:
                count = max(_LEAST, min(_MOST, _VOLUME // max(size, 1)))
                many = min(4, count)
                prefix = f"{size}/"
                study.row(load, "sizes", size, "put", Work("put", size, count, many, prefix=prefix))
                study.row(load, "sizes", size, "get", Work("get", size, count, many, prefix=prefix))
        shutil.rmtree(directory)
