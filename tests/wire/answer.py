"""What a client gets back, and what every error answer must be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree


class AnswerHeaders:
    """The headers of an answer: ``lines`` as sent, and by name in any case."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self.lines = list(lines)

    def all(self, name: str) -> list[str]:
        """Return the values of every line of that name."""
        return [value for spelled, value in self.lines if spelled.lower() == name.lower()]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the only line of that name."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else default

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def items(self) -> list[tuple[str, str]]:
        """Return the lines."""
        return self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self.lines))

    def __repr__(self) -> str:
        return repr(self.lines)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: AnswerHeaders
    body: bytes

    def xml(self) -> ElementTree.Element:
        """Return the root of the document in the body."""
        return ElementTree.fromstring(self.body)

    @property
    def code(self) -> str | None:
        """The S3 error code in the body, None where there is none."""
        return self.detail("Code") if self.status >= 300 else None

    def detail(self, name: str) -> str | None:
        """Return the text of an element of the error document, None where it is not there."""
        if not self.body.startswith(b"<?xml"):
            return None
        return self.xml().findtext(name)


def check_refused(answer: Answer, status: int, code: str) -> None:
    """Demand the error, told the way S3 tells it; the answer to HEAD has no document."""
    assert (answer.status, answer.code) == (status, code), answer.body[:2000]
    assert answer.headers["content-type"] == "application/xml"
    document = answer.xml()
    assert document.tag == "Error"
    assert document.findtext("Message")
    assert document.findtext("RequestId") == answer.headers["x-amz-request-id"]
    assert document.findtext("HostId") == answer.headers["x-amz-id-2"]
    assert b"Traceback" not in answer.body
