"""What a client is told where the machine fails under the storage."""

import errno
import logging
import os

import pytest


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
