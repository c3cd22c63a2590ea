"""The rows of the comparisons over one storage: the same work for every entrant."""

from __future__ import annotations

from bench.client import Work
from bench.rows import MIB, Row

_SMALL, _LARGE, _HUGE = "small/", "large/", "huge/"
# nats-s3 knows no pages: it lists what there is, so there is what a page holds.
_SMALL_KEYS, _LARGE_KEYS, _HUGE_KEYS = 1000, 16, 4

ROWS = (
    Row("warm-put", Work("put", 4096, 32, 8, prefix="warm/")),
    Row("warm-get", Work("get", 4096, 128, 8, keys=32, prefix="warm/")),
    Row("put-4k", Work("put", 4096, _SMALL_KEYS, 8, prefix=_SMALL), "put 4 KiB"),
    Row("get-4k", Work("get", 4096, 3000, 8, keys=_SMALL_KEYS, prefix=_SMALL), "get 4 KiB"),
    Row("head", Work("head", 4096, 3000, 8, keys=_SMALL_KEYS, prefix=_SMALL), "head"),
    Row("list-1000", Work("list", 0, 40, 4, _SMALL_KEYS, 0, prefix=_SMALL), "list 1,000 keys"),
    Row("put-8m", Work("put", 8 * MIB, _LARGE_KEYS, 4, prefix=_LARGE), "put 8 MiB"),
    Row("get-8m", Work("get", 8 * MIB, 48, 4, keys=_LARGE_KEYS, prefix=_LARGE), "get 8 MiB"),
    Row("put-64m", Work("put", 64 * MIB, _HUGE_KEYS, 2, prefix=_HUGE), "put 64 MiB"),
    Row("get-64m", Work("get", 64 * MIB, 12, 2, keys=_HUGE_KEYS, prefix=_HUGE), "get 64 MiB"),
)

MEASURED = tuple(row for row in ROWS if row.title)

GIANT = 2048 * MIB
GIANT_ROWS = (
    Row("put-2g", Work("put", GIANT, 1, 1, prefix="giant/", seconds=600.0), "put 2 GiB"),
    Row("get-2g", Work("get", GIANT, 1, 1, prefix="giant/", seconds=600.0, verify=False), "get 2 GiB"),
)


def chosen(only: list[str]) -> tuple[Row, ...]:
    """Return the rows of those names, all where none is named, and the puts of what they read."""
    read = {row.work.prefix for row in ROWS if row.name in only}
    return tuple(
        row
        for row in ROWS
        if not only or row.name in only or not row.title or (row.work.op == "put" and row.work.prefix in read)
    )
