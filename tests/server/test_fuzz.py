"""The fuzz in short (``make fuzz`` is the long form), and what it would find."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.server.fuzz import Wrong, check_answers, check_requests, failures, told
from tests.server.oracle import Seen, requests_in
from tests.server.streams import make

STREAMS = 2000


def test_streams_that_are_nearly_requests() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    counts: Counter[str] = Counter()
    assert list(failures(seed, range(STREAMS), counts)) == []
    print(f"seed {seed}: {told(counts)}")
    assert counts["streams"] == STREAMS
    # What is refused out of hand would prove nothing.
    assert STREAMS / 2 < counts["served"] > 0.9 * counts["h11 would have served"]
    assert counts["broken bodies"] > STREAMS / 50
    assert counts["refused 400"] > STREAMS / 10


def test_a_seed_always_gives_the_same_streams() -> None:
    assert [make(7, number) for number in range(50)] == [make(7, number) for number in range(50)]
    assert make(7, 1) != make(8, 1)


A, B = Seen("GET", "/a", b""), Seen("PUT", "/b", b"x")


@pytest.mark.parametrize(
    "asked",
    [
        [A, B, B],
        [B],
        [A, Seen("PUT", "/c", b"x")],
        [A, Seen("POST", "/b", b"x")],
        [A, Seen("PUT", "/b", b"xy")],
        [A, Seen("PUT", "/b", b"")],
    ],
)
def test_a_request_that_was_not_sent_is_found(asked: list[Seen]) -> None:
    check_requests([A, B], [A, B])
    check_requests([A, Seen("PUT", "/b", None)], [A, B])
    with pytest.raises(Wrong):
        check_requests(asked, [A, B])


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n%d."
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
    b"1\r\n1\r\n1\r\n.\r\n0\r\n\r\n"
)
REFUSED = b"HTTP/1.1 400 Refused\r\nX-Refused: yes\r\nContent-Length: 1\r\nConnection: close\r\n\r\na"


def test_answers_in_order_are_well() -> None:
    assert check_answers(OK % 0 + CHUNKED, [A, B]) == "left"
    assert (
        check_answers(OK % 0 + b"HTTP/1.1 100 Continue\r\n\r\n" + OK % 1 + REFUSED, [A, B]) == "refused 400"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK % 0,
        OK % 1 + OK % 0,
        OK % 0 + OK % 0,
        OK % 0 + (OK % 1)[:-1],
        OK % 0 + OK % 1 + OK % 2,
        OK % 0 + OK % 1 + b"x",
        OK % 0 + OK % 1 + REFUSED + b"x",
        OK % 0 + OK % 1 + REFUSED.replace(b"X-Refused", b"X-Other"),
        OK % 0 + CHUNKED[:-2],
        OK % 0 + CHUNKED.replace(b"1\r\n1\r\n", b"2\r\n1\r\n"),
        (OK % 0).replace(b"keep-alive", b"close") + OK % 1,
        (OK % 0).replace(b"\r\nContent", b"\nContent") + OK % 1,
        (OK % 0).replace(b"200 OK", b"999 OK") + OK % 1,
        (OK % 0).replace(b"Content-Length: 2\r\n", b"Content-Length: 2\r\nContent-Length: 2\r\n") + OK % 1,
    ],
)
def test_answers_that_are_not_well_are_found(data: bytes) -> None:
    with pytest.raises((Wrong, ValueError)):
        check_answers(data, [A, B])


def test_a_broken_body_ends_the_connection() -> None:
    broken = Seen("PUT", "/a", None)
    answer = (OK % 0).replace(b"Length: 2", b"Length: 9").replace(b"0.", b"0 broken.")
    with pytest.raises(Wrong):
        check_answers(answer, [broken])
    assert check_answers(answer.replace(b"keep-alive", b"close"), [broken]) == "closed"


def test_the_oracle_sees_requests() -> None:
    stream = (
        b"\r\nGET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        b"PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    )
    assert requests_in(stream) == [A, B]
    assert requests_in(stream[:-1]) == [A, Seen("PUT", "/b", None)]
    assert requests_in(stream.replace(b"keep-alive", b"close")) == [A]
    assert requests_in(stream.replace(b"Host: x", b"Host : x")) == [A]
