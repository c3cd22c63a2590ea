"""CompleteMultipartUpload: checksums, refusals that change nothing, and the same request again."""

from base64 import b64encode

import pytest

from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code
from s3shim.model import BucketInfo, ObjectMeta, ObjectRef, UploadRef
from s3shim.multipart import ListedPart
from tests.contract.bodies import DIGESTS, checksum, code_of, get, pattern, put
from tests.contract.conftest import BLOCK
from tests.contract.uploads import begin, complete, listed, upload

KEY = ObjectRef("bucket", "key")
DATAS = [pattern(size, size) for size in (BLOCK + 1, 10, 0, 2 * BLOCK, 1001)]
NEW_ONLY = Conditions(if_none_match=ETagList(any=True))


# -- checksums ---------------------------------------------------------------------------------

KINDS = [
    ("crc32", "COMPOSITE"),
    ("crc32", "FULL_OBJECT"),
    ("crc32c", "COMPOSITE"),
    ("crc32c", "FULL_OBJECT"),
    ("crc64nvme", "FULL_OBJECT"),
    ("sha1", "COMPOSITE"),
    ("sha256", "COMPOSITE"),
]


def checksum_of(algorithm, kind, datas):
    if kind == "FULL_OBJECT":
        return checksum(algorithm, b"".join(datas))
    digests = b"".join(DIGESTS[algorithm](data) for data in datas)
    return f"{checksum(algorithm, digests)}-{len(datas)}"


@pytest.mark.parametrize(("algorithm", "kind"), KINDS)
def test_the_object_has_the_checksum_of_the_uploads_algorithm(multipart_backend, algorithm, kind):
    ref = begin(multipart_backend, algorithm=algorithm, checksum_type=kind)
    expected = checksum_of(algorithm, kind, DATAS)
    parts = [upload(multipart_backend, ref, n, data, algorithm) for n, data in enumerate(DATAS, 1)]
    names = [ListedPart(part.part_number, part.etag, part.checksums) for part in parts]
    wrong = [*names[:-1], ListedPart(names[-1].part_number, names[-1].etag, names[0].checksums)]
    bad = b64encode(bytes(len(DIGESTS[algorithm](b"")))).decode()
    other = "COMPOSITE" if kind == "FULL_OBJECT" else "FULL_OBJECT"
    assert code_of(complete, multipart_backend, ref, wrong) is Code.InvalidPart
    assert code_of(complete, multipart_backend, ref, names, checksum=(algorithm, bad)) is Code.BadDigest
    assert code_of(complete, multipart_backend, ref, names, checksum_type=other) is Code.InvalidRequest
    info = complete(multipart_backend, ref, names, checksum=(algorithm, expected), checksum_type=kind)
    assert (info.checksums, info.checksum_type) == ({algorithm: expected}, kind)
    assert multipart_backend.head_object(KEY, NO_CONDITIONS) == info


def test_without_an_algorithm_the_object_has_the_crc64nvme_of_the_whole(multipart_backend):
    ref = begin(multipart_backend)
    parts = [upload(multipart_backend, ref, n, data, "crc64nvme") for n, data in enumerate(DATAS, 1)]
    info = complete(multipart_backend, ref, parts)
    assert info.checksums == {"crc64nvme": checksum("crc64nvme", b"".join(DATAS))}
    assert info.checksum_type == "FULL_OBJECT"


# -- failures leave the upload usable ----------------------------------------------------------


def refused_completions(parts):
    names = listed(parts)
    first, second, third = names
    return [
        ({"parts": [second, first, third]}, Code.InvalidPartOrder),
        ({"parts": [first, first]}, Code.InvalidPartOrder),
        ({"parts": [first, ListedPart(2, "0" * 32)]}, Code.InvalidPart),
        ({"parts": [first, ListedPart(2, third.etag)]}, Code.InvalidPart),
        ({"parts": [first, ListedPart(2, "")]}, Code.InvalidPart),
        ({"parts": [*names, ListedPart(9, third.etag)]}, Code.InvalidPart),
        ({"parts": [ListedPart(1, first.etag, {"crc32": "AAAAAA=="})]}, Code.InvalidPart),
        ({"parts": names, "min_part_size": 3001}, Code.EntityTooSmall),
        ({"parts": names, "size": 6009}, Code.InvalidRequest),
        ({"parts": names, "checksum": ("crc32", "AAAAAA==")}, Code.BadDigest),
        ({"parts": names, "conditions": NEW_ONLY}, Code.PreconditionFailed),
        (
            {"parts": names, "conditions": Conditions(if_match=ETagList(frozenset(["0" * 32])))},
            Code.PreconditionFailed,
        ),
    ]


