"""HTTPS: what is refused at the start, what is served, and how a certificate is renewed."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.server.certificates import Authority
from tests.server.process import GUNICORN, Server, environment, refused, serve
from tests.server.test_start import HEALTH, SERVE, lines_to_paste
from tests.wire.client import LiveClient

MIB = 2**20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """One worker with one thread: what holds the thread is seen at once."""
    flags = (*authority.flags, "--workers", "1", "--threads", "1", "--header-timeout", "2")
    server = serve(tmp_path_factory.mktemp("secure"), *flags)
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


@pytest.fixture
def client(secure: Server, authority: Authority) -> Iterator[LiveClient]:
    keys = secure.shown("access key"), secure.shown("secret key")
    made = LiveClient(secure.host, secure.port, *keys, tls=authority.client())
    yield made
    made.close()


def test_the_banner_says_https(secure: Server) -> None:
    assert secure.shown("endpoint") == f"https://127.0.0.1:{secure.port}"
    assert "secure=True" in lines_to_paste(secure, "minio-py")


@pytest.mark.parametrize("name", ["boto3", "minio-py"])
def test_pasted_lines_work(secure: Server, authority: Authority, name: str) -> None:
    bundle = {"AWS_CA_BUNDLE": str(authority.bundle), "SSL_CERT_FILE": str(authority.bundle)}
    done = subprocess.run(
        [sys.executable, "-c", lines_to_paste(secure, name)],
        env=environment() | bundle,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_boto3_puts_and_gets_8_mib(secure: Server, authority: Authority) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=secure.shown("endpoint"),
        region_name="us-east-1",
        aws_access_key_id=secure.shown("access key"),
        aws_secret_access_key=secure.shown("secret key"),
        verify=str(authority.bundle),
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    body = hashlib.shake_256(b"tls").digest(8 * MIB)
    s3.create_bucket(Bucket="by-boto3")
    s3.put_object(Bucket="by-boto3", Key="large", Body=body)
    assert s3.get_object(Bucket="by-boto3", Key="large")["Body"].read() == body
    assert (
        s3.get_object(Bucket="by-boto3", Key="large", Range="bytes=5-1048580")["Body"].read()
        == body[5:1048581]
    )
    s3.close()


def test_one_connection_carries_puts_and_gets(client: LiveClient) -> None:
    body = hashlib.shake_256(b"raw").digest(8 * MIB)
    assert client.request("PUT", "/by-raw").status == 200
    kept = client._local.connection
    for size in (0, 1, 70_000, 8 * MIB):
        assert client.request("PUT", "/by-raw/k", body=body[:size]).status == 200
        assert client.request("GET", "/by-raw/k").body == body[:size]
    assert client._local.connection is kept
    assert kept.version() == "TLSv1.3"


def test_expect_is_answered_in_time(client: LiveClient, secure: Server, authority: Authority) -> None:
    assert client.request("PUT", "/expecting").status == 200
    draft = client.draft("PUT", "/expecting/k", headers={"Expect": "100-continue"}, body=b"12345")
    head = f"PUT {draft.target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in draft.headers) + "\r\n"
    with secure.connect(authority.client()) as raw:
        raw.send(head.encode())
        assert raw.answer().status == 100
        raw.send(b"12345")
        assert raw.answer().status == 200
    with secure.connect(authority.client()) as raw:
        raw.send(head.replace("/k HTTP", "/other HTTP").encode())
        answer = raw.answer()
        assert (answer.status, answer.headers["connection"]) == (403, "close")


def test_a_slow_handshake_holds_no_thread(secure: Server, authority: Authority) -> None:
    slow = [socket.create_connection((secure.host, secure.port)) for _ in range(20)]
    try:
        for number, sock in enumerate(slow):
            # The first bytes of a ClientHello of 512 bytes, or nothing at all.
            sock.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        began = time.monotonic()
        assert secure.ask(HEALTH, authority.client()).status == 200
        assert time.monotonic() - began < 1
        for sock in slow:
            sock.settimeout(10)
            assert sock.recv(1) == b""
        assert time.monotonic() - began < 8
    finally:
        for sock in slow:
            sock.close()


def read_to_the_end(secure: Server, authority: Authority, request: bytes) -> bytes:
    """Return all that comes back; raises SSLError where the end is not announced (RFC 8446, 6.1)."""
    sock = socket.create_connection((secure.host, secure.port), timeout=30)
    context = authority.client()
    with context.wrap_socket(sock, server_hostname=secure.host, suppress_ragged_eofs=False) as strict:
        strict.sendall(request)
        return b"".join(iter(lambda: strict.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", 408),
        (b"PUT /a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", 403),
    ],
    ids=["close", "HTTP/1.0", "no host", "head not in time", "body refused"],
)
def test_the_end_of_a_connection_is_announced(
    secure: Server, authority: Authority, request_bytes: bytes, status: int
) -> None:
    received = read_to_the_end(secure, authority, request_bytes)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in received


def test_what_is_no_tls_ends_the_connection_alone(secure: Server, authority: Authority) -> None:
    with secure.connect() as plain:
        plain.send(HEALTH)
        assert not plain.receive().startswith(b"HTTP/")
    assert secure.ask(HEALTH, authority.client()).status == 200


def test_tls_below_1_2_is_refused(secure: Server, authority: Authority) -> None:
    old = authority.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure.connect(old)
    newer = authority.client()
    newer.maximum_version = ssl.TLSVersion.TLSv1_2
    assert secure.ask(HEALTH, newer).status == 200


def test_no_warning_of_plain_http(tmp_path: Path, authority: Authority) -> None:
    server = serve(tmp_path, "--listen", "0.0.0.0:0", *authority.flags)
    assert server.shown("endpoint") == f"https://127.0.0.1:{server.port}"
    assert server.stop() == 0
    assert "plain HTTP" not in server.stderr


@pytest.mark.parametrize("command", [SERVE, GUNICORN], ids=["serve", "gunicorn"])
@pytest.mark.parametrize(
    "fault", ["missing", "no certificate", "no key", "another key", "encrypted", "alone"]
)
def test_bad_files_are_one_line_and_78(tmp_path: Path, command: list[str], fault: str) -> None:
    own = Authority(tmp_path)
    said = {
        "missing": rf"{own.cert}: No such file or directory",
        "no certificate": rf"{own.cert}: no certificate in PEM form",
        "no key": rf"{own.key}: no private key in PEM form that fits \(.+\)",
        "another key": rf"{own.key}: not the key of the certificate in {own.cert}",
        "encrypted": rf"{own.key}: encrypted; .+",
        "alone": "S3SHIM_TLS_CERT and S3SHIM_TLS_KEY must be given together",
    }[fault]
    settings = {"S3SHIM_DATA": str(tmp_path / "data"), "S3SHIM_LISTEN": "127.0.0.1:0"}
    settings |= {"S3SHIM_TLS_CERT": str(own.cert), "S3SHIM_TLS_KEY": str(own.key)}
    if fault == "missing":
        own.cert.unlink()
    elif fault == "no certificate":
        own.cert.write_text("certificate")
    elif fault == "no key":
        own.key.write_text("key")
    elif fault == "another key":
        kept = own.cert.read_bytes()
        own.issue()
        own.cert.write_bytes(kept)
    elif fault == "encrypted":
        own.key.write_text(ENCRYPTED_KEY)
    else:
        del settings["S3SHIM_TLS_KEY"]
    code, stderr = refused(command, settings)
    assert code == 78
    assert re.fullmatch(rf"s3shim: {said}\n", stderr), stderr
    assert not (tmp_path / "data").exists()


# What OpenSSL looks at before it asks for a password; nothing is encrypted in it.
ENCRYPTED_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n"
    "AAAAAAAAAAAAAAAAAAAAAA==\n-----END RSA PRIVATE KEY-----\n"
)


def shown_by(server: Server, context: ssl.SSLContext) -> bytes:
    with server.connect(context) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        shown = client.sock.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def wait_for(server: Server, text: str) -> None:
    deadline = time.monotonic() + 30
    while text not in server.stderr:
        assert time.monotonic() < deadline, server.stderr
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["serve", "gunicorn"])
def test_a_reload_takes_the_renewed_files_without_a_failed_request(tmp_path: Path, command: str) -> None:
    own = Authority(tmp_path)
    if command == "serve":
        server = serve(tmp_path, *own.flags, "--workers", "1")
    else:
        settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data")}
        settings |= {"S3SHIM_WORKERS": "1", "S3SHIM_TLS_CERT": str(own.cert), "S3SHIM_TLS_KEY": str(own.key)}
        server = Server(GUNICORN, tmp_path / "stderr", settings)
    context = own.client()
    done = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not done.is_set():
            statuses.append(server.ask(HEALTH, context).status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        first = shown_by(server, context)
        renewed = own.issue()
        assert renewed != first
        # Until somebody says so nothing changes, and what is bad never does.
        assert shown_by(server, context) == first
        good = own.key.read_bytes()
        own.key.write_text("half of a k")
        server.process.send_signal(signal.SIGHUP)
        wait_for(server, "the certificate is not renewed")
        assert shown_by(server, context) == first
        own.key.write_bytes(good)
        server.process.send_signal(signal.SIGHUP)
        wait_for(server, "certificate read")
        deadline = time.monotonic() + 30
        while shown_by(server, context) != renewed:
            assert time.monotonic() < deadline
        so_far = len(statuses)
        while len(statuses) < so_far + 20:
            assert asking.is_alive()
            time.sleep(0.01)
    finally:
        done.set()
        asking.join()
    assert set(statuses) == {200}
    assert server.stop() == 0
    assert re.search(rf"level=error .*{own.key}: no private key", server.stderr)
    assert "Traceback" not in server.stderr
