"""A few seconds of histories and listings of a real server."""

import pytest

from crash import history, listing
from crash.fleet import body_of, is_whole
from crash.linearizable import OK, UNKNOWN, Operation


def test_every_key_is_a_register_while_workers_die(short):
    outcome = short("history", lambda job: history.take(job, 3), 1)
    assert outcome.counts["operations"] > 100
    assert outcome.counts["workers killed"] > 0
    assert outcome.counts["stale reads put in and caught"] > 0


def test_a_listing_beside_writers_keeps_what_stays(short):
    outcome = short("listing", listing.run, 3)
    assert outcome.counts["pages"] >= 300
    assert outcome.counts["puts and deletes meanwhile"] > 0
    assert outcome.counts["wrong walks noticed"] == 4


@pytest.mark.parametrize("size", [30, 31, 3_000, 70_000])
def test_a_body_is_whole_or_not(size):
    body = body_of("client1-1", size)
    assert len(body) == size
    assert is_whole(body)
    assert not is_whole(body[:-1])
    assert not is_whole(body + b"x")
    assert not is_whole(body[:-1] + bytes([body[-1] ^ 1]))
    assert not is_whole(body_of("client2-1", size)[:22] + body[22:])


def test_a_stale_read_is_put_where_it_is_one():
    puts = [Operation("put", at, at + 1, f"v{at}") for at in (0, 2, 4)]
    read = Operation("get", 6, 7, "v4")
    assert history.with_a_stale_read([*puts, read]) == [*puts, Operation("get", 6, 7, "v2")]
    assert history.with_a_stale_read(puts) is None
    assert history.with_a_stale_read([puts[0], Operation("get", 6, 7, "v0", outcome=UNKNOWN)]) is None
    assert read.outcome == OK
