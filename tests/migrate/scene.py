"""A storage with objects of every kind, and all that can be seen of a storage."""

from __future__ import annotations

from dataclasses import asdict

from s3shim.backends.base import Capability
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.migrate import Migration, Mode, Outcome
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, ObjectRef, UploadQuery
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, get, pattern, put
from tests.contract.conftest import BLOCK, keeps
from tests.contract.uploads import begin, complete, copy_part, put_parts, upload

ODD = ObjectMeta(
    "text/plain; charset=\xe9",
    {"cache-control": "no-store", "content-encoding": "gzip", "expires": "never"},
    {"a_b": "v\xe4lue\xff", "empty": "", "long": "x" * 1500},
    {"": "", "\u00e9 +=.": "\U0001f600", "project": "alpha"},
)
NO_TYPE = ObjectMeta(None, {}, {}, {})
KEYS = [
    "a/b",
    "a//b",
    "a/",
    "./..",
    "Schl\u00fcssel\n\u2603",
    "\uffff",
    "\U0001f600",
    "%2F",
    " ",
    "\x01",
    "k" * 1024,
]
MAIN = BucketInfo("bucket", "main", 1_700_000_000_000)
OTHERS = {"another": "second", "empty": "third"}
IMPOSSIBLE = {("COMPOSITE", "crc64nvme"), ("FULL_OBJECT", "sha1"), ("FULL_OBJECT", "sha256")}
CORS = b"<CORSConfiguration/>\n"


def fill(backend, target=None) -> None:
    """Fill a storage that has the empty bucket "bucket" of "main" with what ``target`` can keep too."""
    for name, owner in OTHERS.items():
        backend.create_bucket(BucketInfo(name, owner, 1_600_000_000_000))
    backend.put_document("bucket", "cors", CORS)
    put(backend, "empty", meta=ODD)
    put(backend, "inline", b"small", meta=NO_TYPE)
    put(backend, "file", pattern(5 * BLOCK + 3), meta=ODD)
    put(backend, "elsewhere", pattern(2000), bucket="another")
    for algorithm in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"):
        put(backend, f"whole {algorithm}", BytesBody(pattern(3000), algorithm=algorithm))
        for kind in ("COMPOSITE", "FULL_OBJECT"):
            if (kind, algorithm) not in IMPOSSIBLE:
                ref = begin(backend, f"{kind} {algorithm}", meta=ODD, algorithm=algorithm, checksum_type=kind)
                datas = [pattern(BLOCK * number + number, number) for number in (1, 2, 3)]
                complete(
                    backend, ref, [upload(backend, ref, n, d, algorithm) for n, d in enumerate(datas, 1)]
                )
    put_parts(backend, "parts", [pattern(2 * BLOCK), b"tiny", b"", pattern(9000, 1), b""])
    put_parts(backend, "one part", [b"alone"])
    put_parts(backend, "no bytes", [b""])
    gaps = begin(backend, "gaps")
    complete(backend, gaps, [upload(backend, gaps, n, pattern(4000, n)) for n in (3, 7, 10_000)])
    mixed = begin(backend, "copied part", algorithm="crc32")
    parts = [upload(backend, mixed, 1, pattern(5000)), copy_part(backend, mixed, 2, "file")]
    complete(backend, mixed, parts)
    backend.copy_object(Copy(ObjectRef("bucket", "parts")), ObjectRef("another", "copy"), NO_CONDITIONS)
    for key in KEYS:
        if keeps(backend, key) and keeps(target, key):
            put(backend, key, key.encode())


def put_sha256_parts(backend, key, datas) -> None:
    """Put an object of parts with composite SHA-256."""
    ref = begin(backend, key, algorithm="sha256", meta=ODD)
    complete(
        backend, ref, [upload(backend, ref, number, data, "sha256") for number, data in enumerate(datas, 1)]
    )


def add_ranges_and_appends(backend) -> None:
    """Put the objects whose ETags cannot be made from their bytes and parts alone."""
    ref = begin(backend, "range")
    copy_part(backend, ref, 1, "file", ByteRange(10, 9000))
    complete(backend, ref, backend.list_parts(ref, 0, 10)[1])
    put(backend, "appended", pattern(5000))
    for number, data in enumerate((pattern(3000, 1), b"end")):
        size = 5000 + 3000 * number
        backend.append_object(
            ObjectRef("bucket", "appended"), BytesBody(data), ObjectMeta(), size, NO_CONDITIONS
        )


def state(backend):
    """Return all that can be seen of a storage."""
    seen = {}
    for bucket in backend.list_buckets():
        seen[bucket.name] = bucket.owner, bucket.created, backend.get_document(bucket.name, "cors")
        for info in backend.list_objects(bucket.name, ListQuery(max_keys=10_000)).items:
            found, parts = backend.get_object_parts(ObjectRef(bucket.name, info.key), NO_CONDITIONS)
            fields = asdict(found)
            data = get(backend, info.key, bucket=bucket.name)
            seen[bucket.name, info.key] = fields, [asdict(part) for part in parts], data
    return seen


def assert_same(target, source) -> None:
    """Assert that nothing can be told apart, but times where the target does not keep those of others."""
    assert comparable(target, source) == comparable(source, source, dated=_dated(target))


def comparable(backend, source, *, dated=None):
    """Return the state without times unless ``dated``, and without checksums that only this storage has."""
    seen, asked = state(backend), state(source)
    for name, found in seen.items():
        if isinstance(name, tuple) and name in asked:
            wanted = asked[name]
            if not (_dated(backend) if dated is None else dated):
                found[0]["last_modified"] = None
            _reduce(found[0], wanted[0])
            for part, there in zip(found[1], wanted[1], strict=False):
                _reduce(part, there)
    return seen


def _dated(backend) -> bool:
    return Capability.LAST_MODIFIED in backend.capabilities


def _reduce(found, wanted) -> None:
    kept = {
        algorithm: value
        for algorithm, value in found["checksums"].items()
        if algorithm in wanted["checksums"]
    }
    found["checksums"] = kept


def uploads(backend, bucket="bucket"):
    """Return the uploads under way."""
    return backend.list_multipart_uploads(bucket, UploadQuery()).items


class Run:
    """One run of a migration: ``counts`` of objects by their ends, and the sorted ``lines`` of problems."""

    def __init__(self, source, target, mode=Mode.MIGRATE, concurrency=3) -> None:
        self.lines: list[str] = []
        migration = Migration(source, target, self.lines.append, mode=mode, concurrency=concurrency)
        self.progress = migration.run()
        self.lines.sort()
        self.counts = dict(self.progress.outcomes)


def assert_copies_nothing(source, target) -> None:
    """A second run must find all equal."""
    run = Run(source, target)
    assert (set(run.counts), run.lines, run.progress.problems) == ({Outcome.EQUAL}, [], 0)
    assert run.progress.bytes == 0
