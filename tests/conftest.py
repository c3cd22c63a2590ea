"""How the tests of the wire reach the application."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from s3shim import logs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--worker`` and ``--trials``."""
    parser.addoption(
        "--worker",
        default="none",
        choices=["none", "s3shim", "gthread"],
        help="the gunicorn worker that the tests of the wire go through",
    )
    parser.addoption(
        "--trials", type=int, default=60, help="how often the tests of a NATS cluster try what may go wrong"
    )


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command does to the log: its stream is closed when the next test runs."""
    logger = logging.getLogger(logs.LOGGER)
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)
