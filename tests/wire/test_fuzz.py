"""20,000 requests that are nearly right; ``make fuzz-requests`` sends many more."""

from collections import Counter

from tests.wire.fuzz import Wrong, in_process

REQUESTS = 20_000


def test_requests_that_are_nearly_right(tmp_path):
    found = list(in_process(tmp_path, seed=2026, first=0, count=REQUESTS))
    assert [str(wrong) for wrong in found if isinstance(wrong, Wrong)] == []
    assert len(found) == REQUESTS
    # They come through to where something is done, and to every kind of refusal.
    statuses = Counter(found)
    assert all(statuses[status] > REQUESTS // 500 for status in (200, 204, 400, 403, 404, 405, 409, 501)), (
        statuses
    )
