"""Multipart uploads: what makes the object, and what leaves the upload as it was."""

import hashlib
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3shim.backends.base import Backend, Capability
from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, ObjectRef, UploadInfo, UploadQuery, UploadRef
from s3shim.multipart import Completion
from s3shim.ranges import ByteRange
from tests.contract.bodies import (
    BytesBody,
    InterruptedBody,
    checksum,
    code_of,
    get,
    listed,
    pattern,
    put,
    shown,
)
from tests.contract.conftest import BACKENDS, BLOCK, INLINE_MAX
from tests.contract.uploads import (
    begin,
    codes_of_every_call,
    complete,
    etag_of,
    part_numbers,
    put_parts,
    upload,
)

KEY = ObjectRef("bucket", "key")
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SIZES = [BLOCK + 1, 10, 0, 2 * BLOCK, INLINE_MAX, INLINE_MAX + 1, 3 * BLOCK - 1, 7]
DATAS = [pattern(size, seed) for seed, size in enumerate(SIZES)]


# -- begin -------------------------------------------------------------------------------------


def test_create_multipart_upload_returns_what_was_asked_for_with_id_and_time(multipart_backend):
    meta = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v\xe4lue"}, {"t": "1"})
    wanted = UploadInfo("key", "", 0, "someone", meta, "crc32", "COMPOSITE")
    before = time.time_ns() // 1_000_000
    info = multipart_backend.create_multipart_upload("bucket", wanted)
    assert before <= info.initiated <= time.time_ns() // 1_000_000
    wanted.upload_id, wanted.initiated = info.upload_id, info.initiated
    assert info == wanted
    ref = UploadRef("bucket", "key", info.upload_id)
    assert multipart_backend.head_multipart_upload(ref) == info
    assert multipart_backend.list_parts(ref, 0, 1000) == (info, [])
    assert multipart_backend.list_objects("bucket", ListQuery()).items == []
    assert code_of(multipart_backend.head_object, KEY, NO_CONDITIONS) is Code.NoSuchKey


def test_upload_ids_are_ascii_and_sort_by_initiation(multipart_backend):
    ids = []
    for number in range(30):
        ids.append(begin(multipart_backend, f"key{number % 3}").upload_id)
        if number % 10 == 9:
            multipart_backend.close()
            multipart_backend.start()
    assert ids == sorted(set(ids))
    assert all(upload_id.isascii() and len(upload_id) >= 32 for upload_id in ids)
    assert len({upload_id[-16:] for upload_id in ids}) == 30


def test_uploads_of_one_key_know_nothing_of_each_other(multipart_backend):
    first, second = begin(multipart_backend), begin(multipart_backend)
    part = upload(multipart_backend, first, 1, b"first")
    other = upload(multipart_backend, second, 1, b"second")
    complete(multipart_backend, second, [other])
    assert get(multipart_backend, "key") == b"second"
    complete(multipart_backend, first, [part])
    assert get(multipart_backend, "key") == b"first"


def test_an_upload_that_is_not_known_is_no_such_upload(multipart_backend):
    multipart_backend.create_bucket(BucketInfo("second", "main", 1))
    put(multipart_backend, "source", b"data")
    ref = begin(multipart_backend)
    part = upload(multipart_backend, ref, 1, b"part")
    real = ref.upload_id
    wrong = [
        UploadRef("bucket", "other", real),
        UploadRef("bucket", "ke", real),
        UploadRef("second", "key", real),
    ]
    for upload_id in (
        "",
        "x",
        "0" * 48,
        real[:-1],
        real + "0",
        real + "\0",
        "\xe9",
        "../" + real,
        "f" * 5000,
    ):
        wrong.append(UploadRef("bucket", "key", upload_id))
    for other in wrong:
        assert codes_of_every_call(multipart_backend, other) == {Code.NoSuchUpload}
    assert codes_of_every_call(multipart_backend, UploadRef("missing", "key", real)) == {Code.NoSuchBucket}
    assert part_numbers(multipart_backend, ref) == [1]
    complete(multipart_backend, ref, [part])
    assert codes_of_every_call(multipart_backend, ref) == {Code.NoSuchUpload}
    aborted = begin(multipart_backend)
    multipart_backend.abort_multipart_upload(aborted)
    assert codes_of_every_call(multipart_backend, aborted) == {Code.NoSuchUpload}
    assert get(multipart_backend, "key") == b"part"


