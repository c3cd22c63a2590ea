"""Requests at the edge of HTTP, sent to s3shim itself. ``make proxy`` sends them through nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.http_cases import CASES, VICTIM, Case, Site, run
from tests.server.process import Server, serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what was stored is a part of each case."""
    made = serve(tmp_path_factory.mktemp("cases"))
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.stderr


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    """The server, prepared."""
    made = Site(server.port, server.shown("access key"), server.shown("secret key"))
    made.prepare()
    yield made
    made.client.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_direct(site: Site, case: Case) -> None:
    run(case, site, case.direct)


def test_no_header_changes_the_address_in_the_log(site: Site, server: Server) -> None:
    for line in (
        "X-Forwarded-For: 1.1.1.1",
        "X-Real-IP: 1.1.1.1",
        "Forwarded: for=1.1.1.1",
        "True-Client-IP: 1.1.1.1",
    ):
        site.answers(site.signed("GET", VICTIM, f"{line}\r\nConnection: close\r\n"))
        assert "1.1.1.1" not in server.stderr
        assert "remote_ip=127.0.0.1" in server.stderr.splitlines()[-1]
