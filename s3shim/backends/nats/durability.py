"""Whether JetStream syncs a write before it acknowledges it; its clients cannot see that, its monitor tells.

Source: ``config`` in the answer to /jsz of nats-server 2.15.1: ``sync_always``, which is left out where it is
false, and ``sync_interval`` in nanoseconds.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException

from s3shim.backends.nats.settings import NatsSettings
from s3shim.measures import Durability

_TIMEOUT = 2.0
_LONGEST = 1 << 20

_UNKNOWN = "whether JetStream syncs writes before it acknowledges them is not known, by default it does not"

# What the environment says of proxies is not meant for a server's monitor.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

log = logging.getLogger(__name__)


class NotTold(Exception):
    """The monitor did not say it; one line why."""


@dataclass(slots=True, frozen=True)
class Syncing:
    """How a server syncs: ``always`` before it acknowledges, else every ``interval`` seconds."""

    always: bool
    interval: float

    @property
    def durability(self) -> Durability:
        """What an acknowledged write has behind it."""
        return Durability.FULL if self.always else Durability.DELAYED


def ask(monitor: str) -> Syncing:
    """Return how the server syncs whose monitor has this URL; takes some seconds at most. Raises NotTold."""
    try:
        with _open(f"{monitor}/jsz", timeout=_TIMEOUT) as answer:
            config = json.loads(answer.read(_LONGEST)).get("config") or {}
        interval = float(config["sync_interval"]) / 1e9
    except (OSError, HTTPException) as error:
        raise NotTold(f"{monitor}: {error}") from None
    except KeyError:
        raise NotTold(f"{monitor} tells of no JetStream") from None
    except (ValueError, TypeError, AttributeError):
        raise NotTold(f"{monitor} is no monitor of a NATS server") from None
    return Syncing(config.get("sync_always") is True, interval)


def announce(settings: NatsSettings) -> None:
    """Write the one line of the log that says what an acknowledged write has behind it."""
    if settings.monitor is None:
        _say(logging.INFO, Durability.UNKNOWN, f"{_UNKNOWN}: --nats-monitor names who tells")
        return
    try:
        found = ask(settings.monitor)
    except NotTold as reason:
        _say(logging.WARNING, Durability.UNKNOWN, f"{_UNKNOWN}: {reason}")
        return
    if found.always:
        _say(logging.INFO, found.durability, "JetStream syncs writes before it acknowledges them")
        return
    text = (
        f"JetStream acknowledges writes before it syncs them, every {found.interval:g} seconds: "
        "a power cut takes acknowledged objects, and can take whole buckets"
    )
    if settings.replicas == 1:
        text += "; with one replica there is no other copy of them"
    _say(logging.WARNING, found.durability, f"{text}. sync_interval: always in its configuration prevents it")


def _say(level: int, durability: Durability, text: str) -> None:
    log.log(level, text, extra={"fields": {"durability": str(durability)}})
