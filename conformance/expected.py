"""The committed lists of what passes, strict both ways: an unexpected pass is a difference too.

A line is ``pass NAME``, ``fail NAME  # why``, ``out NAME  # the later capability that it needs`` or
``n/a NAME  # why the client cannot do it``.
Each storage has lists of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from conformance.cases import Outcome

_DIRECTORY = Path(__file__).parent / "expected"


def load(storage: str, suite: str) -> dict[str, Outcome]:
    """Return the expected outcomes by name; none where the suite has no list yet."""
    path = _DIRECTORY / storage / f"{suite}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return {outcome.name: outcome for outcome in map(_parse, lines)}


def differences(storage: str, suite: str, found: Iterable[Outcome], complete: bool) -> list[str]:
    """Return one line per difference; where not ``complete``, cases that did not run are none."""
    expected = load(storage, suite)
    actual = {outcome.name: outcome for outcome in found}
    lines = []
    for name, outcome in actual.items():
        wanted = expected[name].verdict if name in expected else "nothing"
        if outcome.verdict != wanted:
            lines.append(f"{suite}/{name}: {outcome.verdict}, expected {wanted}")
    if complete:
        lines += [
            f"{suite}/{name}: is in the list and did not run" for name in expected if name not in actual
        ]
    return lines


def update(storage: str, suite: str, found: Iterable[Outcome]) -> None:
    """Write the list anew; the reason of a known failure stays as it was written."""
    known = load(storage, suite)
    lines = []
    for name, verdict, reason in found:
        if verdict == "fail" and name in known and known[name].verdict == "fail":
            reason = known[name].reason
        lines.append(f"{verdict} {name}" + (f"  # {reason}" if reason else ""))
    path = _DIRECTORY / storage / f"{suite}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _parse(line: str) -> Outcome:
    head, _, reason = line.partition("  # ")
    verdict, _, name = head.partition(" ")
    return Outcome(name, verdict, reason)
