"""The rules of multipart uploads, alone, and CRCs that are combined against CRCs of the whole."""

import hashlib
import zlib
from base64 import b64encode

import pytest
from awscrt.checksums import crc32c, crc64nvme
from hypothesis import given
from hypothesis import strategies as st

from s3shim import checksums, multipart
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectMeta, PartInfo, UploadInfo
from s3shim.multipart import COMPOSITE, FULL_OBJECT, Completion, ListedPart

DIGESTS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crc32c(data).to_bytes(4, "big"),
    "crc64nvme": lambda data: crc64nvme(data).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
CRCS = ["crc32", "crc32c", "crc64nvme"]
DATAS = [b"one" * 100, b"two" * 50, b"three"]


def digest(algorithm, data):
    return b64encode(DIGESTS[algorithm](data)).decode()


def md5(data):
    return hashlib.md5(data, usedforsecurity=False)


def upload_with(algorithm=None, checksum_type=FULL_OBJECT):
    return UploadInfo("key", "id", 0, "main", ObjectMeta(), algorithm, checksum_type)


def stored(datas, algorithm=None):
    return {
        number: PartInfo(
            number,
            len(data),
            md5(data).hexdigest(),
            0,
            {algorithm: digest(algorithm, data)} if algorithm else {},
        )
        for number, data in enumerate(datas, 1)
    }


def named(parts, numbers=None):
    return [ListedPart(number, parts[number].etag) for number in numbers or parts]


def refusal(*arguments):
    with pytest.raises(S3Error) as caught:
        multipart.assemble(*arguments)
    return caught.value


# -- which parts -------------------------------------------------------------------------------


def test_assemble_gives_parts_size_and_etag():
    parts = stored(DATAS)
    whole = multipart.assemble(upload_with(), parts, Completion(named(parts)))
    assert whole.parts == list(parts.values())
    assert whole.size == 455
    md5s = b"".join(md5(data).digest() for data in DATAS)
    assert whole.etag == md5(md5s).hexdigest() + "-3"
    assert (whole.checksums, whole.checksum_type) == ({}, FULL_OBJECT)


def test_the_etag_of_one_part_is_no_plain_md5():
    # The well-known ETag of one empty part: the MD5 of the MD5 of nothing.
    parts = stored([b""])
    whole = multipart.assemble(upload_with(), parts, Completion(named(parts)))
    assert whole.etag == "59adb24ef3cdbe0297f05b395827453f-1"


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=6))
def test_only_ascending_numbers_are_in_order(numbers):
    parts = {n: PartInfo(n, n, md5(b"%d" % n).hexdigest(), 0, {}) for n in numbers}
    completion = Completion(named(parts, numbers))
    if numbers == sorted(set(numbers)):
        whole = multipart.assemble(upload_with(), parts, completion)
        assert [part.part_number for part in whole.parts] == numbers
        assert whole.size == sum(numbers)
    else:
        assert refusal(upload_with(), parts, completion).code is Code.InvalidPartOrder


def test_a_part_that_is_not_stored_as_listed_is_invalid():
    parts = stored(DATAS, "crc32")
    first = parts[1]
    for wrong in (
        ListedPart(4, first.etag),
        ListedPart(1, parts[2].etag),
        ListedPart(1, ""),
        ListedPart(1, first.etag + "0"),
        ListedPart(1, first.etag, {"crc32": parts[2].checksums["crc32"]}),
        ListedPart(1, first.etag, {"sha1": digest("sha1", DATAS[0])}),
        ListedPart(1, first.etag, first.checksums | {"crc32c": "AAAAAA=="}),
    ):
        error = refusal(upload_with(), parts, Completion([wrong]))
        assert error.code is Code.InvalidPart
        assert error.details["PartNumber"] == wrong.part_number
    right = ListedPart(1, first.etag, first.checksums)
    assert multipart.assemble(upload_with(), parts, Completion([right])).size == 300


@pytest.mark.parametrize(
    ("sizes", "minimum", "small"),
    [
        ([100, 100, 1], 100, None),
        ([100, 99, 100], 100, 2),
        ([99, 99], 100, 1),
        ([1], 100, None),
        ([0], 100, None),
        ([0, 0, 0], 0, None),
    ],
)
def test_every_part_but_the_last_has_the_minimum_size(sizes, minimum, small):
    parts = stored([bytes(size) for size in sizes])
    completion = Completion(named(parts), minimum)
    if small is None:
        assert multipart.assemble(upload_with(), parts, completion).size == sum(sizes)
    else:
        error = refusal(upload_with(), parts, completion)
        assert error.code is Code.EntityTooSmall
        assert error.details["PartNumber"] == small
        assert error.details["ProposedSize"] == sizes[small - 1]
        assert error.details["MinSizeAllowed"] == minimum


def test_the_stated_size_must_be_that_of_the_parts():
    parts = stored(DATAS)
    assert multipart.assemble(upload_with(), parts, Completion(named(parts), size=455)).size == 455
    for size in (0, 454, 456):
        error = refusal(upload_with(), parts, Completion(named(parts), size=size))
        assert error.code is Code.InvalidRequest
        assert "x-amz-mp-object-size" in error.message


def test_10000_parts():
    parts = {n: PartInfo(n, 1, md5(b"%d" % n).hexdigest(), 0, {}) for n in range(1, 10_001)}
    whole = multipart.assemble(upload_with(), parts, Completion(named(parts)))
    assert whole.etag.endswith("-10000")
    assert whole.size == 10_000


