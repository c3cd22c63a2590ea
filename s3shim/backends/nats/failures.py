"""What can go wrong between a request and JetStream, and what the client is told of it.

Source of the numbers: server/errors.json of nats-server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from s3shim.errors import Code, S3Error

STREAM_NOT_FOUND = 10059
STREAM_EXISTS = 10058
STORE_NOT_MADE = 10049
MESSAGE_NOT_FOUND = 10037
TOO_LARGE = 10054
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""The subject's last message is another one; 10164 where that one is still being replicated."""

_FULL = frozenset(
    {
        10047,  # insufficient storage resources available
        10023,  # insufficient resources
        10028,  # memory or storage resources exceeded for account
        10077,  # store failed: maximum bytes or messages exceeded
        10122,  # stream max bytes exceeds account limit
        10002,  # resource limits exceeded for account
    }
)
_STREAM_LIMIT = frozenset({10026, 10027})


class JetStreamError(Exception):
    """JetStream refused: nothing has changed. ``code`` is its err_code, ``text`` its description."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code
        self.text = text

    @property
    def full(self) -> bool:
        """Whether there is no room for the message."""
        return self.code in _FULL


class NotSent(Exception):
    """There is no connection, or nobody who listens: nothing has changed."""


class NoAnswer(Exception):
    """Sent, and no answer came in time or before the connection was lost: it may have happened."""


FAILURES = (JetStreamError, NotSent, NoAnswer)


def answer_of(failure: Exception, bucket: str) -> S3Error:
    """Return what the client is told of one of FAILURES."""
    if isinstance(failure, JetStreamError):
        if failure.code == STREAM_NOT_FOUND:
            return S3Error(Code.NoSuchBucket, BucketName=bucket)
        if failure.full:
            return S3Error(Code.InsufficientStorage)
        if failure.code in _STREAM_LIMIT:
            return S3Error(Code.TooManyBuckets)
    return S3Error(Code.ServiceUnavailable)


@contextmanager
def answered(bucket: str) -> Iterator[None]:
    """Raise what the client is told of FAILURES within."""
    try:
        yield
    except FAILURES as failure:
        raise answer_of(failure, bucket) from None


class Uncertain(S3Error):
    """Whether an object was made cannot be told: its chunks must stay."""

    def __init__(self) -> None:
        super().__init__(Code.ServiceUnavailable)
