"""Deletes that name the size, the time or the ETag of what they expect."""

import pytest

SIZE = "x-amz-if-match-size"
TIME = "x-amz-if-match-last-modified-time"
LONG_AGO = "Mon, 01 Jan 2001 00:00:00 GMT"


@pytest.fixture
def head(client, bucket):
    """The headers of the object ``k`` of five bytes."""
    assert client.request("PUT", f"/{bucket}/k", body=b"hello").status == 200
    return client.request("HEAD", f"/{bucket}/k").headers


def test_conditions_that_hold(client, bucket, head):
    lines = {SIZE: "5", TIME: head["last-modified"], "If-Match": head["etag"]}
    assert client.request("DELETE", f"/{bucket}/k", lines).status == 204
    assert client.request("HEAD", f"/{bucket}/k").status == 404


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ({SIZE: "4"}, 412, "PreconditionFailed"),
        ({SIZE: "0"}, 412, "PreconditionFailed"),
        ({SIZE: "-5"}, 400, "InvalidArgument"),
        ({SIZE: ""}, 400, "InvalidArgument"),
        ({TIME: LONG_AGO}, 412, "PreconditionFailed"),
        ({TIME: "2001-01-01T00:00:00Z"}, 412, "PreconditionFailed"),
        ({TIME: "yesterday"}, 400, "InvalidArgument"),
        ({SIZE: "5", "If-Match": '"other"'}, 412, "PreconditionFailed"),
        ({SIZE: "4", "If-Match": "*"}, 412, "PreconditionFailed"),
    ],
)
def test_conditions_that_do_not(client, bucket, head, lines, status, code):
    answer = client.request("DELETE", f"/{bucket}/k", lines)
    assert (answer.status, answer.code) == (status, code)
    assert client.request("GET", f"/{bucket}/k").body == b"hello"


def test_what_is_not_there(client, bucket):
    for lines in ({SIZE: "0"}, {TIME: LONG_AGO}):
        assert client.request("DELETE", f"/{bucket}/absent", lines).code == "NoSuchKey"


def test_they_are_for_deletes(client, bucket, head):
    for lines in ({SIZE: "5"}, {TIME: head["last-modified"]}):
        answer = client.request("PUT", f"/{bucket}/k", lines, b"other")
        assert (answer.status, answer.code) == (501, "NotImplemented")
    assert client.request("GET", f"/{bucket}/k").body == b"hello"
