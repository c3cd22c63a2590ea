"""The fixed piece of Python. To change it is to measure all bounds anew."""

from __future__ import annotations

import hashlib
import hmac

_HEADERS = [(f"X-Amz-Meta-{number}", f" value {number} ") for number in range(24)]
_KEY = b"a key of the reference"


def unit(number: int) -> int:
    """Do what a service of this kind does all day, without any of its code; return the bytes made."""
    fields: dict[str, str] = {}
    for name, value in _HEADERS:
        folded = name.lower().replace("-", "_")
        fields[folded] = value.strip()
    lines = [f"{name}:{fields[name]}" for name in sorted(fields)]
    signature = hmac.new(_KEY, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    path = f"/bucket/{number:07d}/{signature[:8]}"
    parts = [part for part in path.split("/") if part]
    text = "".join(f"<Key>{part}</Key><Size>{len(part)}</Size>" for part in parts for _ in range(8))
    body = text.encode()
    return len(body) + sum(_step(line, number) for line in lines)


def _step(line: str, number: int) -> int:
    name, _, value = line.partition(":")
    if name.endswith(str(number % 10)):
        return len(value)
    return len(name)
