"""Bodies: whatever pieces they come in, their bytes, their end, and what belongs to the next request."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.server.body import BadChunk, Body, BodyCutShort, ChunkedBody, LengthBody

WIKI = b"4\r\nWiki\r\n6;a=b\r\npedia \r\nD\r\nin\r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n"
WIKI_DATA = b"Wikipedia in\r\n\r\nchunks."
TAIL = b"GET / HTTP/1.1\r\n\r\n"


class Pieces:
    """A source that hands its pieces out one by one; then the client has gone."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.invited = 0

    def take(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def give_back(self, data: bytes) -> None:
        self.pieces.insert(0, data)

    def invite(self) -> None:
        self.invited += 1

    @property
    def rest(self) -> bytes:
        return b"".join(self.pieces)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in pairwise(marks)]


# CR, LF and what looks like the end of a body must not be taken for one.
tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"0", b"0\r\n\r\n", b"a", b"\0", b"xyz"]),
    max_size=12,
).map(b"".join)
datas = st.one_of(tricky, st.binary(max_size=40), st.integers(1, 9000).map(lambda size: b"\r\n" * size))
extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b c"', b";chunk-signature=0123"])
trailers = st.lists(st.sampled_from([b"A: b\r\n", b"X-Sum: 1, 2\r\n", b"E:\r\n"]), max_size=3).map(b"".join)
sizes = st.sampled_from([b"%x", b"%X", b"00%x"])


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    parts = draw(st.lists(datas.filter(len), max_size=6))
    body = b"".join(draw(sizes) % len(part) + draw(extensions) + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"0" + draw(extensions) + b"\r\n" + draw(trailers) + b"\r\n", b"".join(parts)


@given(st.data(), chunked(), st.one_of(tricky, st.just(TAIL), st.binary(max_size=60)))
def test_a_chunked_body_in_any_pieces_gives_its_data_and_its_tail(
    data: st.DataObject, encoded: tuple[bytes, bytes], tail: bytes
) -> None:
    body, expected = encoded
    whole = body + tail
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=20))
    source = Pieces(cut(whole, places))
    reader = ChunkedBody(source)
    assert reader.read() == expected
    assert reader.unread == 0
    assert reader.read() == b""
    assert source.rest == tail


@pytest.mark.parametrize("place", range(len(WIKI) + len(TAIL) + 1))
def test_a_chunked_body_that_is_split_anywhere_is_whole(place: int) -> None:
    source = Pieces(cut(WIKI + TAIL, [place]))
    assert ChunkedBody(source).read() == WIKI_DATA
    assert source.rest == TAIL


@pytest.mark.parametrize("place", range(len(WIKI)))
def test_a_chunked_body_that_is_cut_anywhere_is_an_error(place: int) -> None:
    body = ChunkedBody(Pieces([WIKI[:place]]))
    with pytest.raises(BodyCutShort):
        body.read()
    assert body.unread == math.inf
    with pytest.raises(BodyCutShort):
        body.read()


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nabcdeX",
        b"5\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\n0\r\n\r\n",
        b" 5\r\nabcde\r\n0\r\n\r\n",
        b"5 \r\nabcde\r\n0\r\n\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"+5\r\nabcde\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"5_0\r\n",
        b"\r\n",
        b"g\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"5\r\nabcde\r\n0\r\nA\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nA : b\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nA: b\n\r\n",
        b"5\r\nabcde\r\n0\r\nA: b\r\n folded\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nA: \0\r\n\r\n",
        b"5\r\nabcde\r\n0;" + b"a" * 9000,
        b"5\r\nabcde\r\n0\r\n" + b"A: b\r\n" * 3000,
        b"5;" + b"a" * 9000 + b"\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\r\n5;" + b"a" * 9000 + b"\r\nabcde\r\n0\r\n\r\n",
        b"0" * 9000,
    ],
)
def test_a_chunked_body_in_another_form_is_an_error_for_good(body: bytes) -> None:
    reader = ChunkedBody(Pieces([body]))
    with pytest.raises(BadChunk):
        reader.read()
    assert reader.unread == math.inf
    # What was decoded before the fault is not handed out after it.
    with pytest.raises(BodyCutShort):
        reader.read()


@pytest.mark.parametrize("size", range(1000, 20_000, 777))
def test_long_extensions_are_read_up_to_a_limit(size: int) -> None:
    extension = b";" + b"a" * 4000
    chunk = b"%x%b\r\n%b\r\n" % (size, extension, b"x" * size)
    source = Pieces([chunk * 5 + b"0" + extension + b"\r\n\r\n"])
    assert ChunkedBody(source).read() == b"x" * size * 5


def test_a_body_of_a_length_leaves_the_next_request_alone() -> None:
    source = Pieces([b"ab", b"cdeGET", b" /"])
    body = LengthBody(source, 5)
    assert body.unread == 5
    assert body.read(100) == b"abcde"
    assert body.read(100) == b""
    assert source.rest == b"GET /"


def test_a_body_of_a_length_that_is_cut_is_an_error() -> None:
    body = LengthBody(Pieces([b"abc"]), 5)
    assert body.read1(100) == b"abc"
    with pytest.raises(BodyCutShort):
        body.read1(100)
    assert body.unread == math.inf


TEXT = b"one\ntwo\r\n\nthree"


def _by_length(pieces: Iterable[bytes]) -> Body:
    return LengthBody(Pieces(pieces), len(TEXT))


def _by_chunks(pieces: Iterable[bytes]) -> Body:
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return ChunkedBody(Pieces([*chunks, b"0\r\n\r\n"]))


both = pytest.mark.parametrize("make", [_by_length, _by_chunks])


@both
@pytest.mark.parametrize("place", range(len(TEXT)))
def test_a_body_reads_like_a_file(make: Callable[[list[bytes]], Body], place: int) -> None:
    pieces = cut(TEXT, [place])
    assert list(make(pieces)) == list(io.BytesIO(TEXT))
    assert make(pieces).readlines() == io.BytesIO(TEXT).readlines()
    for size in range(1, len(TEXT) + 2):
        assert make(pieces).readline(size) == io.BytesIO(TEXT).readline(size)
        body, file = make(pieces), io.BytesIO(TEXT)
        while data := file.read(size):
            assert body.read(size) == data
        assert body.read(size) == b""
    assert make(pieces).read(None) == make(pieces).read(-1) == make(pieces).read() == TEXT
    assert make(pieces).read(0) == make(pieces).read1(0) == make(pieces).readline(0) == b""
    assert make(pieces).read1(3) in (TEXT[:1], TEXT[:2], TEXT[:3])


@both
def test_what_is_left_unread_can_be_drained(make: Callable[[list[bytes]], Body]) -> None:
    body = make([TEXT[:5], TEXT[5:]])
    assert body.read(2) == TEXT[:2]
    body.drain()
    assert body.unread == 0
    assert body.read() == b""


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_a_client_that_waits_is_invited_once_and_when_its_body_is_read(kind: str) -> None:
    source = Pieces([b"abc"] if kind == "length" else [b"3\r\nabc\r\n0\r\n\r\n"])
    body = LengthBody(source, 3, expects=True) if kind == "length" else ChunkedBody(source, expects=True)
    assert body.unread == math.inf
    assert source.invited == 0
    assert body.read(1) == b"a"
    assert body.read() == b"bc"
    assert source.invited == 1
