"""The policy of a browser-based upload: what the fields of a form may be, how large its file, until when.

Source: "POST Policy" in the Amazon S3 API Reference. Names of fields and operators are compared without
regard to case, as Amazon S3 does; ``expiration``, ``conditions`` and all values with regard to it. A
condition on a field that the form lacks does not hold, whatever it says.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from s3shim.errors import Code, S3Error

UNCOVERED = frozenset({"file", "policy", "x-amz-signature"})
IGNORED = "x-ignore-"

_EXPIRATION = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z", re.ASCII
)
_SIZE = re.compile("[0-9]{1,18}", re.ASCII)
_OPERATORS = {"eq": 3, "starts-with": 3, "content-length-range": 3}
_RANGE = "content-length-range"
_CONTENT_TYPE = "content-type"
_ECHO = 100


@dataclass(slots=True)
class PostPolicy:
    """A policy: ``expiration`` in ms since the epoch; ``tests`` are (operator, "$field", value).

    ``least`` and ``most`` bound the size of the file in bytes; ``most`` None is no bound.
    """

    expiration: int
    tests: list[tuple[str, str, str]] = field(default_factory=list)
    least: int = 0
    most: int | None = None

    def check(self, fields: Mapping[str, str], now: int) -> None:
        """Raise AccessDenied unless ``fields`` are as they must be at the time ``now`` (ms).

        They are given by lower-case name; ``bucket`` is among them.
        """
        if now > self.expiration:
            raise _not_allowed("Policy expired.")
        for operator, name, value in self.tests:
            found = fields.get(name[1:].lower()) if name.startswith("$") else None
            if found is None or not _holds(operator, name, found, value):
                shown = json.dumps([operator, name, value], ensure_ascii=False)
                raise _not_allowed(f"Policy Condition failed: {shown}")
        covered = {name[1:].lower() for _, name, _ in self.tests}
        extra = fields.keys() - covered - UNCOVERED
        extra = {name for name in extra if not name.startswith(IGNORED)}
        if extra:
            raise _not_allowed(f"Extra input fields: {', '.join(sorted(extra))[:_ECHO]}")


def parse_post_policy(text: str) -> PostPolicy:
    """Return the policy whose base64 is ``text``. Raises InvalidPolicyDocument."""
    try:
        document = b64decode(text.encode(), validate=True).decode()
    except (ValueError, Base64Error):
        _refuse("invalid Base64 encoding of UTF-8.")
    try:
        content = json.loads(document, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        _refuse("Invalid JSON.")
    if not isinstance(content, dict):
        _refuse("Invalid JSON.")
    for name in content.keys() - {"expiration", "conditions"}:
        _refuse(f"Unexpected: '{name[:_ECHO]}'")
    policy = PostPolicy(_expiration(content))
    conditions = content.get("conditions")
    if conditions is None:
        _refuse("Policy missing conditions.")
    if not isinstance(conditions, list):
        _refuse("Invalid 'conditions' value: must be a List.")
    if not conditions:
        _refuse("Policy missing conditions.")
    for condition in conditions:
        _add(policy, condition)
    return policy


def _expiration(content: dict[str, Any]) -> int:
    value = content.get("expiration")
    if value is None:
        _refuse("Policy missing expiration.")
    match = _EXPIRATION.fullmatch(value) if isinstance(value, str) else None
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00") if match else None
    except ValueError:
        moment = None
    if match is None or moment is None:
        _refuse(f"Invalid 'expiration' value: '{str(value)[:_ECHO]}'")
    return int(moment.timestamp()) * 1000 + int((match[2] or "0").ljust(3, "0")[:3])


def _add(policy: PostPolicy, condition: Any) -> None:
    if isinstance(condition, dict):
        if len(condition) != 1:
            _refuse("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((name, value),) = condition.items()
        if not isinstance(value, str):
            _refuse("Invalid Simple-Condition: value must be a string.")
        policy.tests.append(("eq", f"${name}", value))
        return
    if not isinstance(condition, list):
        _refuse("Invalid condition test: must be a List or Object.")
    if not condition or not isinstance(condition[0], str):
        _refuse("Invalid Condition: missing operation identifier.")
    operator = condition[0].lower()
    if operator not in _OPERATORS:
        _refuse(f"Invalid Condition: unknown operation '{condition[0][:_ECHO]}'.")
    if len(condition) != _OPERATORS[operator]:
        _refuse(f"Invalid {operator}: wrong number of arguments.")
    if operator == _RANGE:
        least, most = (_size(value) for value in condition[1:])
        policy.least = max(policy.least, least)
        policy.most = most if policy.most is None else min(policy.most, most)
        return
    _, name, value = condition
    if not isinstance(name, str) or not isinstance(value, str):
        _refuse(f"Invalid {operator}: arguments must be strings.")
    policy.tests.append((operator, name, value))


def _size(value: Any) -> int:
    # A bool is an int to Python; Amazon S3 takes digits in a string too.
    if (type(value) is int and value >= 0) or (isinstance(value, str) and _SIZE.fullmatch(value)):
        return int(value)
    _refuse(f"Invalid {_RANGE}: arguments must be sizes in bytes.")


def _holds(operator: str, name: str, found: str, value: str) -> bool:
    if operator == "eq":
        return found == value
    if name[1:].lower() == _CONTENT_TYPE:
        return all(item.strip().startswith(value) for item in found.split(","))
    return found.startswith(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(why: str) -> NoReturn:
    raise S3Error(Code.InvalidPolicyDocument, f"Invalid Policy: {why}")


def _not_allowed(why: str) -> S3Error:
    return S3Error(Code.AccessDenied, f"Invalid according to Policy: {why}")
