"""Streams of bytes that are nearly requests: valid ones, cut, repeated, spliced, flipped and added to."""

from __future__ import annotations

import random
from itertools import pairwise

LONGEST = 150_000  # bytes of a stream: what a socket pair takes without a reader

_TARGETS = [
    "/a",
    "/b/c?d=e",
    "/unread",
    "/stream",
    "*",
    "http://h/abs",
    "//x",
    "/%2e%2E/%00",
    "/unread/stream",
]
_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO", "PROPFIND", "CONNECT"]
_EXTRAS = [
    "Accept: */*",
    "A:",
    "X_Under: 1",
    "Long: " + "v" * 300,
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Upgrade\r\nUpgrade: h2c",
    "Expect: 100-continue",
    "Obs: \xe9",
]
_LENGTHS = [0, 1, 5, 26, 300, 4096, 5000]
_BODIES = [b"a", b"\r\n", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\xff"]
_TOKENS = [
    b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b"\r\n ", b"\r\n\t", b":", b";", b",", b"\x0b", b"\x7f",
    b"\x80",
    b"\r\n\r\n", b"\n\n", b"0\r\n\r\n", b"5\r\n", b"0\r\n", b"1\r\na\r\n", b"00000000000000000005\r\n",
    b"FFFFFFFFFFFFFFFF\r\n", b"0x5\r\n", b"5;a=b\r\n", b"5 \r\n", b"-1\r\n", b"\r\nTrailer: x\r\n",
    b"#", b"%", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /inserted HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip
_LINES = [
    b"Content-Length: 5", b"Content-Length: 0", b"content-length: 5", b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length : 5", b"Content_Length: 5",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999", b"Content-Length: 0x5",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding:\r\n chunked",
    b"Host: y", b"Host:", b"Expect: 100-continue", b"Expect: other", b"Connection: close", b" folded",
    b"no colon",
]  # fmt: skip


def make(seed: int, number: int) -> list[bytes]:
    """Return the pieces of stream ``number``; the same ones for the same ``seed``."""
    dice = random.Random(f"{seed} {number}")
    stream = _valid(dice)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3, 5))):
        stream = _changed(dice, stream)
    return _pieces(dice, stream[:LONGEST])


def _valid(dice: random.Random) -> bytes:
    return b"".join(_request(dice) for _ in range(dice.choice((1, 1, 2, 3, 6))))


def _request(dice: random.Random) -> bytes:
    method, target = dice.choice(_METHODS), dice.choice(_TARGETS)
    version = "1.0" if dice.random() < 0.1 else "1.1"
    lines = [f"{method} {target} HTTP/{version}", "Host: x"]
    lines += [dice.choice(_EXTRAS) for _ in range(dice.choice((0, 0, 1, 2)))]
    length = 70_000 if dice.random() < 0.01 else dice.choice(_LENGTHS)
    body = (dice.choice(_BODIES) * length)[:length]
    kind = dice.choice(("none", "length", "chunks"))
    if kind == "none":
        body = b""
    elif kind == "length":
        lines.append(f"Content-Length: {length}")
    else:
        lines.append("Transfer-Encoding: chunked")
        body = _chunks(dice, body)
    if dice.random() < 0.3:
        lines[1:] = dice.sample(lines[1:], len(lines) - 1)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _chunks(dice: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        size = dice.choice((1, 5, 4096, len(body)))
        part, body = body[:size], body[size:]
        parts.append(dice.choice((b"%x\r\n", b"%X;a=b\r\n", b"0%x\r\n")) % len(part) + part + b"\r\n")
        if len(parts) > 50:
            size = len(body)
            parts.append(b"%x\r\n" % size + body + b"\r\n" if size else b"")
            break
    return b"".join(parts) + dice.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"00;x\r\n\r\n", b"0\r\nT: 1\r\nU: 2\r\n\r\n")
    )


def _changed(dice: random.Random, stream: bytes) -> bytes:
    start, stop = _slice(dice, stream)
    kind = dice.choice(
        ("cut", "end", "repeat", "splice", "flip", "token", "token", "line", "line", "number", "name")
    )
    if kind == "cut":
        return stream[:start] + stream[stop:]
    if kind == "end":
        return stream[:start]
    if kind == "repeat":
        return stream[:stop] + stream[start:stop] * dice.choice((1, 1, 2)) + stream[stop:]
    if kind == "splice":
        other = _valid(dice)
        low, high = _slice(dice, other)
        return stream[:start] + other[low:high] + stream[stop:]
    if kind == "flip" and start < len(stream):
        return stream[:start] + bytes([stream[start] ^ 1 << dice.randrange(8)]) + stream[start + 1 :]
    if kind == "line":
        place = _line_start(dice, stream)
        return stream[:place] + dice.choice(_LINES) + b"\r\n" + stream[place:]
    if kind == "number":
        return _replaced(dice, stream, b"0123456789", dice.choice((b"0", b"1", b"7", b"00", b"f", b"9999")))
    if kind == "name":
        return _replaced(dice, stream, b"-:/ ", dice.choice((b"_", b"", b"  ", b" :", b"\t", b"-")))
    return stream[:start] + dice.choice(_TOKENS) + stream[start:]


def _slice(dice: random.Random, stream: bytes) -> tuple[int, int]:
    start = _line_start(dice, stream) if dice.random() < 0.5 else dice.randrange(len(stream) + 1)
    return start, min(start + dice.choice((1, 2, 3, 10, 40, 200)), len(stream))


def _line_start(dice: random.Random, stream: bytes) -> int:
    place = stream.find(b"\r\n", dice.randrange(len(stream) + 1))
    return place + 2 if place >= 0 else 0


def _replaced(dice: random.Random, stream: bytes, which: bytes, by: bytes) -> bytes:
    places = [place for place, byte in enumerate(stream[:2000]) if byte in which]
    if not places:
        return stream
    place = dice.choice(places)
    return stream[:place] + by + stream[place + 1 :]


def _pieces(dice: random.Random, stream: bytes) -> list[bytes]:
    cuts = sorted(dice.randrange(len(stream) + 1) for _ in range(dice.choice((0, 0, 1, 3))))
    marks = [0, *cuts, len(stream)]
    return [stream[start:stop] for start, stop in pairwise(marks) if start < stop]
