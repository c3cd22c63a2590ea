"""The rows of the benchmark: the same work for every server."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.client import Work

MIB = 1 << 20

_SMALL, _LARGE, _HUGE = "small/", "large/", "huge/"
_SMALL_KEYS, _LARGE_KEYS, _HUGE_KEYS = 2000, 24, 2


@dataclass(frozen=True, slots=True)
class Row:
    """Work with a name; one without a title prepares the next and is not measured.

    ``counted`` is how many operations are enough to count system calls.
    """

    name: str
    work: Work
    title: str = ""
    counted: int = 0


ROWS = (
    Row("warm-put", Work("put", 4096, 64, 8, prefix="warm/")),
    Row("warm-get", Work("get", 4096, 256, 8, keys=64, prefix="warm/")),
    Row("put-4k", Work("put", 4096, _SMALL_KEYS, 8, prefix=_SMALL), "put 4 KiB", 400),
    Row("get-4k", Work("get", 4096, 6000, 8, keys=_SMALL_KEYS, prefix=_SMALL), "get 4 KiB", 400),
    Row("head", Work("head", 4096, 6000, 8, keys=_SMALL_KEYS, prefix=_SMALL), "head", 400),
    Row("list-1000", Work("list", 0, 100, 4, _SMALL_KEYS, 0, prefix=_SMALL), "list 1,000 keys", 20),
    Row("put-8m", Work("put", 8 * MIB, _LARGE_KEYS, 4, prefix=_LARGE), "put 8 MiB", 4),
    Row("get-8m", Work("get", 8 * MIB, 80, 4, keys=_LARGE_KEYS, prefix=_LARGE), "get 8 MiB", 12),
    Row("put-64m", Work("put", 64 * MIB, _HUGE_KEYS, 2, prefix=_HUGE)),
    Row(
        "range-1m",
        Work("range", 64 * MIB, 240, 4, keys=_HUGE_KEYS, prefix=_HUGE, length=MIB),
        "get 1 MiB of 64 MiB",
        40,
    ),
    Row("delete", Work("delete", 0, _SMALL_KEYS, 8, prefix=_SMALL), "delete", 400),
)

MEASURED = tuple(row for row in ROWS if row.title)

# What is left of a run, for a server that goes on living.
CLEANING = tuple(
    Work("delete", count=count, clients=4, prefix=prefix)
    for prefix, count in (("warm/", 64), (_LARGE, _LARGE_KEYS), (_HUGE, _HUGE_KEYS))
)


def scaled(row: Row, scale: float) -> Row:
    """Return the row with ``scale`` times the measured operations on as many keys as before.

    Puts and deletes are as many as there are keys, so they stay.
    """
    work = row.work
    if not row.title or work.op in ("put", "delete"):
        return row
    return replace(row, work=replace(work, count=max(1, round(work.count * scale))))
