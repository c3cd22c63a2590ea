"""Operations on the service: the list of buckets."""

from __future__ import annotations

from s3shim import paging
from s3shim.backends.base import Backend
from s3shim.model import BucketInfo
from s3shim.wire.parameters import integer
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, owner, text, timestamp

MAX_BUCKETS = 10_000


def list_buckets(backend: Backend, request: S3Request) -> Response:
    """ListBuckets: the buckets of the caller's account, by name.

    Answers one page with a continuation token where max-buckets cuts the list.
    """
    query = request.query
    prefix = query.get("prefix") or ""
    limit = integer(query.get("max-buckets"), "max-buckets", default=MAX_BUCKETS, least=1, most=MAX_BUCKETS)
    token = query.get("continuation-token")
    context = ("buckets", request.identity.account, prefix)
    after = paging.open_token(request.service.token_key, context, token) if token is not None else ""
    region = query.get("bucket-region")
    if region not in (None, request.service.region):
        found: list[BucketInfo] = []
    else:
        found = [
            bucket
            for bucket in backend.list_buckets()
            if bucket.owner == request.identity.account
            and bucket.name.startswith(prefix)
            and bucket.name > after
        ]
    shown = found[:limit]
    # AWS names the region of each bucket once a request asks for a part of the list.
    regional = f"<BucketRegion>{text(request.service.region)}</BucketRegion>" if list(query.names()) else ""
    parts = [f'<ListAllMyBucketsResult xmlns="{NAMESPACE}">', owner(request.identity), "<Buckets>"]
    parts += [
        f"<Bucket><Name>{text(bucket.name)}</Name><CreationDate>{timestamp(bucket.created)}</CreationDate>"
        f"{regional}</Bucket>"
        for bucket in shown
    ]
    parts.append("</Buckets>")
    if len(found) > limit:
        sealed = paging.seal_token(request.service.token_key, context, shown[-1].name)
        parts.append(f"<ContinuationToken>{sealed}</ContinuationToken>")
    if prefix:
        parts.append(f"<Prefix>{text(prefix)}</Prefix>")
    parts.append("</ListAllMyBucketsResult>")
    return xml_response("".join(parts))
