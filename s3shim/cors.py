"""Cross-origin rules of a bucket: which one lets a browser's request pass, and what is answered then.

Source: "Using cross-origin resource sharing (CORS)", Amazon S3 User Guide, and the Fetch standard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
DOCUMENT = "cors"
"""The name of the bucket's document."""

ANY = "*"


@dataclass(slots=True, frozen=True)
class Rule:
    """A CORSRule. Origins and allowed headers may hold one ``*``; ``max_age`` is in seconds."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int | None = None
    id: str | None = None


def find(rules: Iterable[Rule], origin: str, method: str, headers: Sequence[str]) -> Rule | None:
    """Return the first rule that allows the method with these request headers from ``origin``, or None."""
    wanted = [name.lower() for name in headers]
    for rule in rules:
        if method not in rule.methods or not any(_matches(pattern, origin) for pattern in rule.origins):
            continue
        allowed = [name.lower() for name in rule.headers]
        if all(any(_matches(pattern, name) for pattern in allowed) for name in wanted):
            return rule
    return None


def _matches(pattern: str, value: str) -> bool:
    before, star, after = pattern.partition(ANY)
    if not star:
        return pattern == value
    whole = len(value) >= len(before) + len(after)
    return whole and value.startswith(before) and value.endswith(after)


def allowing(rule: Rule, origin: str, headers: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the headers that tell a browser what ``rule`` allows; ``headers`` are those it asked for."""
    told = [("Access-Control-Allow-Origin", ANY if ANY in rule.origins else origin)]
    if ANY not in rule.origins:
        told.append(("Access-Control-Allow-Credentials", "true"))
    told.append(("Access-Control-Allow-Methods", ", ".join(rule.methods)))
    if headers:
        told.append(("Access-Control-Allow-Headers", ", ".join(name.lower() for name in headers)))
    if rule.exposed:
        told.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if rule.max_age is not None:
        told.append(("Access-Control-Max-Age", str(rule.max_age)))
    told.append(("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"))
    return told
