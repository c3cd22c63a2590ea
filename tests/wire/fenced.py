"""A small store whose whole content is held against what it was after every refused request."""

from base64 import b64encode
from hashlib import md5, sha256

from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ListQuery, ObjectRef, UploadQuery, UploadRef
from s3shim.routes.model import WRITING, load
from s3shim.routes.table import TABLE
from tests.model_requests import headers_of, target_of

OPERATIONS = load().operations
WRITES = [row.name for row in TABLE if row.method in WRITING]
ACL = "AccessControlListNotSupported"
STATUS = {
    "NotImplemented": 501,
    "AccessDenied": 403,
    "MethodNotAllowed": 405,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
}
TARGETS = {"CreateBucket": ("new-bucket", ""), "DeleteBucket": ("empty-bucket", "")}
SOURCE = "/full-bucket/large"
PART = b"part"
ETAG = md5(PART).hexdigest()
RULE = (
    b"<CORSConfiguration><CORSRule><AllowedOrigin>%s</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    b"</CORSRule></CORSConfiguration>"
)
BODIES = {
    "PutBucketCors": RULE % b"https://new.example",
    "CreateBucket": b"",
    "CopyObject": b"",
    "UploadPartCopy": b"",
    "RenameObject": b"",
    "CreateMultipartUpload": b"",
    "DeleteObjects": b"<Delete><Object><Key>small</Key></Object></Delete>",
    "PutObjectTagging": b"<Tagging><TagSet><Tag><Key>b</Key><Value>c</Value></Tag></TagSet></Tagging>",
    "CompleteMultipartUpload": b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag>"
    b"</Part></CompleteMultipartUpload>" % ETAG.encode(),
}
HEADERS = {
    "DeleteObjects": [("Content-MD5", b64encode(md5(BODIES["DeleteObjects"]).digest()).decode())],
    "GetObjectAttributes": [("x-amz-object-attributes", "ETag")],
    "RenameObject": [("x-amz-rename-source", "/full-bucket/large")],
}


class Fenced:
    """A small store behind the service, whose whole content is held against what it was.

    It holds objects with metadata and tags, and an upload under way with one part, ``upload_id``.
    """

    def __init__(self, backend, client):
        self.backend = backend
        self.client = client
        for bucket in ("full-bucket", "empty-bucket"):
            assert client.request("PUT", f"/{bucket}").status == 200
        for key, body in (("small", b"small"), ("large", b"l" * 9000), ("nothing", b"")):
            headers = {"x-amz-meta-key": key, "Cache-Control": "no-store", "Content-Type": "text/x"}
            headers["x-amz-tagging"] = f"key={key}"
            assert client.request("PUT", f"/full-bucket/{key}", headers, body).status == 200
        begun = client.request("POST", "/full-bucket/small?uploads", {"x-amz-meta-key": "upload"})
        self.upload_id = begun.xml().findtext("{*}UploadId")
        target = f"/full-bucket/small?partNumber=1&uploadId={self.upload_id}"
        assert client.request("PUT", target, body=PART).headers["etag"] == f'"{ETAG}"'
        rule = RULE % b"https://old.example"
        assert client.request("PUT", "/full-bucket?cors", body=rule).status == 200
        acl = client.request("GET", "/full-bucket?acl").body
        self.bodies = BODIES | {"PutBucketAcl": acl, "PutObjectAcl": acl}
        self.before = ""
        self.hold()

    def hold(self):
        """Take the content as it is for what must stay."""
        self.before = self.digest()

    def digest(self):
        """Return the digest of bytes, metadata, tags, listings, cross-origin rules and uploads under way."""
        found = sha256()
        for bucket in self.backend.list_buckets():
            page = self.backend.list_objects(bucket.name, ListQuery())
            found.update(repr((bucket, page, self.backend.get_document(bucket.name, "cors"))).encode())
            for info in page.items:
                stream = self.backend.get_object(ObjectRef(bucket.name, info.key), None, NO_CONDITIONS)
                found.update(repr(stream.info).encode())
                found.update(b"".join(stream.chunks))
                stream.chunks.close()
            uploads = self.backend.list_multipart_uploads(bucket.name, UploadQuery())
            found.update(repr(uploads).encode())
            for upload in uploads.items:
                ref = UploadRef(bucket.name, upload.key, upload.upload_id)
                found.update(repr(self.backend.list_parts(ref, 0, 1001)).encode())
        return found.hexdigest()

    def request_for(self, name, query=()):
        """Return (method, target, headers, body) that the operation ``name`` carries out."""
        operation = OPERATIONS[name]
        bucket, key = TARGETS.get(name, ("full-bucket", "small"))
        target = target_of(operation, query, bucket, key, self.upload_id)
        headers = [*headers_of(operation, SOURCE), *HEADERS.get(name, ())]
        body = self.bodies.get(name, b"changed") if operation.method in ("PUT", "POST") else b""
        return operation.method, target, headers, body

    def refuses(self, name, code, headers=(), query=(), *, presigned=False, target=None):
        """Demand that a request for the operation ``name`` with these is refused and changes nothing.

        A header of ``headers`` stands instead of the one that the operation needs by that name.
        """
        method, own_target, own, body = self.request_for(name, query)
        target = target or own_target
        given = {header.lower() for header, _ in headers}
        headers = [*(line for line in own if line[0].lower() not in given), *headers]
        if presigned:
            target = self.client.presign(method, target, headers)
        answer = self.client.request(method, target, headers, body, sign=not presigned)
        told = (method, target, headers, answer.body)
        assert answer.status == STATUS.get(code, 400), told
        assert method == "HEAD" or answer.code == code, told
        assert self.digest() == self.before, told
        return answer
