"""Log lines: one record is one line that a program can read back.

A record's ``fields`` (a dict given as ``extra={"fields": {...}}``) follow its time, level and
message. Everything outside printable ASCII is escaped, so a client's bytes cannot make a second line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from typing import TextIO

LOGGER = "s3shim"

_BARE = re.compile(r"[A-Za-z0-9_.:/@%+*,;~!?&()<>|^$#-]+", re.ASCII)
_BAD_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)


class Formatter(logging.Formatter):
    """Writes a record as logfmt, or as one JSON object per line."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._write = _json if style == "json" else _logfmt

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII, without the line end."""
        line: dict[str, object] = {
            "ts": _timestamp(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        _add(line, getattr(record, "fields", {}))
        if record.exc_info:
            _add(line, {"exception": self.formatException(record.exc_info)})
        if record.stack_info:
            _add(line, {"stack": self.formatStack(record.stack_info)})
        return self._write(line)


def setup(style: str, level: str, stream: TextIO | None = None) -> None:
    """Send the records of s3shim from ``level`` on to ``stream``, by default standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter(style))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


def _add(line: dict[str, object], fields: dict[str, object]) -> None:
    """Add ``fields``; one whose name is taken or unfit is renamed, none is dropped."""
    for name, value in fields.items():
        name = _BAD_IN_NAME.sub("_", str(name)) or "_"
        while name in line:
            name += "_"
        line[name] = value


def _timestamp(seconds: float) -> str:
    """Return ISO 8601 in UTC with milliseconds."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def _json(line: dict[str, object]) -> str:
    return json.dumps({name: _plain(value) for name, value in line.items()})


def _logfmt(line: dict[str, object]) -> str:
    return " ".join(f"{name}={_logfmt_value(_plain(value))}" for name, value in line.items())


def _logfmt_value(value: str | int | float | bool | None) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value)
    return json.dumps(value)
