"""How the tests of the wire reach the application."""

from __future__ import annotations

import pytest


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
