"""Stored bytes that have changed: an error or a cut answer, never wrong bytes in a whole one."""

import http.client
import os
import time

import pytest

from tests.server.process import serve
from tests.wire.client import LiveClient

MIB = 1 << 20
DATA = bytes(range(256)) * (3 * MIB // 256)


@pytest.fixture
def server(tmp_path):
    running = serve(tmp_path)
    yield running
    assert running.stop() == 0


def flip(tmp_path, offset):
    """Change one bit of the one stored file."""
    (path,) = [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
        os.fsync(file.fileno())


def read(server, client, headers):
    """Return the status, the stated length and the body as far as it came."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    draft = client.draft("GET", "/damaged/k", headers=headers)
    connection.request("GET", draft.target, headers=dict(draft.headers))
    answer = connection.getresponse()
    try:
        body = answer.read()
    except http.client.IncompleteRead as cut:
        body = cut.partial
    except ConnectionResetError:
        body = b""
    connection.close()
    return answer.status, int(answer.headers["content-length"]), body


def test_damage_is_never_sent(server, tmp_path):
    client = LiveClient(server.host, server.port, server.shown("access key"), server.shown("secret key"))
    client.request("PUT", "/damaged")
    assert client.request("PUT", "/damaged/k", body=DATA).status == 200
    flip(tmp_path, 2 * MIB + 5)
    status, length, body = read(server, client, {})
    assert (status, length) == (200, len(DATA))
    assert len(body) < length
    assert DATA.startswith(body)
    whole = {"Range": f"bytes=0-{2 * MIB - 1}"}
    assert read(server, client, whole) == (206, 2 * MIB, DATA[: 2 * MIB])
    answer = client.request("GET", "/damaged/k", headers={"Range": f"bytes={2 * MIB}-"})
    assert (answer.status, answer.code) == (500, "InternalError")
    client.close()
    # A whole answer may be read before its line is written.
    deadline = time.monotonic() + 10
    lines: list[str] = []
    while len(lines) < 3 and time.monotonic() < deadline:
        log = server.stderr.splitlines()
        lines = [line for line in log if "op=GetObject" in line and "msg=request" in line]
    assert sorted("code=InternalError" in line for line in lines) == [False, True, True]
