"""The log of a real server: one line a request, and nothing in it that is secret."""

import json
import time

import pytest

from tests.server.process import serve
from tests.wire.client import LiveClient

SECRET = "canary-secret-canary-secret"
VALUE = "canary-metadata-value"


@pytest.fixture
def server(tmp_path):
    running = serve(
        tmp_path,
        "--log-level",
        "debug",
        "--log-format",
        "json",
        settings={"S3SHIM_ACCESS_KEY": "CANARYACCESSKEY", "S3SHIM_SECRET_KEY": SECRET},
    )
    yield running
    running.stop()


def test_log_has_one_line_a_request_and_no_secrets(server):
    client = LiveClient(server.host, server.port, "CANARYACCESSKEY", SECRET)
    answers = [
        client.request("PUT", "/logged"),
        client.request("PUT", "/logged/a%0A%22key", headers={"x-amz-meta-a": VALUE}, body=b"12345"),
        client.request("GET", "/logged/a%0A%22key"),
        client.request("GET", "/logged/missing"),
        client.request("PUT", "/logged/refused?nonsense", headers={"x-amz-meta-a": VALUE}, body=b"12345"),
        client.as_user("CANARYACCESSKEY", "wrong-" + SECRET).request("GET", "/logged"),
    ]
    presigned = client.presign("GET", "/logged/a%0A%22key")
    answers.append(client.request("GET", presigned, sign=False))
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 501, 403, 200]
    client.close()
    wanted = [answer.headers["x-amz-request-id"] for answer in answers]
    deadline = time.monotonic() + 10
    while not all(request_id in server.stderr for request_id in wanted) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.stop() == 0
    log = server.stderr
    lines = [json.loads(line) for line in log.splitlines()]
    by_id = {line["request_id"]: line for line in lines if "request_id" in line}
    assert [line["request_id"] for line in lines if line["msg"] == "request"].count(wanted[0]) == 1
    assert len(by_id) == len(answers)
    shown = [by_id[request_id] for request_id in wanted]
    assert [line["op"] for line in shown] == [
        "CreateBucket",
        "PutObject",
        "GetObject",
        "GetObject",
        "PutObject",
        "ListObjects",
        "GetObject",
    ]
    put, missing, wrong = shown[1], shown[3], shown[5]
    assert (put["key"], put["bytes_in"], put["status"], put["account"]) == ('a\n"key', 5, 200, "default")
    assert (missing["code"], wrong["code"], wrong["account"]) == ("NoSuchKey", "SignatureDoesNotMatch", "")
    assert all(answer.xml().findtext("RequestId") in wanted for answer in answers[3:6])
    assert {"ts", "level", "remote_ip", "bytes_out", "duration_ms", "backend_ms", "pid"} <= put.keys()
    signature = presigned.rpartition("X-Amz-Signature=")[2]
    for secret in (SECRET, VALUE, signature, "Signature="):
        assert secret not in log
