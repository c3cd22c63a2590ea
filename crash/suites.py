"""The suites, in the order in which they run."""

from __future__ import annotations

from crash import (
    attack,
    failing_calls,
    flips,
    full_disk,
    history,
    kills,
    listing,
    machine,
    nats_kills,
    points,
    power,
    races,
    recorder,
    resources,
    soak,
    states,
    stops,
)
from crash.suite import Suite

SUITES: tuple[Suite, ...] = (
    recorder.SUITE,
    points.SUITE,
    kills.SUITE,
    power.SUITE,
    failing_calls.SUITE,
    full_disk.SUITE,
    flips.SUITE,
    states.SUITE,
    resources.SUITE,
    attack.SUITE,
    stops.SUITE,
    races.SUITE,
    machine.SUITE,
    history.SUITE,
    listing.SUITE,
    nats_kills.SUITE,
)
ON_REQUEST: tuple[Suite, ...] = (power.XFS, soak.SUITE)
