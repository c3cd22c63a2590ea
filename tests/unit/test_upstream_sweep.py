"""What died in the middle leaves nothing in another S3 for long, and nothing that is in the way."""

import pytest

from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.rounds import Rounds
from s3shim.errors import Code
from s3shim.model import BucketInfo
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.uploads import begin, complete, put_parts, upload
from tests.unit.test_upstream_store import another


def test_what_died_is_swept(moto, monkeypatch):
    kept = begin(moto, "kept")
    upload(moto, kept, 1, b"part")
    put_parts(moto, "key", [pattern(300, n) for n in range(60)], algorithm="sha256")
    put(moto, "key", b"new")
    moto.write_own("staged/dead", b"of a worker that was killed")
    moto.begin_upstream(Place("s3shim-records", ".s3shim/staged/dead"))
    assert moto.expire_multipart_uploads(1) == 0
    assert [name for name, _ in moto.names_own("staged/")] == ["dead"]
    later = moto.now() + 2 * 86_400_000
    monkeypatch.setattr(moto, "now", lambda: later)
    assert moto.expire_multipart_uploads(1) == 0
    assert list(moto.names_own("staged/")) == []
    assert [place.key for place, *_ in moto.uploads_upstream(Place("s3shim-records", ""))] == [
        f".s3shim/staged/{kept.upload_id}"
    ]
    assert moto.expire_multipart_uploads(later) == 1
    left = [name for name, _ in moto.names_own("") if not name.startswith("buckets/")]
    assert left == []
    assert list(moto.uploads_upstream(Place("s3shim-records", ""))) == []
    assert get(moto, "key") == b"new"


def test_what_an_upload_needs_to_be_completed_again_is_not_swept(moto, monkeypatch):
    """A worker died between the upstream's completion and the copy; the object is as old as the upload."""
    ref = begin(moto, "key")
    part = upload(moto, ref, 1, b"part")
    with monkeypatch.context() as dying:
        dying.setattr(moto, "place_copy", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            complete(moto, ref, [part])
    later = moto.now() + 2 * 86_400_000
    monkeypatch.setattr(moto, "now", lambda: later)
    assert moto.expire_multipart_uploads(1) == 0
    complete(moto, ref, [part])
    assert get(moto, "key") == b"part"


def test_records_of_parts_of_an_upload_that_has_ended_are_swept(moto, monkeypatch):
    """A worker died between the record of the upload and those of its parts."""
    ref = begin(moto, "key")
    upload(moto, ref, 1, b"part")
    moto.delete_own(next(f"uploads/{name}" for name, _ in moto.names_own("uploads/")))
    other = begin(moto, "other")
    upload(moto, other, 1, b"part")
    later = moto.now() + 2 * 86_400_000
    monkeypatch.setattr(moto, "now", lambda: later)
    assert moto.expire_multipart_uploads(1) == 0
    assert {name.split("/")[1] for name, _ in moto.names_own("parts/")} == {other.upload_id}


# -- buckets of which a part is gone -------------------------------------------------------------


def test_a_bucket_whose_removal_was_cut_off_can_be_removed(moto):
    moto.client.send(Request("DELETE", "bucket"))
    moto.delete_bucket("bucket")
    assert code_of(moto.head_bucket, "bucket") is Code.NoSuchBucket
    assert list(moto.names_own("buckets/")) == []


def test_a_bucket_whose_removal_was_cut_off_can_be_made_again(moto):
    moto.put_document("bucket", "cors", b"of the bucket before")
    begin(moto, "key")
    moto.client.send(Request("DELETE", "bucket"))
    moto.create_bucket(BucketInfo("bucket", "other", 2))
    assert moto.head_bucket("bucket").owner == "other"
    assert moto.get_document("bucket", "cors") is None
    assert list(moto.names_own("uploads/")) == []
    put(moto, "key", b"data")


def test_a_new_bucket_inherits_no_documents(moto):
    """A worker died after it had removed a bucket, and before its documents."""
    moto.put_document("bucket", "cors", b"of the bucket before")
    moto.client.send(Request("DELETE", "bucket"))
    moto.delete_own("buckets/bucket")
    moto.create_bucket(BucketInfo("bucket", "main", 2))
    assert moto.get_document("bucket", "cors") is None


def test_rounds_without_an_expiry_sweep_all_the_same(tmp_path):
    called = []
    assert Rounds(tmp_path / "cleaned", 0, called.append).round()
    assert called == [0]


def test_the_rounds_are_made_once_an_hour_by_one_process(moto):
    other = another(moto, moto.settings.state)
    assert [backend._rounds.round() for backend in (moto, other, moto)] == [True, False, False]
    other.close()
