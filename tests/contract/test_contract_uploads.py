"""Listings of parts and of uploads under way, and their end by age or with their bucket."""

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery, UploadQuery, UploadRef
from tests.contract.bodies import code_of, get, put
from tests.contract.conftest import keeps
from tests.contract.uploads import begin, codes_of_every_call, complete, part_numbers, upload

ALL_KEYS = ["0", "a", "a/", "a/0", "a/b", "a/b/c", "a\x01", "b0a", "\u00e9", "\U0010ffff", "k" * 1024]
KEYS = st.lists(st.sampled_from(ALL_KEYS), max_size=9)
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def test_list_parts_gives_pages_of_ascending_numbers(multipart_backend):
    ref = begin(multipart_backend)
    parts = {n: upload(multipart_backend, ref, n, b"%d" % n) for n in (10_000, 3, 1, 256, 2, 9_999, 255)}
    ascending = [parts[n] for n in sorted(parts)]
    info = multipart_backend.head_multipart_upload(ref)
    for size in (1, 2, 3, 7, 1000):
        found, marker = [], 0
        while True:
            same, page = multipart_backend.list_parts(ref, marker, size)
            assert same == info
            assert len(page) <= size
            if not page:
                break
            found += page
            marker = page[-1].part_number
        assert found == ascending
    for marker, numbers in ((2, [3, 255]), (4, [255, 256]), (9_999, [10_000]), (10_000, []), (10**12, [])):
        found = multipart_backend.list_parts(ref, marker, 2)[1]
        assert [part.part_number for part in found] == numbers
    assert multipart_backend.list_parts(ref, 0, 0)[1] == []


def test_parts_of_neighbouring_uploads_do_not_mix(multipart_backend):
    refs = [begin(multipart_backend, key) for key in ("key", "key", "ke", "key0")]
    for number, ref in enumerate(refs, 1):
        upload(multipart_backend, ref, number, b"part")
    assert [part_numbers(multipart_backend, ref) for ref in refs] == [[1], [2], [3], [4]]


def expected_uploads(begun, prefix, delimiter, key_marker="", id_marker=""):
    """Return [(key, upload id or "" for a common prefix)] as one long page."""
    shown = []
    for key, upload_id in sorted(begun, key=lambda pair: (pair[0].encode(), pair[1])):
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        entry = (prefix + head + found, "") if found else (key, upload_id)
        if not found and id_marker:
            passed = (key.encode(), upload_id) <= (key_marker.encode(), id_marker)
        else:
            passed = bool(key_marker) and entry[0].encode() <= key_marker.encode()
        if not passed and entry not in shown:
            shown.append(entry)
    return shown


def walk_uploads(backend, bucket, prefix, delimiter, size):
    """Return the same as expected_uploads, found page by page."""
    shown = []
    query = UploadQuery(prefix, delimiter, max_uploads=size)
    while True:
        page = backend.list_multipart_uploads(bucket, query)
        entries = [(info.key, info.upload_id) for info in page.items]
        entries += [(group, "") for group in page.common_prefixes]
        entries.sort(key=lambda pair: (pair[0].encode(), pair[1]))
        shown += entries
        if page.next_marker is None:
            assert len(entries) <= size
            return shown
        assert len(entries) == size
        assert page.next_marker == entries[-1][0]
        query.key_marker, query.upload_id_marker = entries[-1]


NAMES = count()


@REUSED
@given(
    keys=KEYS,
    prefix=st.sampled_from(["", "a", "a/", "b", "k", "\u00e9"]),
    delimiter=st.sampled_from(["", "/", "0", "a", "b/", "\x01"]),
    size=st.integers(1, 3),
)
def test_list_multipart_uploads_is_by_key_then_by_initiation(
    multipart_backend, keys, prefix, delimiter, size
):
    bucket = f"uploads{next(NAMES)}"
    multipart_backend.create_bucket(BucketInfo(bucket, "main", 1))
    fit = [key for key in keys if keeps(multipart_backend, key)]
    begun = [(key, begin(multipart_backend, key, bucket=bucket).upload_id) for key in fit]
    expected = expected_uploads(begun, prefix, delimiter)
    assert walk_uploads(multipart_backend, bucket, prefix, delimiter, size) == expected
    for key, upload_id in begun[:3]:
        for id_marker in ("", upload_id):
            query = UploadQuery(prefix, delimiter, key, id_marker, 1000)
            page = multipart_backend.list_multipart_uploads(bucket, query)
            shown = {(info.key, info.upload_id) for info in page.items}
            shown |= {(group, "") for group in page.common_prefixes}
            rolled = delimiter and key.startswith(prefix) and delimiter in key[len(prefix) :]
            if not rolled:
                assert shown == set(expected_uploads(begun, prefix, delimiter, key, id_marker))


