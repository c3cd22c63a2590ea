"""Sends what must be refused, and looks whether anything has happened all the same."""

from __future__ import annotations

from typing import Any

from s3shim.backends.base import Backend
from s3shim.conditions import Conditions
from s3shim.model import ListQuery, ObjectRef
from tests.wire.answer import Answer, check_refused
from tests.wire.client import Client, HeaderLines
from tests.wire.signing import Draft

VICTIM = "/a-bucket/victim"


def contents(backend: Backend) -> dict[str, Any]:
    """Return all that is stored: every bucket's record, and of every key its record and bytes."""
    found: dict[str, Any] = {}
    for bucket in backend.list_buckets():
        page = backend.list_objects(bucket.name, ListQuery())
        assert page.next_marker is None
        objects = {}
        for info in page.items:
            stream = backend.get_object(ObjectRef(bucket.name, info.key), None, Conditions())
            objects[info.key] = (stream.info, b"".join(stream.chunks))
            stream.chunks.close()
        found[bucket.name] = (bucket, objects)
    return found


class Probe:
    """Sends requests by ``client`` and holds the store against what it was at first.

    It puts three objects into the empty bucket ``a-bucket``; their bytes are ``precious``.
    """

    def __init__(self, client: Client, backend: Backend) -> None:
        self.client = client
        self.backend = backend
        for key in ("victim", "a/b", "a%252Fb"):
            assert client.request("PUT", f"/a-bucket/{key}", body=b"precious").status == 200
        self.before = contents(backend)

    def put(self, target: str = VICTIM, headers: HeaderLines = (), **options: Any) -> Draft:
        """Return a signed request that would overwrite an object."""
        return self.client.draft("PUT", target, headers, b"evil", **options)

    def get(self, target: str = VICTIM, headers: HeaderLines = (), **options: Any) -> Draft:
        """Return a signed request that reads."""
        return self.client.draft("GET", target, headers, **options)

    def refused(self, draft: Draft, status: int, code: str) -> Answer:
        """Send ``draft``; demand this answer, no secret in it, and that nothing has changed."""
        answer = self.client.send(draft)
        if draft.method == "HEAD":
            assert (answer.status, answer.body) == (status, b"")
            assert answer.headers["x-amz-request-id"]
        else:
            check_refused(answer, status, code)
        assert self.client.signer.secret_key.encode() not in answer.body
        assert contents(self.backend) == self.before
        return answer

    def accepted(self, draft: Draft, status: int = 200) -> Answer:
        """Send ``draft``; demand this status."""
        answer = self.client.send(draft)
        assert answer.status == status, answer.body[:2000]
        return answer
