"""A small store whose whole content is held against what it was after every refused request."""

from hashlib import sha256

from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ListQuery, ObjectRef
from s3shim.routes.model import load
from tests.model_requests import headers_of, target_of

OPERATIONS = load().operations
STATUS = {"NotImplemented": 501, "AccessDenied": 403, "MethodNotAllowed": 405}
TARGETS = {"CreateBucket": ("new-bucket", ""), "DeleteBucket": ("empty-bucket", "")}


class Fenced:
    """A small store behind the service, whose whole content is held against what it was."""

    def __init__(self, backend, client):
        self.backend = backend
        self.client = client
        for bucket in ("full-bucket", "empty-bucket"):
            assert client.request("PUT", f"/{bucket}").status == 200
        for key, body in (("small", b"small"), ("large", b"l" * 9000), ("nothing", b"")):
            headers = {"x-amz-meta-key": key, "Cache-Control": "no-store", "Content-Type": "text/x"}
            assert client.request("PUT", f"/full-bucket/{key}", headers, body).status == 200
        self.before = ""
        self.hold()

    def hold(self):
        """Take the content as it is for what must stay."""
        self.before = self.digest()

    def digest(self):
        """Return the digest of all bytes, metadata and listings."""
        found = sha256()
        for bucket in self.backend.list_buckets():
            page = self.backend.list_objects(bucket.name, ListQuery())
            found.update(repr((bucket, page)).encode())
            for info in page.items:
                stream = self.backend.get_object(ObjectRef(bucket.name, info.key), None, NO_CONDITIONS)
                found.update(repr(stream.info).encode())
                found.update(b"".join(stream.chunks))
                stream.chunks.close()
        return found.hexdigest()

    def refuses(self, name, code, headers=(), query=(), *, presigned=False, target=None):
        """Demand that a request for the operation ``name`` with these is refused and changes nothing."""
        operation = OPERATIONS[name]
        target = target or target_of(operation, query, *TARGETS.get(name, ("full-bucket", "small")))
        headers = [*headers_of(operation), *headers]
        body = b"changed" if operation.method in ("PUT", "POST") else b""
        if presigned:
            target = self.client.presign(operation.method, target, headers)
        answer = self.client.request(operation.method, target, headers, body, sign=not presigned)
        told = (operation.method, target, headers, answer.body)
        assert answer.status == STATUS.get(code, 400), told
        assert operation.method == "HEAD" or answer.code == code, told
        assert self.digest() == self.before, told
        return answer