# -- parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, INLINE_MAX, INLINE_MAX + 1, BLOCK, 3 * BLOCK + 5])
def test_upload_part_returns_size_and_digests(multipart_backend, size):
    ref = begin(multipart_backend)
    data = pattern(size)
    before = time.time_ns() // 1_000_000
    part = multipart_backend.upload_part(ref, 7, BytesBody(data, piece=700))
    assert (part.part_number, part.size, part.checksums) == (7, size, {"crc32": checksum("crc32", data)})
    assert part.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert before <= part.last_modified <= time.time_ns() // 1_000_000
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [part]


def test_part_numbers_1_and_10000_with_a_gap_between_them_in_any_order(multipart_backend):
    ref = begin(multipart_backend)
    parts = {n: upload(multipart_backend, ref, n, pattern(2000, n)) for n in (10_000, 1, 300, 2)}
    complete(multipart_backend, ref, [parts[n] for n in sorted(parts)])
    assert get(multipart_backend, "key") == b"".join(pattern(2000, n) for n in (1, 2, 300, 10_000))


@pytest.mark.parametrize("sizes", [(10, 5000), (5000, 10), (5000, 6000)])
def test_the_last_upload_of_a_part_counts(multipart_backend, sizes):
    ref = begin(multipart_backend)
    old = upload(multipart_backend, ref, 1, pattern(sizes[0], 1))
    new = upload(multipart_backend, ref, 1, pattern(sizes[1], 2))
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [new]
    assert code_of(complete, multipart_backend, ref, [old]) is Code.InvalidPart
    complete(multipart_backend, ref, [new])
    assert get(multipart_backend, "key") == pattern(sizes[1], 2)


@pytest.mark.parametrize(("size", "fail_at"), [(0, 0), (10, 1), (5000, 0), (5000, 8), (50_000, 30)])
def test_a_part_whose_body_fails_leaves_the_part_before_it(multipart_backend, size, fail_at):
    ref = begin(multipart_backend)
    first = upload(multipart_backend, ref, 1, pattern(3000, 1))
    for number in (1, 2):
        body = BytesBody(pattern(size), piece=700, fail_at=fail_at, error=S3Error(Code.BadDigest))
        assert code_of(upload, multipart_backend, ref, number, body) is Code.BadDigest
    short = BytesBody(pattern(size), length=size + 1)
    assert code_of(upload, multipart_backend, ref, 1, short) is Code.IncompleteBody
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [first]
    complete(multipart_backend, ref, [first])
    assert get(multipart_backend, "key") == pattern(3000, 1)


@pytest.mark.parametrize("size", [10, 5000])
def test_a_part_of_an_upload_that_ended_meanwhile_is_refused(multipart_backend, size):
    def replace_bucket():
        multipart_backend.delete_bucket("bucket")
        multipart_backend.create_bucket(BucketInfo("bucket", "main", 3))

    ref = begin(multipart_backend)
    part = upload(multipart_backend, ref, 1, b"part")
    late = InterruptedBody(pattern(size), lambda: complete(multipart_backend, ref, [part]))
    assert code_of(upload, multipart_backend, ref, 1, late) is Code.NoSuchUpload
    assert get(multipart_backend, "key") == b"part"
    multipart_backend.delete_object(KEY, NO_CONDITIONS)
    ref = begin(multipart_backend)
    late = InterruptedBody(pattern(size), lambda: multipart_backend.abort_multipart_upload(ref))
    assert code_of(upload, multipart_backend, ref, 1, late) is Code.NoSuchUpload
    ref = begin(multipart_backend)
    late = InterruptedBody(pattern(size), replace_bucket)
    assert code_of(upload, multipart_backend, ref, 1, late) in (Code.NoSuchUpload, Code.NoSuchBucket)
    assert multipart_backend.list_objects("bucket", ListQuery()).items == []
    assert multipart_backend.list_multipart_uploads("bucket", UploadQuery()).items == []


# -- the object --------------------------------------------------------------------------------


def test_the_object_has_the_bytes_the_record_and_the_etag_of_its_parts(multipart_backend):
    meta = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v\xe4lue"}, {"t": "1", "u": ""})
    before = time.time_ns() // 1_000_000
    info = put_parts(multipart_backend, "key", DATAS, meta=meta, algorithm="crc32")
    assert (info.key, info.size, info.meta, info.version_id) == ("key", sum(SIZES), meta, "null")
    assert (info.etag, info.parts_count) == (etag_of(DATAS), len(DATAS))
    assert before <= info.last_modified <= time.time_ns() // 1_000_000
    for _ in range(2):
        assert multipart_backend.head_object(KEY, NO_CONDITIONS) == info
        assert listed(multipart_backend) == [shown(info)]
        assert get(multipart_backend, "key") == b"".join(DATAS)
        multipart_backend.close()
        multipart_backend.start()
    put(multipart_backend, "key", b"plain")
    assert multipart_backend.head_object(KEY, NO_CONDITIONS).parts_count == 0


