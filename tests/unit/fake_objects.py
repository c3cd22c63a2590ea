"""An upstream that keeps objects and ignores conditions, as Garage does, and can be held back."""

from __future__ import annotations

import hashlib
import json
from threading import Event, Lock

from tests.unit.fake_upstream import Answer, Asked, error


class Objects:
    """Answers to a FakeUpstream. ``hold`` names requests by access key and method that wait for ``go``.

    ``seen`` tells that one waits; ``put`` are the access keys of those who put objects, in order.
    """

    def __init__(self, bucket: str, owner: str) -> None:
        record = {"owner": owner, "created": 1, "identity": "i"}
        self.objects = {f"/s3shim-records/.s3shim/buckets/{bucket}": (json.dumps(record).encode(), {})}
        self.hold: tuple[str, str] | None = None
        self.seen = Event()
        self.go = Event()
        self.put: list[str] = []
        self._lock = Lock()

    def __call__(self, asked: Asked) -> Answer | None:
        path = asked.path.partition("?")[0]
        key = asked.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        if self.hold == (key, asked.method):
            self.seen.set()
            self.go.wait(60)
        with self._lock:
            return self._answer(asked, path, key)

    def _answer(self, asked: Asked, path: str, key: str) -> Answer:
        if asked.method == "PUT":
            kept = {name: text for name, text in asked.headers.items() if "x-amz-meta" in name.lower()}
            etag = hashlib.md5(asked.body, usedforsecurity=False).hexdigest()
            self.objects[path] = asked.body, {**kept, "ETag": f'"{etag}"'}
            self.put.append(key)
            return Answer(200, b"", {"ETag": f'"{etag}"'})
        if asked.method == "DELETE":
            self.objects.pop(path, None)
            return Answer(204)
        if path == "/":
            return Answer(200, b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>")
        if path not in self.objects:
            return error(404, "NoSuchKey")
        return Answer(200, *self.objects[path])
