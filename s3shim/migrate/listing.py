"""Keys in order, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from s3shim.backends.base import Backend
from s3shim.migrate.failures import Pause, patiently
from s3shim.model import ListQuery


def keys_of(backend: Backend, bucket: str, pause: Pause) -> Iterator[str]:
    """Yield the keys of a bucket in order. Raises S3Error, and what ``pause`` raises."""
    query = ListQuery()
    while True:
        page = patiently(partial(backend.list_objects, bucket, query), pause)
        for info in page.items:
            yield info.key
        if page.next_marker is None:
            return
        query = ListQuery(marker=page.next_marker)


def side_by_side(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield the keys of both, ordered as each of them is, and whether they are among ``ours``."""
    others = iter(theirs)
    other = next(others, None)
    for key in ours:
        while other is not None and other < key:
            yield other, False
            other = next(others, None)
        if other == key:
            other = next(others, None)
        yield key, True
    while other is not None:
        yield other, False
        other = next(others, None)
