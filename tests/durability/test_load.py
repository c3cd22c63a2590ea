"""What the load takes for an object, and what for a failed look at one."""

from __future__ import annotations

import pytest

from crash.content import Found
from crash.load import BUCKET, Failed, show
from tests.wire.answer import Answer, AnswerHeaders

TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
ERROR = b"<?xml version='1.0'?><Error><Code>ServiceUnavailable</Code></Error>"


class Scripted:
    """Answers by target."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self._answers = answers

    def request(self, method: str, target: str) -> Answer:
        assert method == "GET"
        return self._answers[target]


def tagged(tagging: Answer) -> Scripted:
    headers = AnswerHeaders([("ETag", '"e"'), ("x-amz-tagging-count", "1")])
    whole = Answer(200, headers, b"abc")
    return Scripted({f"/{BUCKET}/k": whole, f"/{BUCKET}/k?tagging": tagging})


def test_an_object_with_tags_is_read_with_them() -> None:
    client = tagged(Answer(200, AnswerHeaders([]), TAGS))
    assert show(client, "k") == Found(b"abc", "e", (), (("a", "1"),))


@pytest.mark.parametrize("status", [404, 500, 503])
def test_tags_that_cannot_be_read_are_not_taken_for_none(status: int) -> None:
    with pytest.raises(Failed, match=f"k.tagging is answered {status} ServiceUnavailable"):
        show(tagged(Answer(status, AnswerHeaders([]), ERROR)), "k")


def test_an_object_that_is_not_there_is_none() -> None:
    assert show(Scripted({f"/{BUCKET}/k": Answer(404, AnswerHeaders([]), b"")}), "k") is None
