"""Log lines: one record is one line, and a program reads back what was written."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim import logs

# Any code point, surrogates too: what os.fsdecode makes of a client's bytes.
TEXT = st.text(st.characters(codec=None), max_size=40)
VALUES = st.one_of(TEXT, st.integers(-(2**63), 2**63), st.floats(), st.booleans(), st.none())
FIELDS = st.dictionaries(TEXT, VALUES, max_size=6)

PAIR = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\\x00-\x1f]|\\.)*"|[^\s"=\\]+)( |\Z)')


def record(message: str, fields: dict[str, Any] | None = None) -> logging.LogRecord:
    made = logging.LogRecord("s3shim.x", logging.WARNING, "file", 1, message, None, None)
    made.created = 1_700_000_000.1239
    if fields is not None:
        made.fields = fields
    return made


def parse_logfmt(line: str) -> dict[str, str]:
    """Parse strictly: pairs with one blank in between, quoted values as JSON strings."""
    found: dict[str, str] = {}
    position = 0
    while position < len(line):
        match = PAIR.match(line, position)
        assert match, line[position:]
        name, value, _ = match.groups()
        assert name not in found
        found[name] = json.loads(value) if value.startswith('"') else value
        position = match.end()
    return found


def one_line(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text.splitlines()) == 1


@given(TEXT, FIELDS)
def test_json_reads_back(message: str, fields: dict[str, Any]) -> None:
    line = logs.Formatter("json").format(record(message, fields))
    assert one_line(line)
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["ts"] == "2023-11-14T22:13:20.123Z"
    assert found["level"] == "warning"
    assert found["msg"] == message
    values = list(found.values())[3:]
    assert len(values) == len(fields)
    for value, sent in zip(values, fields.values(), strict=True):
        assert value == sent or value == str(sent)


@given(TEXT, FIELDS)
def test_logfmt_reads_back(message: str, fields: dict[str, Any]) -> None:
    line = logs.Formatter("logfmt").format(record(message, fields))
    assert one_line(line)
    found = parse_logfmt(line)
    assert list(found)[:3] == ["ts", "level", "msg"]
    assert found["msg"] == message
    values = list(found.values())[3:]
    assert len(values) == len(fields)
    for value, sent in zip(values, fields.values(), strict=True):
        written = json.dumps(sent) if isinstance(sent, bool) or sent is None else str(sent)
        assert value == written


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_a_field_that_is_named_like_another_is_kept(style: str) -> None:
    line = logs.Formatter(style).format(record("hello", {"msg": "mine", "a b": 1, "a_b": 2, "": 3}))
    found = json.loads(line) if style == "json" else parse_logfmt(line)
    assert {name: str(value) for name, value in list(found.items())[2:]} == {
        "msg": "hello", "msg_": "mine", "a_b": "1", "a_b_": "2", "_": "3",
    }  # fmt: skip


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_a_traceback_stays_on_the_line(style: str) -> None:
    failed = record("failed")
    try:
        raise RuntimeError("what\nhappened")
    except RuntimeError:
        failed.exc_info = sys.exc_info()
    line = logs.Formatter(style).format(failed)
    assert one_line(line)
    found = json.loads(line) if style == "json" else parse_logfmt(line)
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("RuntimeError: what\nhappened")


def test_setup_replaces_what_was_set_up_before() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = logging.getLogger(logs.LOGGER)
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    try:
        logs.setup("logfmt", "info", first)
        logs.setup("json", "warning", second)
        child = logging.getLogger("s3shim.child")
        child.info("not shown")
        child.warning("shown", extra={"fields": {"n": 1}})
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    assert first.getvalue() == ""
    (line,) = second.getvalue().splitlines()
    assert json.loads(line)["msg"] == "shown"
    assert json.loads(line)["n"] == 1
