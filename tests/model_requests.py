"""Requests made from the service model: for every operation one that means it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from s3shim.routes.model import ModelOperation
from s3shim.wire.request import S3Request, Service

# Of operations that share a route only one can be reached: the others are older names of it.
SAME_ROUTE = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}


def target_of(
    operation: ModelOperation,
    query: Iterable[tuple[str, str]] = (),
    bucket: str = "a-bucket",
    key: str = "key",
    upload_id: str = "1",
) -> str:
    """Return the request target that means ``operation``, with more ``query`` items.

    An item of ``query`` stands instead of the one that the operation needs by that name.
    """
    query = list(query)
    items = dict(operation.literals)
    if operation.selector:
        items.setdefault(operation.selector, upload_id if operation.selector == "uploadId" else "1")
        if operation.selector == "uploadId" and "PartNumber" in operation.members:
            items["partNumber"] = "1"
    if operation.choice and operation.choice.query:
        items[operation.choice.query] = "1"
    given = {name for name, _ in query}
    pairs = [item for item in items.items() if item[0] not in given] + query
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    path = operation.path.replace("{Bucket}", bucket).replace("{Key+}", key)
    return f"{path}?{text}" if text else path


def headers_of(operation: ModelOperation, source: str = "/a-bucket/key") -> list[tuple[str, str]]:
    """Return the headers that ``operation`` needs to be told from its twins: a copy names its ``source``."""
    if operation.choice and operation.choice.header:
        return [(operation.choice.header, source)]
    return []


def make_request(method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> S3Request:
    """Return a request that no server has seen."""
    lines = [("Host", "localhost"), *headers]
    environ = {"REQUEST_METHOD": method, "RAW_URI": target, "wsgi.input": None, "s3shim.headers": lines}
    return S3Request(environ, Service())
