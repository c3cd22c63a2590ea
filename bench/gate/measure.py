"""The quotients: the cost of each request in units of the reference, and whether they are within bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.gate import reference
from bench.gate.paths import Service

BOUNDS = Path(__file__).parent / "bounds.json"

ROUNDS = 120

# How many requests of each row a round has: few enough that most rounds are not interrupted.
_COUNTS = {"get-4k": 8, "head": 8, "put-4k": 4, "list-200": 1, "get-1m": 4}
_UNITS = 30


def quotients(service: Service, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the processor time of a request in units of the reference, by row.

    Processor time, because others use the machine too; the least of many short rounds, because a round that
    was disturbed is slower and never faster; reference and rows in turn, because the processor's speed moves.
    """
    requests = service.requests()
    best = dict.fromkeys(requests, float("inf"))
    unit = float("inf")
    for _ in range(rounds):
        unit = min(unit, _cost(_reference) / _UNITS)
        for name, (environ, body, length) in requests.items():
            cost = _cost(partial(_row, service, name, environ, body, length))
            best[name] = min(best[name], cost / _COUNTS[name])
    return {name: cost / unit for name, cost in best.items()}


def _cost(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _reference() -> None:
    for number in range(_UNITS):
        reference.unit(number)


def _row(service: Service, name: str, environ: dict[str, object], body: bytes, length: int) -> None:
    for _ in range(_COUNTS[name]):
        if service.call(environ, body) != length:
            raise RuntimeError(f"{name}: another answer than before")


def complaints(measured: dict[str, float], bounds: Path) -> list[str]:
    """Return a line for each row that costs more than its bound allows, or has none."""
    kept = json.loads(bounds.read_text())
    limit, expected = kept["limit"], kept["quotients"]
    lines = [f"{name}: was not measured" for name in expected.keys() - measured.keys()]
    for name, found in measured.items():
        if name not in expected:
            lines.append(f"{name}: has no bound")
        elif found > expected[name] * limit:
            factor = found / expected[name]
            lines.append(
                f"{name}: {found:.2f} units, {factor:.2f} times its bound; {limit:.2f} times is allowed"
            )
    return sorted(lines)


def update(measured: dict[str, float], bounds: Path) -> None:
    """Make ``measured`` the bounds; the limit stays."""
    kept = json.loads(bounds.read_text())
    kept["quotients"] = {name: round(found, 3) for name, found in measured.items()}
    bounds.write_text(json.dumps(kept, indent=1) + "\n")
