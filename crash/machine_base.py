"""The ground of the machine: one service, its model, and how an answer is held against it."""

from __future__ import annotations

import functools
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from crash.model import DEFAULT_TYPE, UNFIT, Meta, Model, Object, Refused
from crash.services import BLOCK, INLINE_MAX, MIN_PART, Service
from tests.wire.answer import Answer

ALPHA, BETA = "alpha-bucket", "beta.bucket"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

# Related to each other, of every length of UTF-8, illegal in XML, close to other syntaxes, longest.
KEY_NAMES = (
    *("a", "a/", "a/b", "a//b", "a/b/c", "a\x01", "ab", "a.", "..", "../a", "/a", " a ", "a\n", "a\x7f"),
    *("\u00e9", "e\u0301", "a/\uff21", "a/\U00010000", "\U0001f600", "a\uffff", "\ufffd", "\u202ea"),
    *("a+b c%20?#&<>\"'\\", "a?versionId=null", "k" * 1024, "k" * 1023 + "/", "\U0001f600" * 256),
)
SIZES = (0, 1, 299, 300, 301, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, BLOCK - 1, BLOCK, BLOCK + 1)
LARGE = (2 * BLOCK, 3 * BLOCK + 7)

_BYTES = random.Random(0).randbytes(1 << 16)

BUCKETS = st.sampled_from((ALPHA, ALPHA, ALPHA, BETA))
KEYS = st.integers(0, 299)
BODIES = st.builds(
    lambda size, start: _BYTES[start : start + size], st.sampled_from(SIZES + LARGE), st.integers(0, 999)
)
TAGS = st.sampled_from(({}, {"a": "1"}, {"a": "", "b": "2"}, {"\u00e9 &": "<\U0001f600>", "z": "+ ="}))
HEADERS = st.sampled_from(
    (
        {},
        {"content-type": "text/plain"},
        {"x-amz-meta-a": "1", "x-amz-meta-b-c": "two words"},
        {"x-amz-meta-a": "\xe9 \xff", "cache-control": "no-cache", "content-disposition": "inline"},
        {"content-encoding": "gzip", "content-language": "de", "expires": "never", "content-type": "a/b"},
    )
)


