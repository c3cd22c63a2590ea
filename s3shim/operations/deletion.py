"""DeleteObjects: up to 1,000 keys in one request, each for itself."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import S3Error
from s3shim.model import Deleted
from s3shim.wire.deletion import Wish, read_deletion
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response
from s3shim.wire.results import deletion_result


def delete_objects(backend: Backend, request: S3Request) -> Response:
    """DeleteObjects: an entry for each key, in order; quiet leaves out the successes."""
    wishes, quiet = read_deletion(request)
    plain = [wish for wish in wishes if wish.error is None and wish.conditions is NO_CONDITIONS]
    found = iter(backend.delete_objects(request.bucket, [wish.ref for wish in plain]))
    outcomes: list[Deleted | S3Error] = []
    for wish in wishes:
        if wish.error is not None:
            outcomes.append(wish.error)
        elif wish.conditions is not NO_CONDITIONS:
            outcomes.append(_delete_if(backend, wish))
        else:
            outcomes.append(next(found))
    return deletion_result([wish.ref for wish in wishes], outcomes, quiet=quiet)


def _delete_if(backend: Backend, wish: Wish) -> Deleted | S3Error:
    try:
        return backend.delete_object(wish.ref, wish.conditions)
    except S3Error as error:
        return error