def test_a_refused_completion_leaves_the_upload_and_the_object_as_they_were(multipart_backend):
    old = put(multipart_backend, "key", b"old")
    ref = begin(multipart_backend, algorithm="crc32")
    parts = [upload(multipart_backend, ref, n, pattern(3000, n)) for n in (1, 2)]
    parts.append(upload(multipart_backend, ref, 3, b"last part."))
    for wanted, code in refused_completions(parts):
        assert code_of(complete, multipart_backend, ref, **wanted) is code, wanted
        assert multipart_backend.list_parts(ref, 0, 1000)[1] == parts
        assert multipart_backend.head_object(KEY, NO_CONDITIONS) == old
        assert get(multipart_backend, "key") == b"old"
    multipart_backend.close()
    multipart_backend.start()
    matching = Conditions(if_match=ETagList(frozenset([old.etag])))
    complete(multipart_backend, ref, parts, min_part_size=3000, size=6010, conditions=matching)
    assert get(multipart_backend, "key") == pattern(3000, 1) + pattern(3000, 2) + b"last part."


def test_conditions_of_a_completion_hold_at_its_time(multipart_backend):
    missing = Conditions(if_match=ETagList(any=True))
    ref = begin(multipart_backend)
    part = upload(multipart_backend, ref, 1, b"part")
    assert code_of(complete, multipart_backend, ref, [part], conditions=missing) is Code.NoSuchKey
    put(multipart_backend, "key", b"old")
    assert code_of(complete, multipart_backend, ref, [part], conditions=NEW_ONLY) is Code.PreconditionFailed
    multipart_backend.delete_object(KEY, NO_CONDITIONS)
    complete(multipart_backend, ref, [part], conditions=NEW_ONLY)
    assert get(multipart_backend, "key") == b"part"


# -- the same completion again -----------------------------------------------------------------


def test_the_same_completion_again_gives_the_same_answer_and_does_nothing(multipart_backend):
    ref = begin(multipart_backend, meta=ObjectMeta("a/b", {}, {}, {"t": "1"}), algorithm="crc32")
    parts = [upload(multipart_backend, ref, n, pattern(2000, n)) for n in (1, 2)]
    info = complete(multipart_backend, ref, parts)
    assert complete(multipart_backend, ref, parts) == info
    assert complete(multipart_backend, ref, parts, conditions=NEW_ONLY) == info
    multipart_backend.close()
    multipart_backend.start()
    assert complete(multipart_backend, ref, parts) == info
    for other in (parts[:1], parts[1:], [parts[0], ListedPart(2, "0" * 32)]):
        assert code_of(complete, multipart_backend, ref, other) is Code.NoSuchUpload
    assert multipart_backend.head_object(KEY, NO_CONDITIONS) == info
    new = put(multipart_backend, "key", b"new")
    assert complete(multipart_backend, ref, parts) == info
    assert multipart_backend.head_object(KEY, NO_CONDITIONS) == new
    assert get(multipart_backend, "key") == b"new"
    multipart_backend.delete_object(KEY, NO_CONDITIONS)
    assert complete(multipart_backend, ref, parts) == info
    assert code_of(get, multipart_backend, "key") is Code.NoSuchKey


def test_a_replay_is_bound_to_bucket_and_key(multipart_backend):
    multipart_backend.create_bucket(BucketInfo("second", "main", 1))
    ref = begin(multipart_backend)
    part = upload(multipart_backend, ref, 1, b"part")
    complete(multipart_backend, ref, [part])
    for bucket, key in (("second", "key"), ("bucket", "other")):
        wrong = UploadRef(bucket, key, ref.upload_id)
        assert code_of(complete, multipart_backend, wrong, [part]) is Code.NoSuchUpload
    multipart_backend.delete_object(KEY, NO_CONDITIONS)
    multipart_backend.delete_bucket("bucket")
    multipart_backend.create_bucket(BucketInfo("bucket", "main", 2))
    assert code_of(complete, multipart_backend, ref, [part]) is Code.NoSuchUpload