# -- checksums ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", CRCS)
@given(datas=st.lists(st.binary(max_size=70), max_size=8))
def test_combined_crcs_are_that_of_the_joined_bytes(algorithm, datas):
    parts = [(DIGESTS[algorithm](data), len(data)) for data in datas]
    assert checksums.combine(algorithm, parts) == DIGESTS[algorithm](b"".join(datas))


@pytest.mark.parametrize("algorithm", CRCS)
def test_combined_crcs_of_parts_of_megabytes(algorithm):
    datas = [bytes([seed]) * size for seed, size in enumerate((5 << 20, 0, (1 << 20) + 1, 3))]
    parts = [(DIGESTS[algorithm](data), len(data)) for data in datas]
    assert checksums.combine(algorithm, parts) == DIGESTS[algorithm](b"".join(datas))


@pytest.mark.parametrize("algorithm", [None, *CRCS])
def test_a_full_object_checksum_is_that_of_the_joined_bytes(algorithm):
    used = algorithm or "crc64nvme"
    parts = stored(DATAS, used)
    expected = digest(used, b"".join(DATAS))
    whole = multipart.assemble(upload_with(algorithm), parts, Completion(named(parts)))
    assert (whole.checksums, whole.checksum_type) == ({used: expected}, FULL_OBJECT)
    stated = Completion(named(parts), checksum=(used, expected), checksum_type=FULL_OBJECT)
    assert multipart.assemble(upload_with(algorithm), parts, stated).checksums == {used: expected}


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "sha1", "sha256"])
def test_a_composite_checksum_is_that_of_the_digests(algorithm):
    parts = stored(DATAS, algorithm)
    upload = upload_with(algorithm, COMPOSITE)
    plain = digest(algorithm, b"".join(DIGESTS[algorithm](data) for data in DATAS))
    for stated in (plain, f"{plain}-3"):
        completion = Completion(named(parts), checksum=(algorithm, stated), checksum_type=COMPOSITE)
        whole = multipart.assemble(upload, parts, completion)
        assert (whole.checksums, whole.checksum_type) == ({algorithm: f"{plain}-3"}, COMPOSITE)
    for stated in (f"{plain}-2", digest(algorithm, b"".join(DATAS)), plain[:-1], ""):
        completion = Completion(named(parts), checksum=(algorithm, stated))
        assert refusal(upload, parts, completion).code is Code.BadDigest


def test_a_stated_checksum_that_cannot_be_computed_is_a_bad_digest():
    parts = stored(DATAS, "crc32")
    value = digest("crc32", b"".join(DATAS))
    parts[2].checksums = {}
    whole = multipart.assemble(upload_with("crc32"), parts, Completion(named(parts)))
    assert whole.checksums == {}
    for checksum in (("crc32", value), ("crc32", ""), ("sha1", value)):
        completion = Completion(named(parts), checksum=checksum)
        assert refusal(upload_with("crc32"), parts, completion).code is Code.BadDigest


def test_the_type_of_the_checksum_must_be_that_of_the_upload():
    parts = stored(DATAS, "crc32")
    for kind, other in ((COMPOSITE, FULL_OBJECT), (FULL_OBJECT, COMPOSITE)):
        completion = Completion(named(parts), checksum_type=other)
        assert refusal(upload_with("crc32", kind), parts, completion).code is Code.InvalidRequest


@pytest.mark.parametrize(
    ("algorithm", "wanted", "found"),
    [
        (None, None, FULL_OBJECT),
        ("crc64nvme", None, FULL_OBJECT),
        ("crc64nvme", FULL_OBJECT, FULL_OBJECT),
        ("crc32", None, COMPOSITE),
        ("crc32c", None, COMPOSITE),
        ("crc32", COMPOSITE, COMPOSITE),
        ("crc32", FULL_OBJECT, FULL_OBJECT),
        ("crc32c", FULL_OBJECT, FULL_OBJECT),
        ("sha1", None, COMPOSITE),
        ("sha256", None, COMPOSITE),
        ("sha1", COMPOSITE, COMPOSITE),
        ("sha256", COMPOSITE, COMPOSITE),
    ],
)
def test_checksum_type_of(algorithm, wanted, found):
    assert multipart.checksum_type_of(algorithm, wanted) == found


@pytest.mark.parametrize(
    ("algorithm", "wanted"),
    [
        ("crc64nvme", COMPOSITE),
        ("sha1", FULL_OBJECT),
        ("sha256", FULL_OBJECT),
        (None, COMPOSITE),
        (None, FULL_OBJECT),
        ("crc32", "full_object"),
        ("crc32", ""),
        (None, "other"),
    ],
)
def test_checksum_types_that_s3_does_not_have(algorithm, wanted):
    with pytest.raises(S3Error) as caught:
        multipart.checksum_type_of(algorithm, wanted)
    assert caught.value.code is Code.InvalidRequest


# -- the same request again --------------------------------------------------------------------

LISTS = st.lists(
    st.builds(ListedPart, st.integers(1, 12), st.sampled_from(["a", "b", "1", "2 a"])), max_size=4
)


@given(LISTS, LISTS)
def test_fingerprints_are_equal_for_the_same_parts_only(first, second):
    same = Completion(first).fingerprint == Completion(second, 5, 6, ("crc32", "x"), COMPOSITE).fingerprint
    assert same == (first == second)


def test_a_fingerprint_cannot_be_made_by_an_etag_that_holds_a_line():
    honest = Completion([ListedPart(1, "a"), ListedPart(2, "b")])
    assert Completion([ListedPart(1, "a\n2 b")]).fingerprint != honest.fingerprint
