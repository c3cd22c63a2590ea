"""The storage in another S3 beyond the contract: where things lie, what is shared, and what is not native."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from s3shim.backends.upstream import remote
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.dialect import PROFILES
from s3shim.backends.upstream.markup import read_buckets
from s3shim.backends.upstream.places import Place
from s3shim.cli.main import main
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, ObjectRef
from s3shim.ranges import ByteRange
from tests.contract import upstreams
from tests.contract.bodies import BytesBody, code_of, digests_of, get, pattern, put
from tests.contract.uploads import begin, complete, put_parts, upload
from tests.server.process import free_port

KEY = ObjectRef("bucket", "key")
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"plain": "1", "a_b": "v\xe4lue"}, {"t": "1"})
NEW_ONLY = Conditions(if_none_match=ETagList(any=True))


def another(backend, path, **settings):
    """Return a backend over the same upstream."""
    other = UpstreamBackend(replace(backend.settings, state=path, **settings))
    other.start()
    return other


def keys_upstream(backend, bucket):
    return [item.key for item in backend.list_page(Place(bucket, "")).items]


# -- where things lie --------------------------------------------------------------------------


def test_objects_lie_under_their_own_keys_and_nothing_else_does(moto):
    put(moto, "key", b"data", meta=META)
    put(moto, "large", pattern(50_000))
    put_parts(moto, "parts", [pattern(5000), b"end"])
    moto.put_document("bucket", "policy", b"{}")
    assert keys_upstream(moto, "bucket") == ["key", "large", "parts"]
    reply = moto.client.send(Request("GET", "bucket", "key"))
    assert reply.data == b"data"
    assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == ("text/x", "no-store")
    assert reply.headers["x-amz-meta-plain"] == "1"
    assert reply.headers["ETag"] == f'"{digests_of(b"data").md5}"'
    own = [name for name in keys_upstream(moto, "s3shim-records") if "/staged/" in name or "/parts/" in name]
    assert own == []


def test_our_own_bucket_is_none_of_the_clients(moto):
    assert [info.name for info in moto.list_buckets()] == ["bucket"]
    assert code_of(moto.head_bucket, "s3shim-records") is Code.NoSuchBucket
    assert code_of(get, moto, "key", bucket="s3shim-records") is Code.NoSuchBucket
    taken = code_of(moto.create_bucket, BucketInfo("s3shim-records", "main", 1))
    assert taken is Code.InvalidBucketName


def test_what_others_put_there_is_served(moto):
    moto.create_upstream_bucket("theirs")
    moto.client.send(Request("PUT", "theirs", "key", headers={"x-amz-meta-a": "1"}, body=b"data"))
    assert moto.head_bucket("theirs").owner == moto.settings.account
    assert get(moto, "key", bucket="theirs") == b"data"
    info = moto.head_object(ObjectRef("theirs", "key"), NO_CONDITIONS)
    assert (info.size, info.etag, info.meta.user) == (4, digests_of(b"data").md5, {"a": "1"})
    assert info.last_modified > 1_700_000_000_000
    moto.put_object_tags(ObjectRef("theirs", "key"), {"a": "1"})
    moto.copy_object(Copy(ObjectRef("theirs", "key")), KEY, NO_CONDITIONS)
    assert get(moto, "key") == b"data"
    assert moto.head_object(KEY, NO_CONDITIONS).meta.tags == {"a": "1"}


@pytest.mark.parametrize("entry", ["", "{}", "x", "[1]", '{"t":"1"}', '{"t":1,"c":3}'])
def test_an_entry_that_is_not_ours_harms_nothing(moto, entry):
    headers = {"x-amz-meta-s3shim": entry} if entry else {}
    moto.client.send(Request("PUT", "bucket", "key", headers=headers, body=b"data"))
    assert get(moto, "key") == b"data"
    assert moto.head_object(KEY, NO_CONDITIONS).meta.user == {}


@pytest.mark.parametrize(
    ("prefix", "stem"), [("", ""), ("a", "a/"), ("a/", "a/"), ("/a/b/", "a/b/"), ("\u00e9 x", "\u00e9 x/")]
)
def test_one_bucket_for_all(moto, tmp_path, prefix, stem):
    moto.create_upstream_bucket("everything")
    backend = another(moto, tmp_path / "other", bucket="everything", prefix=prefix)
    for name in ("one", "two"):
        backend.create_bucket(BucketInfo(name, "main", 1))
        for key in ("key", "/lead", "a//b", "trail/"):
            put(backend, key, name.encode(), bucket=name)
    expected = [
        f"{stem}{name}/{key}" for name in ("one", "two") for key in ("/lead", "a//b", "key", "trail/")
    ]
    found = [key for key in keys_upstream(moto, "everything") if ".s3shim/" not in key]
    assert found == sorted(expected)
    assert get(backend, "/lead", bucket="two") == b"two"
    assert [info.name for info in backend.list_buckets()] == ["one", "two"]
    listed = backend.list_objects("one", ListQuery(delimiter="/"))
    assert ([info.key for info in listed.items], listed.common_prefixes) == (["key"], ["/", "a/", "trail/"])
    assert code_of(backend.delete_bucket, "one") is Code.BucketNotEmpty
    room = 1024 - len(f"{stem}one/".encode())
    put(backend, "k" * room, bucket="one")
    assert code_of(put, backend, "k" * (room + 1), bucket="one") is Code.KeyTooLongError
    backend.close()


def test_prefixes_keep_gateways_apart(moto, tmp_path):
    moto.create_upstream_bucket("everything")
    first = another(moto, tmp_path / "1", bucket="everything", prefix="first")
    second = another(moto, tmp_path / "2", bucket="everything", prefix="second")
    first.create_bucket(BucketInfo("bucket", "main", 1))
    assert code_of(second.head_bucket, "bucket") is Code.NoSuchBucket
    second.create_bucket(BucketInfo("bucket", "other", 1))
    put(first, "key", b"first")
    assert code_of(get, second, "key") is Code.NoSuchKey
    first.close()
    second.close()


def test_a_missing_bucket_of_ours_is_no_missing_bucket_of_the_clients(moto, tmp_path):
    backend = another(moto, tmp_path / "other", bucket="not-there")
    assert code_of(backend.head_bucket, "bucket") is Code.ServiceUnavailable
    assert code_of(get, backend, "key") is Code.ServiceUnavailable
    assert code_of(backend.check) is Code.ServiceUnavailable
    backend.close()


# -- gateways side by side ---------------------------------------------------------------------


def test_another_gateway_sees_all_of_it(moto, tmp_path):
    put(moto, "key", b"data", meta=META)
    parts = put_parts(moto, "parts", [pattern(5000), b"end"], meta=META, algorithm="crc32")
    moto.put_document("bucket", "policy", b"{}")
    ref = begin(moto, "begun", meta=META)
    part = upload(moto, ref, 1, b"part")
    other = another(moto, tmp_path / "other")
    assert other.head_bucket("bucket") == BucketInfo("bucket", "main", 1)
    assert other.head_object(KEY, NO_CONDITIONS) == moto.head_object(KEY, NO_CONDITIONS)
    assert other.head_object(ObjectRef("bucket", "parts"), NO_CONDITIONS) == parts
    assert len(other.get_object_parts(ObjectRef("bucket", "parts"), NO_CONDITIONS)[1]) == 2
    assert other.get_document("bucket", "policy") == b"{}"
    info = complete(other, ref, [part])
    assert complete(moto, ref, [part]) == info
    other.close()


def test_of_writers_in_several_workers_one_wins(moto):
    """Each backend has open files of its own, as each process has."""
    workers = [another(moto, moto.settings.state) for _ in range(4)]
    for round_number in range(5):
        calls = [(workers[n % 4], f"key{round_number}", pattern(10 + 5000 * (n % 2), n)) for n in range(12)]
        with ThreadPoolExecutor(12) as pool:
            codes = list(pool.map(lambda call: code_of(put, *call, conditions=NEW_ONLY), calls))
        assert sorted(codes, key=str) == [Code.PreconditionFailed] * 11 + [None]
        assert get(moto, f"key{round_number}") == calls[codes.index(None)][2]
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("conditions", [NEW_ONLY, "If-Match"])
def test_a_writer_of_another_host_is_seen_by_an_upstream_that_honours_conditions(
    moto, monkeypatch, conditions
):
    """Between the check and the write another gateway, whose locks are others, writes the key."""
    if conditions == "If-Match":
        conditions = Conditions(if_match=ETagList(frozenset({put(moto, "key", b"old").etag})))
    check = moto.check_conditions

    def overtaken(ref, wanted):
        headers = check(ref, wanted)
        moto.client.send(Request("PUT", "bucket", "key", body=b"of another host"))
        return headers

    monkeypatch.setattr(moto, "check_conditions", overtaken)
    assert code_of(put, moto, "key", b"ours", conditions=conditions) is Code.PreconditionFailed
    assert get(moto, "key") == b"of another host"


def test_a_conditional_write_whose_answer_was_lost_is_no_conflict(moto, monkeypatch):
    send = moto.client._once
    lost = []

    def losing(request, once):
        answer = send(request, once)
        if request.key == "key" and request.method == "PUT" and not lost:
            lost.append(answer.status)
            answer.close()
            raise OSError("the answer is lost")
        return answer

    monkeypatch.setattr(moto.client, "_once", losing)
    info = put(moto, "key", b"data", conditions=NEW_ONLY)
    assert lost == [200]
    assert moto.head_object(KEY, NO_CONDITIONS) == info


def test_a_bucket_removed_by_one_worker_is_gone_for_all(moto):
    other = another(moto, moto.settings.state)
    assert other.bucket_owner("bucket") == "main"
    moto.delete_bucket("bucket")
    assert code_of(other.bucket_owner, "bucket") is Code.NoSuchBucket
    moto.create_bucket(BucketInfo("bucket", "new", 2))
    assert other.bucket_owner("bucket") == "new"
    other.close()


# -- what is not native ------------------------------------------------------------------------


@pytest.mark.parametrize("length", [None, 17_000_000])
def test_a_body_of_unknown_length_as_parts(moto, monkeypatch, length):
    monkeypatch.setattr(moto, "_dialect", replace(PROFILES["moto"], chunked=False))
    data = pattern(17_000_000)
    info = put(moto, "key", BytesBody(data, piece=1 << 20, length=length), meta=META)
    assert (info.size, info.etag, info.meta) == (len(data), digests_of(data).md5, META)
    assert moto.head_object(KEY, NO_CONDITIONS) == info
    assert get(moto, "key") == data
    assert [name for name, _ in moto.names_own("staged/")] == []


def test_a_body_of_unknown_length_that_fails_leaves_no_upload(moto, monkeypatch):
    monkeypatch.setattr(moto, "_dialect", replace(PROFILES["moto"], chunked=False))
    body = BytesBody(pattern(20_000_000), piece=1 << 20, length=None, fail_at=15, error=ValueError("cut"))
    with pytest.raises(ValueError, match="cut"):
        put(moto, "key", body)
    assert list(moto.uploads_upstream(Place("s3shim-records", ""))) == []
    assert keys_upstream(moto, "bucket") == []


def test_a_copy_beyond_what_one_request_copies(moto, monkeypatch):
    data = pattern(40_000)
    put(moto, "key", data, meta=META)
    monkeypatch.setattr(moto, "_dialect", replace(PROFILES["moto"], copy_limit=15_000))
    info = moto.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    assert get(moto, "copy") == data
    assert moto.head_object(ObjectRef("bucket", "copy"), NO_CONDITIONS) == info
    assert (info.etag, info.meta) == (digests_of(data).md5, META)
    assert remote._COPY_STEP > 15_000


@pytest.mark.parametrize("tags", [{"a": "1"}, {f"k{n}": "v" * 100 for n in range(10)}])
def test_tags_where_the_upstream_keeps_none(moto, monkeypatch, tags):
    monkeypatch.setattr(moto, "_dialect", replace(PROFILES["moto"], tagging=False))
    info = put(moto, "key", b"data", meta=META)
    moto.put_object_tags(KEY, tags)
    found = moto.head_object(KEY, NO_CONDITIONS)
    assert found.meta.tags == tags
    assert (found.last_modified, found.etag) == (info.last_modified, info.etag)
    reply = moto.client.send(Request("HEAD", "bucket", "key"))
    assert "x-amz-tagging-count" not in reply.headers


def test_a_table_of_many_parts_lies_beside_the_object_and_goes_with_a_copy(moto):
    datas = [pattern(300, n) for n in range(60)]
    info = put_parts(moto, "key", datas, algorithm="sha256")
    found, parts = moto.get_object_parts(KEY, NO_CONDITIONS)
    assert (found, len(parts)) == (info, 60)
    moto.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    moto.delete_object(KEY, NO_CONDITIONS)
    moto.expire_multipart_uploads(moto.now() + 10**12)
    assert moto.get_object_parts(ObjectRef("bucket", "copy"), NO_CONDITIONS)[1] == parts


def test_checksums_are_swept_once_their_object_is_another(moto, monkeypatch):
    for key in ("kept", "gone", "replaced"):
        put(moto, key, pattern(50_000))
    moto.delete_object(ObjectRef("bucket", "gone"), NO_CONDITIONS)
    put(moto, "replaced", b"small")
    later = moto.now() + 8 * 86_400_000
    monkeypatch.setattr(moto, "now", lambda: later)
    assert len(list(moto.names_own("checksums/"))) == 3
    moto.expire_multipart_uploads(later - 7 * 86_400_000)
    assert len(list(moto.names_own("checksums/"))) == 1
    assert moto.head_object(ObjectRef("bucket", "kept"), NO_CONDITIONS).checksums


# -- the probe ---------------------------------------------------------------------------------


def test_the_probe_finds_out_how_moto_behaves_and_remembers_it(moto, tmp_path):
    backend = another(moto, tmp_path / "auto", dialect="auto")
    found = backend.dialect
    assert found == PROFILES["moto"]
    remembered = json.loads((tmp_path / "auto" / "dialect.json").read_text())
    assert remembered["dialect"]["unfit"] == "\\n"
    assert [name for name in keys_upstream(moto, "s3shim-records") if "probe" in name] == []
    assert [name for name, _ in read_buckets(moto.client.send(Request("GET")).data)] == [
        "bucket",
        "s3shim-records",
    ]
    backend.close()


def test_the_doctor_says_what_moto_can_do(moto, tmp_path, capsys):
    keys = ["--upstream-access-key", upstreams.ACCESS, "--upstream-secret-key", upstreams.SECRET]
    flags = ["--data", str(tmp_path), "--upstream-endpoint", moto.settings.endpoint, *keys]
    assert main(["doctor", "--upstream", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{moto.settings.endpoint} (like moto)"
    assert "yes  If-None-Match on PUT" in lines
    assert "no   a wrong checksum is refused: s3shim verifies bodies itself" in lines
    assert lines[-2:] == [
        "     keys end at 1024 bytes",
        "     conditional writes are exact on one machine, and across machines up to 1048576 bytes",
    ]
    assert (tmp_path / "upstream" / "dialect.json").exists()


def test_the_doctor_says_why_it_cannot_ask(tmp_path, capsys):
    keys = ["--upstream-access-key", "a" * 16, "--upstream-secret-key", "s" * 16]
    data = ["--data", str(tmp_path)]
    away = ["--upstream-endpoint", f"http://127.0.0.1:{free_port()}", "--upstream-attempts", "1"]
    assert main(["doctor", "--upstream", *data, *keys, *away]) == 1
    assert "The storage cannot be reached." in capsys.readouterr().err
    assert main(["doctor", "--upstream", *data, *keys]) == 2
    assert "--upstream-endpoint is needed" in capsys.readouterr().err


# -- the ETag that a listing shows -------------------------------------------------------------


def test_an_object_is_known_by_the_etag_that_its_listing_shows_as_well(moto):
    """Moto, Amazon S3 and MinIO give a copy of parts another ETag, and aws s3 sync asks for that."""
    info = put_parts(moto, "parts", [pattern(5000), b"end"])
    (shown,) = moto.list_objects("bucket", ListQuery()).items
    assert shown.etag != info.etag
    ref, data = ObjectRef("bucket", "parts"), pattern(5000) + b"end"
    for etag in (shown.etag, info.etag):
        tags = ETagList(frozenset({etag}))
        wanted, not_wanted = Conditions(if_match=tags), Conditions(if_none_match=tags)
        assert moto.head_object(ref, wanted).etag == info.etag
        assert get(moto, "parts", ByteRange(10, 19), conditions=wanted) == data[10:20]
        assert get(moto, "parts", ByteRange(10, 19), conditions=Conditions(if_range=etag)) == data[10:20]
        assert code_of(moto.get_object, ref, None, not_wanted) is Code.NotModified
        assert moto.copy_object(Copy(ref, wanted), KEY, NO_CONDITIONS).etag == info.etag
        assert code_of(moto.copy_object, Copy(ref, not_wanted), KEY, NO_CONDITIONS) is Code.PreconditionFailed
        assert code_of(put, moto, "parts", b"x", conditions=not_wanted) is Code.PreconditionFailed
    other = Conditions(if_match=ETagList(frozenset({"0" * 32})), if_range="0" * 32)
    assert code_of(moto.head_object, ref, other) is Code.PreconditionFailed
    assert get(moto, "parts", ByteRange(10, 19), conditions=Conditions(if_range="0" * 32)) == data
    put(moto, "parts", b"new", conditions=Conditions(if_match=ETagList(frozenset({shown.etag}))))
    assert get(moto, "parts") == b"new"
