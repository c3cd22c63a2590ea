"""The credentials file: what is taken, what is refused and in which words, and how it is made."""

import json
import os
import stat
import threading

import pytest

from s3shim.auth import credentials
from s3shim.auth.credentials import CredentialsRefused

SECRET = "never-to-be-seen-in-any-message"


@pytest.fixture
def write(tmp_path):
    """Write a document, or raw bytes, as a credentials file of mode 0600; return its path."""

    def written(content):
        path = tmp_path / "credentials.json"
        path.touch(0o600)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return written


def entry(**fields):
    return {"accessKey": "AKEY", "secretKey": SECRET, **fields}


def test_nats_s3_file_is_taken_as_it_is(write):
    path = write({"credentials": [entry(), {"accessKey": "abc", "secretKey": "12345678"}]})
    loaded = credentials.load(path)
    assert list(loaded) == ["AKEY", "abc"]
    first = loaded["AKEY"]
    assert (first.secret, first.account, first.display_name) == (SECRET.encode(), "default", "default")
    assert loaded["abc"].account == "default"
    assert "other" not in loaded


def test_account_and_display_name(write):
    loaded = credentials.load(write({"credentials": [entry(account="main", displayName="Größe")]}))
    assert (loaded["AKEY"].account, loaded["AKEY"].display_name) == ("main", "Größe")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"credentials": []}, "at least one"),
        ({}, "expecting"),
        ([], "expecting"),
        ({"credentials": {"accessKey": "abc"}}, "expecting"),
        ({"credentials": [entry(), "text"]}, r"credentials\[1\]: expecting an object"),
        ({"credentials": [entry(accessKey="ab")]}, r"credentials\[0\]: accessKey: at least 3"),
        ({"credentials": [entry(accessKey="a=b")]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(accessKey="a,b")]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(accessKey="a/b")]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(accessKey="a\nb")]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(accessKey="käse")]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(accessKey=123)]}, r"credentials\[0\]: accessKey: expecting a string"),
        ({"credentials": [{"secretKey": SECRET}]}, r"credentials\[0\]: accessKey"),
        ({"credentials": [entry(), entry(accessKey="B12", secretKey="1234567")]}, r"\[1\]: secretKey"),
        ({"credentials": [{"accessKey": "abc"}]}, r"credentials\[0\]: secretKey"),
        ({"credentials": [entry(), entry(accessKey="B12"), entry()]}, r"\[2\]: accessKey: an earlier"),
        ({"credentials": [entry(account="")]}, r"credentials\[0\]: account"),
        ({"credentials": [entry(account="a b")]}, r"credentials\[0\]: account"),
        ({"credentials": [entry(account="a" * 65)]}, r"credentials\[0\]: account"),
        ({"credentials": [entry(account=None)]}, r"credentials\[0\]: account: expecting a string"),
        ({"credentials": [entry(displayName="\ud800")]}, r"credentials\[0\]: displayName"),
        (b"{", "not JSON at line 1"),
        (b"\xff\xfe\xff", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_refused(write, document, words):
    path = write(document)
    with pytest.raises(CredentialsRefused, match=words) as refused:
        credentials.load(path)
    assert str(path) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_unknown_fields_are_warned_of(write, caplog):
    document = {"version": 1, "credentials": [entry(), entry(accessKey="B12", note="x")]}
    with caplog.at_level("WARNING", "s3shim"):
        credentials.load(write(document))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "version" in messages[0]
    assert "credentials[1].note" in messages[1]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644])
def test_open_to_others_is_refused(write, mode):
    path = write({"credentials": [entry()]})
    path.chmod(mode)
    with pytest.raises(CredentialsRefused, match="others"):
        credentials.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(CredentialsRefused, match="No such file"):
        credentials.load(tmp_path / "none.json")
    with pytest.raises(CredentialsRefused, match="Is a directory"):
        credentials.load(tmp_path)


def test_nothing_shows_a_secret(write):
    loaded = credentials.load(write({"credentials": [entry()]}))
    assert SECRET not in f"{loaded!r} {loaded} {loaded['AKEY']!r} {dict(loaded)}"


def test_token_key_depends_on_every_secret():
    one = credentials.fixed("AKEY", "12345678")
    assert one.token_key == credentials.fixed("BKEY", "12345678").token_key
    assert one.token_key != credentials.fixed("AKEY", "12345679").token_key
    assert len(one.token_key) == 32


def test_fixed_pair():
    one = credentials.fixed("AKEY", "12345678")
    assert (one["AKEY"].secret, one["AKEY"].account) == (b"12345678", "default")
    with pytest.raises(CredentialsRefused, match="secretKey"):
        credentials.fixed("AKEY", "short")


def test_first_start_makes_the_file(tmp_path):
    path = tmp_path / "credentials.json"
    access_key, secret_key = credentials.ensure(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(access_key) == 20
    assert access_key.isascii()
    assert access_key == access_key.upper()
    assert access_key.isalnum()
    assert len(secret_key) == 40
    assert os.listdir(tmp_path) == ["credentials.json"]
    assert credentials.load(path)[access_key].account == "default"
    assert credentials.ensure(path) == (access_key, secret_key)
    other = tmp_path / "other.json"
    assert credentials.ensure(other)[0] != access_key


def test_ensure_returns_the_first_pair_of_the_file(write):
    path = write({"credentials": [entry(), entry(accessKey="B12")]})
    before = path.read_bytes()
    assert credentials.ensure(path) == ("AKEY", SECRET)
    assert path.read_bytes() == before


def test_given_pair_leaves_the_file_alone(tmp_path):
    path = tmp_path / "credentials.json"
    assert credentials.ensure(path, "AKEY", "12345678") == ("AKEY", "12345678")
    assert not path.exists()
    with pytest.raises(CredentialsRefused, match="secretKey"):
        credentials.ensure(path, "AKEY")


def test_first_starts_at_once_agree(tmp_path):
    path = tmp_path / "credentials.json"
    gate = threading.Barrier(8)
    pairs = []

    def start():
        gate.wait()
        pairs.append(credentials.ensure(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == 8
    assert len(set(pairs)) == 1
    assert os.listdir(tmp_path) == ["credentials.json"]


def test_crash_leaves_no_half_file(tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(5, "Input/output error")

    path = tmp_path / "credentials.json"
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CredentialsRefused, match="Input/output"):
        credentials.ensure(path)
    assert os.listdir(tmp_path) == []


def test_directory_is_missing(tmp_path):
    with pytest.raises(CredentialsRefused, match="No such file"):
        credentials.ensure(tmp_path / "none" / "credentials.json")
