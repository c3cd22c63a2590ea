"""Where a request is aimed: at the service, a bucket, an object."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from werkzeug.routing import BaseConverter, Map, Rule

from s3shim.names import check_bucket_name, check_key
from s3shim.routes.model import SCOPES
from s3shim.wire.request import S3Request, decode_path_segment


class _Key(BaseConverter):
    """The rest of the path, slashes and all.

    It may be empty: a rule of its own for the bucket with a slash would take ``/bucket//`` as well.
    """

    part_isolating = False
    regex = "(?s:.*)"


class Paths:
    """The paths of S3. ``scopes`` that are none of S3's three are paths of their own."""

    def __init__(self, scopes: Iterable[str]) -> None:
        rules = [
            Rule("/", endpoint="service"),
            Rule("/<bucket>", endpoint="bucket"),
            Rule("/<bucket>/<key:key>", endpoint="object"),
            *(Rule(scope, endpoint=scope) for scope in scopes if scope not in SCOPES.values()),
        ]
        paths = Map(
            rules,
            strict_slashes=False,
            merge_slashes=False,
            redirect_defaults=False,
            converters={"key": _Key},
        )
        match = paths.bind("").match

        # The first segment and whether there is more decide what a path is aimed at; the rest is the key.
        @lru_cache(maxsize=1024)
        def first(path: str) -> tuple[str, str | None]:
            scope, values = match(path)
            return scope, values.get("bucket")

        self._first = first

    def locate(self, request: S3Request) -> str:
        """Return the scope of the request's target; set its bucket and key.

        The path is matched as it was sent, so that %2F in a bucket's name separates nothing. Raises
        InvalidURI, InvalidBucketName, and what ``check_key`` raises.
        """
        if request.host_bucket:
            return _within(request, request.host_bucket, request.path[1:])
        stem, slash, key = request.path[1:].partition("/")
        scope, bucket = self._first(f"/{stem}/-" if slash else f"/{stem}")
        if bucket is None:
            return scope
        return _within(request, decode_path_segment(bucket, "bucket name"), key)


def _within(request: S3Request, bucket: str, key: str) -> str:
    check_bucket_name(bucket)
    request.bucket = bucket
    if not key:
        return "bucket"
    key = decode_path_segment(key, "key")
    check_key(key)
    request.key = key
    return "object"
