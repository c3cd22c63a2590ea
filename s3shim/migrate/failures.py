"""Why something is not done: what may be better in a moment, what has changed, what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from s3shim.errors import Code, S3Error

T = TypeVar("T")

PASSING = frozenset({Code.ServiceUnavailable, Code.SlowDown, Code.RequestTimeout})
"""The codes of what may be better in a moment."""

CHANGED = frozenset(
    {Code.PreconditionFailed, Code.ConditionalRequestConflict, Code.NoSuchKey, Code.NoSuchUpload}
)
"""The codes that say that an object or an upload is not what it was a moment ago."""

ATTEMPTS = 5

Pause = Callable[[float], None]
"""Waits so many seconds; may raise, where there is no time to wait."""


class Changed(Exception):
    """Source or destination are not what they were a moment ago."""


class Damaged(Exception):
    """What was read is not what its record says; the text says in what."""


class Unreadable(Exception):
    """A storage did not give what it was asked for; ``error`` is its answer."""

    def __init__(self, error: S3Error) -> None:
        super().__init__(error.code.name)
        self.error = error


def pause_after(attempt: int) -> float:
    """Return the seconds to wait after the attempt with this number, from 0."""
    return 0.2 * 2.0**attempt


def patiently(call: Callable[[], T], pause: Pause) -> T:
    """Return what ``call`` returns at last. Raises its S3Error, and what ``pause`` raises."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except S3Error as error:
            if error.code not in PASSING:
                raise
        pause(pause_after(attempt))
    return call()
