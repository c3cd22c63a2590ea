"""Operations that may take a storage minutes: checked first, then answered in time.

What can be told with a status of its own is looked at before the work begins; only what changes while it
goes on is told in an answer that has begun with 200.
"""

from __future__ import annotations

from collections.abc import Callable

from s3shim.backends.base import Backend
from s3shim.wire.late import answer_in_time
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response


def perform(
    backend: Backend,
    method: str,
    request: S3Request,
    check: Callable[[], object],
    work: Callable[[], Response],
) -> Response:
    """Return what ``work`` returns; after ``check`` and in time where the method is lengthy."""
    if method not in backend.lengthy:
        return work()
    check()
    return answer_in_time(request, work)
