"""What the storage in another S3 is told: settings that cannot be, keys that are rotated, locks."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest

from s3shim import signing
from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.credentials import Keys
from s3shim.backends.upstream.locks import BUCKET, KEY, Lock, Locks
from s3shim.backends.upstream.places import Places
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error
from tests.contract.bodies import code_of, put
from tests.unit.fake_upstream import Answer, FakeUpstream, backend_over, error

GOOD = {"endpoint": "http://127.0.0.1:3900", "access_key": "a", "secret_key": "s"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"endpoint": "127.0.0.1:3900"}, "must begin with http"),
        ({"endpoint": "ftp://host"}, "must begin with http"),
        ({"endpoint": "http://"}, "names no host"),
        ({"endpoint": "http://host/path"}, "must have no path"),
        ({"endpoint": "http://a:b@host"}, "key pair does not belong"),
        ({"region": ""}, "region is empty"),
        ({"secret_key": None}, "secret key is missing"),
        ({"access_key": None}, "access key is missing"),
        ({"access_key": None, "secret_key": None}, "needs a key pair"),
        ({"prefix": "a//b"}, "empty segment"),
        ({"bucket": ""}, "is empty"),
        ({"dialect": "klingon"}, "unknown upstream dialect"),
        ({"attempts": 0}, "at least 1"),
        ({"lease_time": 0.0}, "for some time"),
    ],
)
def test_each_wrong_setting_is_an_error_of_its_own(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        UpstreamSettings(state=tmp_path, **{**GOOD, **wrong}).check()
    UpstreamSettings(state=tmp_path, **GOOD).check()


# -- keys --------------------------------------------------------------------------------------


def test_keys_in_a_file_are_read_again_when_it_changes(tmp_path):
    path = tmp_path / "keys"
    path.write_text("first\nsecret1\n")
    with FakeUpstream(lambda asked: Answer()) as fake:
        backend = backend_over(fake.endpoint, tmp_path, access_key=None, secret_key=None, credentials=path)
        put(backend, "key")
        new = tmp_path / "new"
        new.write_text(
            "[default]\naws_access_key_id=second\naws_secret_access_key=s2\naws_session_token=token\n"
        )
        new.rename(path)
        put(backend, "key")
        path.write_text("half")
        os.utime(path, ns=(1, 1))
        put(backend, "key")
        backend.close()
    used = [
        asked.headers["Authorization"].partition("Credential=")[2].partition("/")[0] for asked in fake.asked
    ]
    assert used == ["first", "second", "second"]
    assert [asked.headers.get("x-amz-security-token") for asked in fake.asked] == [None, "token", "token"]
    assert "x-amz-security-token" in fake.asked[1].headers["Authorization"]


def test_a_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = UpstreamSettings("http://host", tmp_path, profile="other")
    assert code_of(Keys(settings).current) is Code.ServiceUnavailable
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        "[default]\naws_access_key_id=no\naws_secret_access_key=no\n"
        "[other]\naws_access_key_id = yes\naws_secret_access_key = se%cret\n"
    )
    found = Keys(settings).current()
    assert (found.access_key, found.secret_key, found.session_token) == ("yes", "se%cret", None)


@pytest.mark.parametrize("text", ["", "one", "a b c d", "[other]\na=b\n", "[default]\naws_access_key_id=a\n"])
def test_a_file_without_a_key_pair(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    keys = Keys(UpstreamSettings("http://host", tmp_path, credentials=path))
    assert code_of(keys.current) is Code.ServiceUnavailable


# -- the check of the upstream -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "settings", "message"),
    [
        (error(404, "NoSuchBucket"), {"bucket": "everything"}, "has no bucket 'everything'"),
        (error(403, "InvalidAccessKeyId"), {}, "does not know the access key"),
        (error(403, "SignatureDoesNotMatch"), {}, "the secret key is another one"),
        (error(403, "AccessDenied"), {}, "refuses the key pair"),
        (error(400, "AuthorizationHeaderMalformed"), {}, "another region"),
        (error(301, "PermanentRedirect"), {}, "another region"),
        (error(403, "RequestTimeTooSkewed"), {}, "clocks"),
        (error(503, ""), {"attempts": 1}, "reduce your request rate"),
    ],
)
def test_the_check_tells_what_is_wrong(tmp_path, answer, settings, message):
    with FakeUpstream(lambda asked: answer) as fake:
        backend = backend_over(fake.endpoint, tmp_path, **settings)
        with pytest.raises(S3Error) as caught:
            backend.check()
        backend.close()
    assert caught.value.code is Code.ServiceUnavailable
    assert message in caught.value.message


# -- requests ----------------------------------------------------------------------------------


def test_virtual_hosts(tmp_path):
    with FakeUpstream(lambda asked: Answer()) as fake:
        backend = backend_over(fake.endpoint, tmp_path, path_style=False)
        hosts = []
        take = backend.client._pool.take
        backend.client._pool.take = lambda host: hosts.append(host) or take("127.0.0.1")
        backend.client.send(Request("GET", "bucket", "a key"))
        backend.close()
    assert hosts == ["bucket.127.0.0.1"]
    assert fake.asked[0].path == "/a%20key"
    assert fake.asked[0].headers["Host"].startswith("bucket.127.0.0.1:")


def test_the_host_of_an_ipv6_address_has_brackets(tmp_path, monkeypatch):
    backend = backend_over("http://[::1]:9", tmp_path)
    signed = []
    sign = signing.canonical_request
    monkeypatch.setattr(
        "s3shim.signing.canonical_request",
        lambda *parts: signed.extend(re.findall("^host:(.*)$", parts[3], re.MULTILINE)) or sign(*parts),
    )
    assert code_of(put, backend, "key") is Code.ServiceUnavailable
    assert set(signed) == {"[::1]:9"}
    backend.close()


def test_connections_are_used_again(tmp_path):
    peers = set()
    with FakeUpstream(lambda asked: Answer()) as fake:
        serve = fake.serve
        fake.serve = lambda handler: peers.add(handler.client_address) or serve(handler)
        backend = backend_over(fake.endpoint, tmp_path)
        for _ in range(10):
            put(backend, "key", b"data")
        backend.close()
    assert len(fake.asked) == 10
    assert len(peers) == 1


# -- locks -------------------------------------------------------------------------------------


def locks_in(path, patience):
    settings = UpstreamSettings(state=path, deadline=patience, **GOOD)
    return Locks(settings, Places(settings))


@pytest.fixture
def locks(tmp_path):
    found = locks_in(tmp_path, 0.2)
    found.start()
    yield found
    found.close()


def test_a_lock_excludes_threads_and_gives_up_in_time(locks):
    with locks.hold(Lock(KEY, "bucket", "a")):
        assert _outcome(locks, Lock(KEY, "bucket", "a")) is Code.SlowDown
        assert _outcome(locks, Lock(KEY, "bucket", "b")) is None
    assert _outcome(locks, Lock(KEY, "bucket", "a")) is None


def _outcome(locks, *wanted):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_hold, locks, wanted).result()


def _hold(locks, wanted):
    try:
        with locks.hold(*wanted):
            return None
    except S3Error as caught:
        return caught.code


def test_shared_locks_pass_each_other_and_keep_out_exclusive_ones(locks):
    with locks.hold(Lock(BUCKET, "bucket", exclusive=False)):
        assert _outcome(locks, Lock(BUCKET, "bucket", exclusive=False)) is None
        assert _outcome(locks, Lock(BUCKET, "bucket")) is Code.SlowDown
    with locks.hold(Lock(KEY, "b", "k"), Lock(KEY, "b", "k", exclusive=False)):
        assert _outcome(locks, Lock(KEY, "b", "k", exclusive=False)) is Code.SlowDown


def test_locks_are_taken_in_one_order(tmp_path):
    """Two that want the same locks the other way round do not wait for each other."""
    locks = locks_in(tmp_path, 60)
    locks.start()
    wanted = [Lock(KEY, "bucket", str(n)) for n in range(5)]
    stop = Event()
    codes = []

    def take(order):
        while not stop.is_set():
            codes.append(_hold(locks, order))

    threads = [Thread(target=take, args=(order,)) for order in (wanted, wanted[::-1])]
    for thread in threads:
        thread.start()
    stop.wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    locks.close()
    assert set(codes) == {None}


def test_another_process_is_excluded_and_its_death_gives_the_lock_back(locks, tmp_path):
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        try:
            other = locks_in(tmp_path, 5)
            other.start()
            with other.hold(Lock(KEY, "bucket", "key")):
                os.write(done, b"x")
                Event().wait(60)
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"x"
    assert _outcome(locks, Lock(KEY, "bucket", "key")) is Code.SlowDown
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert _outcome(locks, Lock(KEY, "bucket", "key")) is None


def test_stamps(locks, tmp_path):
    other = locks_in(tmp_path, 1)
    other.start()
    before = locks.stamp("bucket")
    assert other.stamp("bucket") == before
    other.restamp("bucket")
    assert locks.stamp("bucket") == other.stamp("bucket") != before
    other.close()


def test_the_lock_file_is_for_us_alone(locks, tmp_path):
    with locks.hold(Lock(KEY, "a")):
        assert {path.name for path in Path(tmp_path).iterdir()} == {"locks", "stamps"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