def step(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """Make a method a rule that is counted."""

    def wrap(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        def counted(self: Base, *args: Any, **kwargs: Any) -> None:
            self.tally[function.__name__] += 1
            function(self, *args, **kwargs)

        return rule(**strategies)(counted)

    return wrap


def path_of(bucket: str, key: str | None = None) -> str:
    """Return the target of a bucket or of an object."""
    return f"/{bucket}" if key is None else f"/{bucket}/{quote(key, safe='')}"


def tagging_document(tags: dict[str, str]) -> bytes:
    """Return a Tagging document."""
    escaped = {escape(key): escape(value) for key, value in tags.items()}
    listed = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in escaped.items())
    return f"<Tagging><TagSet>{listed}</TagSet></Tagging>".encode()


def escape(text: str) -> str:
    """Return text as character data."""
    return "".join(f"&#{ord(c)};" if c in "<>&\r\n\"'" else c for c in text)


def tagging_header(tags: dict[str, str]) -> dict[str, str]:
    """Return x-amz-tagging."""
    if not tags:
        return {}
    return {"x-amz-tagging": "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in tags.items())}


def texts(answer: Answer, path: str) -> list[str]:
    """Return the texts of the elements at ``path`` of the document, "" for empty ones."""
    namespaced = "/".join(NAMESPACE + name for name in path.split("/"))
    return [element.text or "" for element in answer.xml().findall(namespaced)]


def names(answer: Answer, path: str) -> list[str]:
    """Return the keys or prefixes at ``path``, decoded where the document says so."""
    found = texts(answer, path)
    return [unquote(name) for name in found] if texts(answer, "EncodingType") else found


def is_unfit(listed: list[str]) -> bool:
    """Whether a document with these names must be URL-encoded."""
    return any(UNFIT.search(name) for name in listed)


class Base(RuleBasedStateMachine):
    """A service and its model."""

    service_type: ClassVar[type[Service]] = Service
    work: ClassVar[Path]
    tally: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.service = self.service_type(Path(tempfile.mkdtemp(dir=self.work)) / "service")
        self.model = Model(MIN_PART)

    @initialize(seeds=st.integers(0, 999))
    def begin(self, seeds: int) -> None:
        """Every run has its first bucket, with some objects in it."""
        assert self.ask("PUT", path_of(ALPHA)).status == 200
        self.model.create_bucket(ALPHA)
        chosen = random.Random(seeds)
        for key in ("a/\uff21", "a/\U00010000", *chosen.sample(KEY_NAMES, 4)):
            data = _BYTES[: chosen.choice(SIZES + LARGE)]
            meta, headers = self.meta({"x-amz-meta-number": str(seeds)}, {"number": str(seeds)})
            assert self.ask("PUT", path_of(ALPHA, key), headers, data).status == 200
            self.model.put(ALPHA, key, data, meta, {})

    def teardown(self) -> None:
        """What is stored is in order, whatever has happened to it."""
        problems = self.service.end()
        self.service.path.parent.rmdir()
        assert not problems, problems

    # -- choices

    def key(self, bucket: str, number: int) -> str:
        """Return a key for a number below 300: two in three times one that is there, if there are any."""
        found = self.model.buckets.get(bucket)
        if found is not None and found.objects and number < 200:
            return list(found.objects)[number % len(found.objects)]
        return KEY_NAMES[number % len(KEY_NAMES)]

    # -- requests

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request of the owner's."""
        return self.service.owner.request(method, target, headers or {}, body)

    def foretell(self, call: Callable[..., Any], *args: Any) -> Any:
        """Return what the model says, or its Refused."""
        try:
            return call(*args)
        except Refused as refused:
            return refused

    def accepted(self, answer: Answer, expected: Any, status: int = 200) -> bool:
        """Check the status, and the code where the model refuses; return whether it does not."""
        refused = isinstance(expected, Refused)
        wanted = expected.status if refused else status
        assert answer.status == wanted, (answer.status, answer.body[:500], expected)
        if refused and answer.body:
            assert answer.code == expected.code, (answer.code, expected.code)
        return not refused

    # -- what an answer says of an object

    def check_headers(self, answer: Answer, found: Object) -> None:
        """Check every header that speaks of the object."""
        headers = answer.headers
        assert headers["etag"] == f'"{found.etag}"'
        found.saw(int(parsedate_to_datetime(headers["last-modified"]).timestamp()))
        expected = {"content-type": DEFAULT_TYPE, **found.meta.headers}
        for name, value in expected.items():
            assert headers[name] == value, (name, headers.get(name), value)
        user = {name for name in headers if name.startswith("x-amz-meta-")}
        assert user == {name for name in expected if name.startswith("x-amz-meta-")}
        for name in (
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-language",
            "expires",
        ):
            assert (name in headers) == (name in expected), name
        count = str(len(found.meta.tags)) if found.meta.tags else None
        assert headers.get("x-amz-tagging-count") == count

    def check_part(self, answer: Answer, found: Object, part: tuple[int, int] | None) -> bytes:
        """Check the headers that speak of the bytes; return the bytes that a GET has."""
        start, length = part or (0, len(found.data))
        assert answer.headers["content-length"] == str(length)
        shown = None if part is None else f"bytes {start}-{start + length - 1}/{len(found.data)}"
        assert answer.headers.get("content-range") == shown
        return found.data[start : start + length]

    def meta(self, headers: dict[str, str], tags: dict[str, str]) -> tuple[Meta, dict[str, str]]:
        """Return metadata as the model keeps it and as headers of a request."""
        return Meta(dict(headers), dict(tags)), {**headers, **tagging_header(tags)}