@pytest.mark.parametrize("datas", [[b""], [b"x"], [b"", b""], [pattern(5000)]], ids=len)
def test_small_objects_of_parts(multipart_backend, datas):
    info = put_parts(multipart_backend, "key", datas)
    assert (info.etag, info.size) == (etag_of(datas), sum(map(len, datas)))
    assert get(multipart_backend, "key") == b"".join(datas)


def test_parts_that_are_not_listed_are_gone(multipart_backend):
    ref = begin(multipart_backend)
    parts = [upload(multipart_backend, ref, n, pattern(2000, n)) for n in range(1, 6)]
    info = complete(multipart_backend, ref, [parts[1], parts[3]])
    assert (info.size, info.parts_count) == (4000, 2)
    assert get(multipart_backend, "key") == pattern(2000, 2) + pattern(2000, 4)
    assert code_of(multipart_backend.list_parts, ref, 0, 1000) is Code.NoSuchUpload


def borders():
    ends = [sum(SIZES[: count + 1]) for count in range(len(SIZES))]
    near = sorted({end + shift for end in [0, *ends] for shift in (-1, 0, 1)})
    return st.one_of(st.sampled_from([at for at in near if at >= 0]), st.integers(0, sum(SIZES) + 10))


@REUSED
@given(first=borders(), last=st.one_of(st.none(), borders()), suffix=st.booleans())
def test_ranges_across_the_borders_of_parts(multipart_backend, first, last, suffix):
    if code_of(multipart_backend.head_object, KEY, NO_CONDITIONS):
        put_parts(multipart_backend, "key", DATAS)
    whole = b"".join(DATAS)
    if suffix:
        byte_range, expected = ByteRange(None, first), whole[-first:] if first else b""
    else:
        byte_range, expected = ByteRange(first, last), whole[first : None if last is None else last + 1]
    if expected:
        assert get(multipart_backend, "key", byte_range) == expected
    else:
        assert code_of(get, multipart_backend, "key", byte_range) is Code.InvalidRange


# -- the promise -------------------------------------------------------------------------------

CALLS = {
    "create_multipart_upload": ("bucket", UploadInfo("key", "", 0, "main", ObjectMeta())),
    "head_multipart_upload": (UploadRef("bucket", "key", "id"),),
    "upload_part": (UploadRef("bucket", "key", "id"), 1, BytesBody(b"")),
    "upload_part_copy": (UploadRef("bucket", "key", "id"), 1, None, None),
    "complete_multipart_upload": (UploadRef("bucket", "key", "id"), Completion([]), NO_CONDITIONS),
    "abort_multipart_upload": (UploadRef("bucket", "key", "id"),),
    "list_parts": (UploadRef("bucket", "key", "id"), 0, 1),
    "list_multipart_uploads": ("bucket", UploadQuery()),
    "expire_multipart_uploads": (0,),
}


def test_what_is_not_promised_is_not_implemented(make_backend):
    without = {name: getattr(Backend, name) for name in CALLS}
    plain = type("Plain", (MemoryBackend,), {**without, "capabilities": Capability.NONE})
    backends = [plain(), *(make_backend(name) for name in BACKENDS)]
    for backend in backends:
        backend.start()
        if Capability.MULTIPART not in backend.capabilities:
            codes = {code_of(getattr(backend, name), *arguments) for name, arguments in CALLS.items()}
            assert codes == {Code.NotImplemented}
        backend.close()


def test_after_close_every_call_is_refused(multipart_backend):
    ref = begin(multipart_backend)
    part = upload(multipart_backend, ref, 1, b"part")
    multipart_backend.close()
    assert codes_of_every_call(multipart_backend, ref) == {Code.ServiceUnavailable}
    for name in ("create_multipart_upload", "list_multipart_uploads", "expire_multipart_uploads"):
        assert code_of(getattr(multipart_backend, name), *CALLS[name]) is Code.ServiceUnavailable
    multipart_backend.start()
    complete(multipart_backend, ref, [part])
    assert get(multipart_backend, "key") == b"part"