def test_markers_of_list_multipart_uploads(multipart_backend):
    refs = [begin(multipart_backend, key) for key in ("a", "b", "b", "b", "b/1", "c")]
    ids = [ref.upload_id for ref in refs]

    def after(key_marker, id_marker="", **query):
        wanted = UploadQuery(key_marker=key_marker, upload_id_marker=id_marker, **query)
        page = multipart_backend.list_multipart_uploads("bucket", wanted)
        return [ids.index(info.upload_id) for info in page.items], page.common_prefixes

    assert after("") == ([0, 1, 2, 3, 4, 5], [])
    assert after("", ids[3]) == ([0, 1, 2, 3, 4, 5], [])
    assert after("a") == ([1, 2, 3, 4, 5], [])
    assert after("b") == ([4, 5], [])
    assert after("b", ids[1]) == ([2, 3, 4, 5], [])
    assert after("b", ids[3]) == ([4, 5], [])
    assert after("b", "0") == ([1, 2, 3, 4, 5], [])
    assert after("b", "~") == ([4, 5], [])
    assert after("b/") == ([4, 5], [])
    assert after("a\0", ids[5]) == ([1, 2, 3, 4, 5], [])
    assert after("zzz") == ([], [])
    assert after("k" * 3000) == ([], [])
    assert after("", delimiter="/") == ([0, 1, 2, 3, 5], ["b/"])
    assert after("b/", delimiter="/") == ([5], [])
    assert after("b", ids[2], delimiter="/") == ([3, 5], ["b/"])
    assert after("", prefix="b") == ([1, 2, 3, 4], [])
    assert after("", prefix="b\0") == ([], [])
    assert after("a", prefix="b/") == ([4], [])
    page = multipart_backend.list_multipart_uploads("bucket", UploadQuery(max_uploads=0))
    assert (page.items, page.common_prefixes, page.next_marker) == ([], [], None)
    assert code_of(multipart_backend.list_multipart_uploads, "missing", UploadQuery()) is Code.NoSuchBucket


def test_list_multipart_uploads_gives_the_whole_record_of_uploads_under_way_only(multipart_backend):
    kept, done, aborted = (begin(multipart_backend, key, algorithm="crc32") for key in "abc")
    complete(multipart_backend, done, [upload(multipart_backend, done, 1, b"part")])
    multipart_backend.abort_multipart_upload(aborted)
    multipart_backend.close()
    multipart_backend.start()
    info = multipart_backend.head_multipart_upload(kept)
    page = multipart_backend.list_multipart_uploads("bucket", UploadQuery())
    assert (page.items, page.common_prefixes, page.next_marker) == ([info], [], None)
    assert (info.checksum_algorithm, info.checksum_type) == ("crc32", "COMPOSITE")


def test_delete_bucket_ends_its_uploads(multipart_backend):
    put(multipart_backend, "source")
    refs = [begin(multipart_backend, key) for key in ("a", "b")]
    for ref in refs:
        upload(multipart_backend, ref, 1, b"part" * 1000)
    assert code_of(multipart_backend.delete_bucket, "bucket") is Code.BucketNotEmpty
    assert part_numbers(multipart_backend, refs[0]) == [1]
    multipart_backend.create_bucket(BucketInfo("second", "main", 1))
    other = begin(multipart_backend, bucket="second")
    upload(multipart_backend, other, 1, b"part")
    multipart_backend.delete_bucket("second")
    assert code_of(multipart_backend.list_parts, other, 0, 1) is Code.NoSuchBucket
    multipart_backend.create_bucket(BucketInfo("second", "main", 2))
    put(multipart_backend, "source", bucket="second")
    wrong = UploadRef("second", "key", other.upload_id)
    assert codes_of_every_call(multipart_backend, wrong) == {Code.NoSuchUpload}
    assert multipart_backend.list_multipart_uploads("second", UploadQuery()).items == []
    assert part_numbers(multipart_backend, refs[1]) == [1]


def test_uploads_that_are_too_old_expire(multipart_backend):
    put(multipart_backend, "source")
    multipart_backend.create_bucket(BucketInfo("second", "main", 1))
    refs = [begin(multipart_backend, bucket=bucket) for bucket in ("bucket", "second", "bucket")]
    for ref in refs:
        upload(multipart_backend, ref, 1, b"part" * 1000)
    times = [multipart_backend.head_multipart_upload(ref).initiated for ref in refs]
    assert multipart_backend.expire_multipart_uploads(min(times)) == 0
    assert [part_numbers(multipart_backend, ref) for ref in refs] == [[1], [1], [1]]
    assert multipart_backend.expire_multipart_uploads(max(times) + 1) == 3
    assert multipart_backend.expire_multipart_uploads(max(times) + 1) == 0
    assert codes_of_every_call(multipart_backend, refs[0]) == {Code.NoSuchUpload}
    assert multipart_backend.list_multipart_uploads("second", UploadQuery()).items == []
    later = begin(multipart_backend)
    complete(multipart_backend, later, [upload(multipart_backend, later, 1, b"later")])
    assert multipart_backend.expire_multipart_uploads(max(times) + 10**9) == 0
    assert get(multipart_backend, "key") == b"later"
    assert [info.key for info in multipart_backend.list_objects("bucket", ListQuery()).items] == [
        "key",
        "source",
    ]
