"""Heads: what is a request, where its body ends, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.server.head import CHUNKED, MAX_HEAD, Head, Refused, end_of_head, parse_head

HOST = b"Host: x\r\n"


def head_of(lines: bytes = HOST, line: bytes = b"PUT /k HTTP/1.1") -> Head:
    return parse_head(line + b"\r\n" + lines + b"\r\n")


def refused(lines: bytes = HOST, line: bytes = b"PUT /k HTTP/1.1") -> int:
    with pytest.raises(Refused) as found:
        head_of(lines, line)
    return found.value.status


def test_a_head_is_what_was_sent() -> None:
    head = head_of(b"Host: x\r\nA-b:  1 \t\r\nA-B:\r\na-b: \xe9,2\r\nA-b: 3\r\n", b"GET /%2e?a=%zz HTTP/1.1")
    assert (head.method, head.target, head.version) == ("GET", "/%2e?a=%zz", "1.1")
    assert head.headers == [("Host", "x"), ("A-b", "1"), ("A-B", ""), ("a-b", "\xe9,2"), ("A-b", "3")]
    assert (head.length, head.expects, head.keep) == (0, False, True)


TOKEN = "!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ"
names = st.text(TOKEN, min_size=1, max_size=12).filter(
    lambda name: (
        name.lower().replace("_", "-")
        not in ("host", "content-length", "transfer-encoding", "expect", "connection")
    )
)
values = st.text(
    st.characters(codec="latin-1", exclude_characters="\x7f", exclude_categories=["Cc"]), max_size=12
).map(lambda value: value.strip(" \t"))


@given(st.lists(st.tuples(names, values), max_size=20))
def test_header_lines_keep_their_order_and_spelling(lines: list[tuple[str, str]]) -> None:
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    assert head_of(HOST + text.encode("latin-1")).headers == [("Host", "x"), *lines]


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (b"", 0),
        (b"Content-Length: 0\r\n", 0),
        (b"content-LENGTH: 0017\r\n", 17),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"transfer-encoding: CHUNKED \r\n", CHUNKED),
    ],
)
def test_the_length_of_a_body(lines: bytes, length: int) -> None:
    assert head_of(HOST + lines).length == length


@pytest.mark.parametrize(
    ("line", "lines", "keep"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: te, CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
        (b"1.0", b"Connection: close\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_whether_the_connection_is_kept(line: bytes, lines: bytes, keep: bool) -> None:
    assert head_of(HOST + lines, b"GET / HTTP/" + line).keep is keep


def test_an_expectation_counts_in_http_1_1() -> None:
    assert head_of(HOST + b"Expect: 100-Continue\r\n").expects
    assert not head_of(HOST + b"Expect: 100-continue\r\n", b"PUT / HTTP/1.0").expects
    assert refused(HOST + b"Expect: 100-continue, other\r\n") == 417


@pytest.mark.parametrize("method", [b"FOO", b"PROPFIND", b"SOURCE", b"PRI", b"X-A_1", b"PLAY", b"A" * 32])
@pytest.mark.parametrize("target", [b"/k", b"*", b"http://h/k"])
def test_a_method_that_nobody_knows_is_left_to_the_application(method: bytes, target: bytes) -> None:
    head = head_of(HOST + b"A: b\r\nContent-Length: 3\r\n", method + b" " + target + b" HTTP/1.1")
    assert (head.method.encode(), head.target.encode(), head.length) == (method, target, 3)
    assert head.headers == [("Host", "x"), ("A", "b"), ("Content-Length", "3")]


@pytest.mark.parametrize(
    "line",
    [
        b"get / HTTP/1.1",
        b"Get / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"A" * 33 + b" / HTTP/1.1",
        b" / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / http/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.10",
        b"GET /",
        b"GET /\xe9 HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET / HTTP/1.1\0",
        b"GET / HTTP/1.1\rA: b",
    ],
)
def test_what_is_no_request_line(line: bytes) -> None:
    assert refused(HOST, line) == 400


@pytest.mark.parametrize(
    "lines",
    [
        b"A\r\n",
        b"A b: c\r\n",
        b"A : c\r\n",
        b": c\r\n",
        b" A: c\r\n",
        b"A: b\r\n\tc\r\n",
        b"A: b\rc\r\n",
        b"A: b\nB: c\r\n",
        b"A: \0\r\n",
        b"A: \x01\r\n",
        b"A: \x7f\r\n",
        b"\xe9: a\r\n",
        b"A\0: a\r\n",
        b"Host: y\r\n",
    ],
)
def test_what_is_no_header_line(lines: bytes) -> None:
    assert refused(HOST + lines) == 400


def test_the_limits() -> None:
    assert refused(HOST, b"GET /" + b"a" * 8190 + b" HTTP/1.1") == 414
    assert refused(HOST + b"A: " + b"a" * 8192 + b"\r\n") == 431
    assert refused(HOST + b"A: b\r\n" * 100) == 431
    assert len(head_of(HOST + b"A: b\r\n" * 99).headers) == 100


@pytest.mark.parametrize("size", [1, MAX_HEAD])
def test_the_end_of_a_head_is_found(size: int) -> None:
    assert end_of_head(b"G" * size if size == 1 else b"GET / HTTP/1.1\r\n" + b"a" * (size - 16)) == 0
    assert end_of_head(b"GET / HTTP/1.1\r\n\r\nrest") == 18


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"a" * 8192, 414),
        (b"GET / HTTP/1.1\r\n" + b"a" * (MAX_HEAD - 15), 431),
    ],
)
def test_what_cannot_become_a_head_is_refused_before_it_is_whole(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as found:
        end_of_head(data)
    assert found.value.status == status
