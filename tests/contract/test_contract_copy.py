"""Copies of objects and of parts: what they take along, and that each lives its own life."""

import time

import pytest

from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, ObjectRef
from s3shim.multipart import ListedPart
from s3shim.ranges import ByteRange
from tests.contract.bodies import checksum, code_of, digests_of, get, listed, pattern, put, shown
from tests.contract.conftest import BLOCK, INLINE_MAX
from tests.contract.uploads import begin, complete, copy_part, etag_of, put_parts, upload

SIZES = [0, 10, INLINE_MAX, INLINE_MAX + 1, 5 * BLOCK + 17]
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v\xe4lue"}, {"t": "1"})
OTHER = ObjectMeta("a/b", {}, {"new": "2"})
ANY_TAG = ETagList(any=True)


def copy(backend, source, target, *, conditions=NO_CONDITIONS, source_bucket="bucket", **wanted):
    return backend.copy_object(
        Copy(ObjectRef(source_bucket, source), **wanted), ObjectRef("bucket", target), conditions
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_the_bytes_and_the_record_of_its_source(backend, size):
    source = put(backend, "source", pattern(size), meta=META)
    before = time.time_ns() // 1_000_000
    info = copy(backend, "source", "key")
    assert before <= info.last_modified <= time.time_ns() // 1_000_000
    assert (info.key, info.meta, info.version_id) == ("key", META, "null")
    assert (info.size, info.etag, info.checksums) == (size, source.etag, source.checksums)
    for _ in range(2):
        assert listed(backend) == [shown(info), shown(source)]
        assert backend.head_object(ObjectRef("bucket", "key"), NO_CONDITIONS) == info
        assert get(backend, "key") == get(backend, "source") == pattern(size)
        backend.close()
        backend.start()
    if size:
        assert get(backend, "key", ByteRange(size // 2, None)) == pattern(size)[size // 2 :]


def test_directives_choose_between_the_sources_metadata_and_new_metadata(backend):
    put(backend, "source", b"data", meta=META)
    cases = [
        ({}, META),
        ({"meta": OTHER}, ObjectMeta("a/b", {}, {"new": "2"}, {"t": "1"})),
        ({"tags": {"u": "2", "v": ""}}, ObjectMeta("text/x", META.system, META.user, {"u": "2", "v": ""})),
        ({"tags": {}}, ObjectMeta("text/x", META.system, META.user, {})),
        ({"meta": OTHER, "tags": {"u": "2"}}, ObjectMeta("a/b", {}, {"new": "2"}, {"u": "2"})),
        ({"meta": ObjectMeta(), "tags": {}}, ObjectMeta()),
    ]
    for wanted, expected in cases:
        assert copy(backend, "source", "key", **wanted).meta == expected
        assert backend.head_object(ObjectRef("bucket", "key"), NO_CONDITIONS).meta == expected
        assert backend.head_object(ObjectRef("bucket", "source"), NO_CONDITIONS).meta == META


@pytest.mark.parametrize("size", SIZES)
def test_an_object_can_be_copied_onto_itself(backend, size):
    source = put(backend, "key", pattern(size), meta=META)
    for number in range(3):
        meta = ObjectMeta(None, {}, {"number": str(number)})
        info = copy(backend, "key", "key", meta=meta, tags={})
        assert (info.meta, info.etag, info.size) == (meta, source.etag, size)
        assert info.last_modified >= source.last_modified
        assert get(backend, "key") == pattern(size)
    assert listed(backend) == [shown(info)]


@pytest.mark.parametrize("size", [10, 5000])
def test_a_copy_to_another_bucket_outlives_the_first(backend, size):
    backend.create_bucket(BucketInfo("second", "other", 1))
    put(backend, "key", pattern(size), bucket="second", meta=META)
    copy(backend, "key", "key", source_bucket="second")
    backend.delete_object(ObjectRef("second", "key"), NO_CONDITIONS)
    backend.delete_bucket("second")
    assert get(backend, "key") == pattern(size)


def test_a_copy_of_an_object_of_parts_is_one_too(multipart_backend):
    datas = [pattern(size, size) for size in (BLOCK + 1, 10, 0, 3 * BLOCK, 1001)]
    source = put_parts(multipart_backend, "source", datas, algorithm="crc32", meta=META)
    info = copy(multipart_backend, "source", "key")
    assert (info.etag, info.parts_count) == (etag_of(datas), len(datas))
    assert (info.checksums, info.checksum_type) == (source.checksums, "COMPOSITE")
    multipart_backend.delete_object(ObjectRef("bucket", "source"), NO_CONDITIONS)
    assert get(multipart_backend, "key") == b"".join(datas)
    assert get(multipart_backend, "key", ByteRange(BLOCK, BLOCK + 20)) == b"".join(datas)[BLOCK : BLOCK + 21]


def test_a_source_or_target_that_is_missing(backend):
    old = put(backend, "key", b"old")
    for source, code in (
        (ObjectRef("bucket", "missing"), Code.NoSuchKey),
        (ObjectRef("bucket", "key", "3HL4kqtJlcpXroDTDmJ"), Code.NoSuchVersion),
        (ObjectRef("missing", "key"), Code.NoSuchBucket),
    ):
        target = ObjectRef("bucket", "key")
        assert code_of(backend.copy_object, Copy(source), target, NO_CONDITIONS) is code
        assert listed(backend) == [shown(old)]
    target = ObjectRef("missing", "key")
    source = Copy(ObjectRef("bucket", "key"))
    assert code_of(backend.copy_object, source, target, NO_CONDITIONS) is Code.NoSuchBucket
    null = Copy(ObjectRef("bucket", "key", "null"))
    backend.copy_object(null, ObjectRef("bucket", "key2"), NO_CONDITIONS)
    assert get(backend, "key2") == b"old"


def test_conditions_on_the_source(backend):
    info = put(backend, "source", b"data")
    same, other = ETagList(frozenset([info.etag])), ETagList(frozenset(["0" * 32]))
    cases = [
        (Conditions(if_match=same), None),
        (Conditions(if_match=other), Code.PreconditionFailed),
        (Conditions(if_none_match=same), Code.PreconditionFailed),
        (Conditions(if_none_match=ANY_TAG), Code.PreconditionFailed),
        (Conditions(if_none_match=other), None),
        (Conditions(if_modified_since=info.last_modified), Code.PreconditionFailed),
        (Conditions(if_modified_since=info.last_modified - 5000), None),
        (Conditions(if_unmodified_since=info.last_modified), None),
        (Conditions(if_unmodified_since=info.last_modified - 5000), Code.PreconditionFailed),
        (Conditions(if_match=same, if_unmodified_since=info.last_modified - 5000), None),
    ]
    source = ObjectRef("bucket", "source")
    for number, (conditions, code) in enumerate(cases):
        target = ObjectRef("bucket", f"key{number}")
        assert code_of(backend.copy_object, Copy(source, conditions), target, NO_CONDITIONS) is code
        found = code_of(backend.head_object, target, NO_CONDITIONS)
        assert found is (Code.NoSuchKey if code else None)


def test_conditions_on_the_target(conditional_backend):
    source = put(conditional_backend, "source", b"data")
    new_only = Conditions(if_none_match=ANY_TAG)
    matching = Conditions(if_match=ETagList(frozenset([source.etag])))
    run = [conditional_backend, "source", "key"]
    assert code_of(copy, *run, conditions=matching) is Code.NoSuchKey
    assert code_of(copy, *run, conditions=new_only) is None
    assert code_of(copy, *run, conditions=new_only) is Code.PreconditionFailed
    assert code_of(copy, *run, conditions=matching) is None
    put(conditional_backend, "key", b"other")
    assert code_of(copy, *run, conditions=matching) is Code.PreconditionFailed
    assert get(conditional_backend, "key") == b"other"


@pytest.mark.parametrize("size", [10, 20 * BLOCK])
def test_source_and_copies_live_their_own_lives(backend, size):
    data, refs = pattern(size), {key: ObjectRef("bucket", key) for key in ("a", "b", "c")}
    put(backend, "a", data)
    copy(backend, "a", "b")
    copy(backend, "b", "c")
    put(backend, "a", b"new")
    assert (get(backend, "a"), get(backend, "b"), get(backend, "c")) == (b"new", data, data)
    backend.delete_object(refs["b"], NO_CONDITIONS)
    backend.close()
    backend.start()
    assert get(backend, "c") == data
    copy(backend, "c", "a")
    backend.delete_object(refs["c"], NO_CONDITIONS)
    assert get(backend, "a") == data
    backend.delete_object(refs["a"], NO_CONDITIONS)
    assert backend.list_objects("bucket", ListQuery()).items == []


@pytest.mark.parametrize("size", [900, 20 * BLOCK])
def test_readers_of_source_and_target_are_undisturbed(backend, size):
    put(backend, "source", pattern(size, 1))
    put(backend, "key", pattern(size, 2))
    keys = ["source", "key"]
    streams = [iter(backend.get_object(ObjectRef("bucket", key), None, NO_CONDITIONS).chunks) for key in keys]
    copy(backend, "source", "key")
    streams.append(iter(backend.get_object(ObjectRef("bucket", "key"), None, NO_CONDITIONS).chunks))
    parts = [[next(stream)] for stream in streams]
    put(backend, "source", b"new")
    copy(backend, "source", "key")
    for key in keys:
        backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
    for part, stream in zip(parts, streams, strict=True):
        part.extend(stream)
    assert [b"".join(part) for part in parts] == [pattern(size, 1), pattern(size, 2), pattern(size, 1)]


# -- parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_object_as_a_part(multipart_backend, size):
    data = pattern(size)
    put(multipart_backend, "source", data)
    ref = begin(multipart_backend)
    before = time.time_ns() // 1_000_000
    copied = copy_part(multipart_backend, ref, 2, "source")
    assert before <= copied.last_modified <= time.time_ns() // 1_000_000
    assert (copied.part_number, copied.size, copied.checksums) == (2, size, {})
    assert copied.etag == digests_of(data).md5
    first = upload(multipart_backend, ref, 1, b"first")
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [first, copied]
    multipart_backend.delete_object(ObjectRef("bucket", "source"), NO_CONDITIONS)
    info = complete(multipart_backend, ref, [first, copied])
    assert (info.etag, info.checksums) == (etag_of([b"first", data]), {})
    assert get(multipart_backend, "key") == b"first" + data


RANGES = [(0, 0), (5, 99), (BLOCK - 1, BLOCK), (BLOCK, 2 * BLOCK - 1), (17, 3 * BLOCK + 16)]


@pytest.mark.parametrize("of_parts", [False, True], ids=["plain", "parts"])
def test_ranges_of_an_object_as_parts(multipart_backend, of_parts):
    data = pattern(3 * BLOCK + 17)
    if of_parts:
        put_parts(multipart_backend, "source", [data[:7], data[7 : BLOCK + 9], data[BLOCK + 9 :]])
    else:
        put(multipart_backend, "source", data)
    ref = begin(multipart_backend)
    parts = [
        copy_part(multipart_backend, ref, number, "source", ByteRange(first, last))
        for number, (first, last) in enumerate(RANGES, 1)
    ]
    parts.append(copy_part(multipart_backend, ref, len(RANGES) + 1, "source"))
    expected = [data[first : last + 1] for first, last in RANGES] + [data]
    assert [part.size for part in parts] == [len(piece) for piece in expected]
    assert len({part.etag for part in parts}) == len(parts)
    assert all(len(bytes.fromhex(part.etag)) == 16 and part.checksums == {} for part in parts)
    again = copy_part(multipart_backend, ref, 100, "source", ByteRange(*RANGES[1]))
    assert again.etag == parts[1].etag
    put(multipart_backend, "source", b"new")
    info = complete(multipart_backend, ref, parts)
    assert (info.size, info.parts_count) == (sum(map(len, expected)), len(parts))
    assert get(multipart_backend, "key") == b"".join(expected)
    assert get(multipart_backend, "key", ByteRange(50, 9000)) == b"".join(expected)[50:9001]
    assert get(multipart_backend, "source") == b"new"


@pytest.mark.parametrize("size", [10, 5000])
def test_a_range_beyond_the_end_of_the_source_makes_no_part(multipart_backend, size):
    put(multipart_backend, "source", pattern(size))
    put(multipart_backend, "empty")
    ref = begin(multipart_backend)
    for first, last in ((0, size), (size - 1, size), (size, size), (size + 1, size + 5)):
        found = code_of(copy_part, multipart_backend, ref, 1, "source", ByteRange(first, last))
        assert found is Code.InvalidRange
    assert code_of(copy_part, multipart_backend, ref, 1, "empty", ByteRange(0, 0)) is Code.InvalidRange
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == []


def test_a_part_copy_that_is_refused_leaves_the_part_before_it(multipart_backend):
    source = put(multipart_backend, "source", pattern(5000))
    ref = begin(multipart_backend)
    first = upload(multipart_backend, ref, 1, b"first")
    unchanged = Conditions(if_none_match=ETagList(frozenset([source.etag])))
    cases = [
        ({"key": "missing"}, Code.NoSuchKey),
        ({"key": "source", "bucket": "missing"}, Code.NoSuchBucket),
        ({"key": "source", "conditions": unchanged}, Code.PreconditionFailed),
        ({"key": "source", "byte_range": ByteRange(0, 5000)}, Code.InvalidRange),
    ]
    for wanted, code in cases:
        assert code_of(copy_part, multipart_backend, ref, 1, **wanted) is code
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [first]
    new = copy_part(multipart_backend, ref, 1, "source")
    assert multipart_backend.list_parts(ref, 0, 1000)[1] == [new]
    newer = upload(multipart_backend, ref, 1, b"newer")
    complete(multipart_backend, ref, [newer])
    assert (get(multipart_backend, "key"), get(multipart_backend, "source")) == (b"newer", pattern(5000))


def test_a_part_of_the_object_that_the_upload_replaces(multipart_backend):
    put(multipart_backend, "key", pattern(5000))
    ref = begin(multipart_backend)
    parts = [
        copy_part(multipart_backend, ref, 1, "key", ByteRange(0, 4499)),
        upload(multipart_backend, ref, 2, b"tail"),
    ]
    complete(multipart_backend, ref, parts)
    assert get(multipart_backend, "key") == pattern(5000)[:4500] + b"tail"


def test_copied_and_uploaded_parts_survive_an_abort_of_another_upload(multipart_backend):
    put(multipart_backend, "source", pattern(5000))
    refs = [begin(multipart_backend) for _ in range(2)]
    parts = [copy_part(multipart_backend, ref, 1, "source") for ref in refs]
    multipart_backend.abort_multipart_upload(refs[0])
    multipart_backend.delete_object(ObjectRef("bucket", "source"), NO_CONDITIONS)
    complete(multipart_backend, refs[1], [parts[1]])
    assert get(multipart_backend, "key") == pattern(5000)


def test_a_copied_part_has_no_checksum_to_be_listed(multipart_backend):
    data = pattern(5000)
    put(multipart_backend, "source", data)
    ref = begin(multipart_backend, algorithm="crc32")
    part = copy_part(multipart_backend, ref, 1, "source")
    named = ListedPart(1, part.etag, {"crc32": checksum("crc32", data)})
    assert code_of(complete, multipart_backend, ref, [named]) is Code.InvalidPart
    assert complete(multipart_backend, ref, [part]).checksums == {}
