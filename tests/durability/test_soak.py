"""What judges a soak: a line through samples, and how much is too much."""

import pytest

from crash.fleet import body_of, etag_of
from crash.soak_client import PART, composite
from crash.soak_gauges import MIB, Gauge, judge, slope


def samples(memory=lambda at: 50 * MIB, descriptors=lambda at: 20, threads=lambda at: 11):
    """Return ten minutes of one worker."""
    return {7: [Gauge(at, int(memory(at)), int(descriptors(at)), threads(at)) for at in range(0, 600, 10)]}


def test_the_slope_of_a_line():
    assert slope([(0, 1), (1, 3), (2, 5), (3, 7)]) == pytest.approx(2)
    assert slope([(0, 1), (1, 3)]) == 0


@pytest.mark.parametrize(
    "segment",
    [
        samples(),
        samples(memory=lambda at: 50 * MIB + (at // 10 % 2) * 20 * MIB),
        samples(memory=lambda at: 30 * MIB + min(at, 120) * MIB),
        samples(threads=lambda at: 11 + at // 10 % 5),
        samples(descriptors=lambda at: 15 + at // 10 % 10, threads=lambda at: 5 if at < 60 else 11),
    ],
)
def test_what_is_flat_after_the_warm_up_passes(segment):
    wrong, lines = judge(segment, 120)
    assert wrong == []
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        (samples(memory=lambda at: 50 * MIB + at * MIB / 40), "grew by 11.8 MiB"),
        (samples(descriptors=lambda at: 20 + at / 30), "+16 descriptors"),
        (samples(threads=lambda at: 11 + at // 60), "20 threads that grew by"),
        (samples(threads=lambda at: 40 if at == 300 else 11), "11 to 40 threads"),
        ({7: samples()[7][:14]}, "only 2 samples"),
    ],
)
def test_what_grows_is_told(segment, told):
    wrong, _ = judge(segment, 120)
    assert len(wrong) == 1
    assert told in wrong[0]


def test_the_etag_of_two_parts():
    body = body_of("soak1-1", PART + 10)
    assert composite(body) != etag_of(body)
    assert composite(body).endswith("-2")
    assert composite(body) != composite(body_of("soak1-2", PART + 10))
