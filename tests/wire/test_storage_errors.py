"""What a client is told where the machine fails under the storage."""

import errno
import logging
import os

import pytest

from s3shim.errors import Code, S3Error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 507, "InsufficientStorage"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 507, "InsufficientStorage"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), 507, "InsufficientStorage"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), 503, "SlowDown"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), 503, "SlowDown"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), 503, "ServiceUnavailable"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), 503, "ServiceUnavailable"),
        (MemoryError(), 503, "ServiceUnavailable"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 500, "InternalError"),
        (OSError("no number"), 500, "InternalError"),
        (ValueError("a fault of ours"), 500, "InternalError"),
    ],
)
def test_errors_of_the_machine(app, client, monkeypatch, caplog, error, status, code):
    def fail(*args):
        raise error

    monkeypatch.setattr(app.backend, "list_buckets", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.request("GET", "/")
    assert (answer.status, answer.code) == (status, code)
    traced = [record for record in caplog.records if record.exc_info]
    assert bool(traced) == (status == 500)
    assert "the request failed" in caplog.text


def failing(error):
    def fail(*args):
        raise error

    return fail


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 503), ("/readyz", 503), ("/livez", 200), ("/minio/health/live", 200)]
)
def test_health_without_a_storage(app, client, monkeypatch, method, path, status):
    monkeypatch.setattr(app.backend, "check", failing(S3Error(Code.ServiceUnavailable)))
    answer = client.request(method, path, sign=False)
    assert answer.status == status
    assert answer.code == ("ServiceUnavailable" if status == 503 and method == "GET" else None)
    assert ("Retry-After" in answer.headers) == (status == 503)
    monkeypatch.undo()
    assert client.request(method, path, sign=False).status == 200


@pytest.mark.parametrize("code", [Code.ServiceUnavailable, Code.SlowDown])
def test_503_says_when_to_come_again(app, client, monkeypatch, code):
    monkeypatch.setattr(app.backend, "list_buckets", failing(S3Error(code)))
    answers = [client.request("GET", "/") for _ in range(40)]
    assert {(answer.status, answer.code) for answer in answers} == {(503, code.name)}
    assert {answer.headers["Retry-After"] for answer in answers} == {"1", "2", "3", "4"}
    monkeypatch.setattr(app.backend, "list_buckets", failing(S3Error(code, headers={"Retry-After": "17"})))
    assert client.request("GET", "/").headers["Retry-After"] == "17"


def test_no_other_error_says_when_to_come_again(app, client, monkeypatch):
    monkeypatch.setattr(app.backend, "list_buckets", failing(S3Error(Code.InternalError)))
    assert "Retry-After" not in client.request("GET", "/").headers
