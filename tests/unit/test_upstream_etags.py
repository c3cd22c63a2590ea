"""An upstream whose ETag is another than the MD5 of what it was sent."""

from __future__ import annotations

import hashlib

from s3shim.errors import Code
from tests.contract.bodies import code_of, pattern, put
from tests.unit.fake_upstream import Answer

ANOTHERS = hashlib.md5(b"another's", usedforsecurity=False).hexdigest()


def answering(kept, etag, etag_then=None):
    """Return an upstream that answers a PUT with an ETag and has these bytes, perhaps under another one."""

    def answer(asked):
        then = etag_then if asked.method == "GET" and etag_then else etag
        return Answer(200, kept if asked.method == "GET" else b"", {"ETag": f'"{then}"'})

    return answer


def test_other_bytes_than_were_sent_are_removed(over):
    backend, fake = over(answering(b"damaged", "0" * 32))
    assert code_of(put, backend, "key", pattern(10)) is Code.InternalError
    written = [asked.path for asked in fake.asked if asked.method == "PUT"]
    assert fake.asked[-1].method == "DELETE"
    assert fake.asked[-1].path == written[-1]


def test_other_bytes_than_were_sent_are_not_copied_to_their_key(over):
    backend, fake = over(lambda asked: Answer(200, headers={"ETag": f'"{"0" * 32}"'}))
    assert code_of(put, backend, "key", pattern(100_000)) is Code.InternalError
    assert {asked.path for asked in fake.asked if asked.method == "PUT"} == {fake.asked[-1].path}
    assert fake.asked[-1].method == "DELETE"


def test_the_right_bytes_under_another_etag_are_not_removed(over, caplog):
    """So an upstream has an object that it encrypts with keys of its own."""
    backend, fake = over(answering(pattern(10), "0" * 32))
    assert code_of(put, backend, "key", pattern(10)) is Code.InternalError
    assert "an ETag that is not their MD5" in caplog.text
    assert "DELETE" not in [asked.method for asked in fake.asked]


def test_what_another_wrote_meanwhile_is_not_removed(over):
    backend, fake = over(answering(b"another's", "0" * 32, ANOTHERS))
    assert code_of(put, backend, "key", pattern(10)) is Code.InternalError
    assert "DELETE" not in [asked.method for asked in fake.asked]


def test_what_cannot_be_read_back_is_not_removed(over):
    def answer(asked):
        lost = asked.method == "GET" and asked.path == "/bucket/key"
        return None if lost else Answer(200, headers={"ETag": f'"{"0" * 32}"'})

    backend, fake = over(answer)
    assert code_of(put, backend, "key", pattern(10)) is Code.InternalError
    assert "DELETE" not in [asked.method for asked in fake.asked]
