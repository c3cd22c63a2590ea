"""Whether a server serves, and how soon it does again."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


def answers(s3: Any, **at: str) -> bool:
    """Whether a read is answered now."""
    try:
        s3.get_object(**at)["Body"].read()
    except (BotoCoreError, ClientError):
        return False
    return True


def seconds_until(true: Any, most: float = 30.0) -> float:
    """Call ``true`` until it answers true; return the seconds that took. Raises AssertionError."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < most, f"not within {most:g} s"
        time.sleep(0.01)
    return time.monotonic() - began
