"""Log lines: one record is one line that a program can read back.

A record's ``fields`` (a dict given as ``extra={"fields": {...}}``) follow its time, level and
message. Everything outside printable ASCII is escaped, so a client's bytes cannot make a second line.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from s3shim.times import timestamp

LOGGER = "s3shim"

_BARE = re.compile(r"[A-Za-z0-9_.:/@%+*,;~!?&()<>|^$#-]+", re.ASCII)
_BAD_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)


_LEVELS = {level: logging.getLevelName(level).lower() for level in (logging.INFO, logging.ERROR)}

_logger = logging.getLogger(LOGGER)


class Formatter(logging.Formatter):
    """Writes a record as logfmt, or as one JSON object per line."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._write = _json if style == "json" else _logfmt

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII, without the line end."""
        line: dict[str, object] = {
            "ts": timestamp(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        _add(line, getattr(record, "fields", {}))
        if record.exc_info:
            _add(line, {"exception": self.formatException(record.exc_info)})
        if record.stack_info:
            _add(line, {"stack": self.formatStack(record.stack_info)})
        return self._write(line)


class _Straight(logging.StreamHandler[TextIO]):
    """A handler that can also be given a line without a record, which costs more than what it says."""

    def __init__(self, stream: TextIO, style: str) -> None:
        super().__init__(stream)
        self.setFormatter(Formatter(style))
        self._style = style
        try:
            self._fd = stream.fileno()
        except OSError:
            self._fd = -1

    def write(self, level: str, line: Line, texts: Sequence[str], numbers: Sequence[float]) -> None:
        written = line.make(self._style, timestamp(int(time.time() * 1000)), level, texts, numbers)
        with suppress(OSError):  # nobody is there to be told
            if self._fd >= 0:
                os.write(self._fd, written.encode())
            else:
                self.stream.write(written)


def setup(style: str, level: str, stream: TextIO | None = None) -> None:
    """Send the records of s3shim from ``level`` on to ``stream``, by default standard error."""
    _logger.handlers = [_Straight(stream or sys.stderr, style)]
    _logger.propagate = False
    _logger.setLevel(level.upper())


def written(level: int) -> bool:
    """Whether lines of ``level`` are written at all."""
    return _logger.isEnabledFor(level)


class Line:
    """A kind of line that is written often: its message, and its fields, texts first and numbers after them.

    All names are good ones and the message needs no quotes, so that only texts are looked at.
    """

    def __init__(self, message: str, texts: Sequence[str], numbers: Sequence[str]) -> None:
        self._message = message
        self._names = (*texts, *numbers)
        fields = "".join(f" {name}=%s" for name in self._names)
        self._logfmt = f"ts=%s level=%s msg={message}{fields}\n"

    def make(
        self, style: str, timestamp: str, level: str, texts: Sequence[str], numbers: Sequence[float]
    ) -> str:
        """Return the line with its end."""
        if style == "json":
            values = dict(zip(self._names, (*texts, *numbers), strict=True))
            return _json({"ts": timestamp, "level": level, "msg": self._message, **values}) + "\n"
        bare = _BARE.fullmatch
        shown = [text if bare(text) else json.dumps(text) for text in texts]
        return self._logfmt % (timestamp, level, *shown, *numbers)

    def write(self, level: int, texts: Sequence[str], numbers: Sequence[float]) -> None:
        """Write it, at INFO or ERROR; ``texts`` and ``numbers`` (ints and finite floats) are its values."""
        handler = _logger.handlers[0] if _logger.handlers else None
        if isinstance(handler, _Straight):
            handler.write(_LEVELS[level], self, texts, numbers)
        else:
            fields = dict(zip(self._names, (*texts, *numbers), strict=True))
            _logger.log(level, self._message, extra={"fields": fields})


def _add(line: dict[str, object], fields: dict[str, object]) -> None:
    """Add ``fields``; one whose name is taken or unfit is renamed, none is dropped."""
    for name, value in fields.items():
        name = _BAD_IN_NAME.sub("_", str(name)) or "_"
        while name in line:
            name += "_"
        line[name] = value


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def _json(line: dict[str, object]) -> str:
    return json.dumps({name: _plain(value) for name, value in line.items()})


def _logfmt(line: dict[str, object]) -> str:
    return " ".join([f"{name}={_logfmt_value(_plain(value))}" for name, value in line.items()])


def _logfmt_value(value: str | int | float | bool | None) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value)
    return json.dumps(value)
