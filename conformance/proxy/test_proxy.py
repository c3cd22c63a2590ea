"""Requests at the edge of HTTP through nginx; where the answers differ from s3shim's own, a case says how."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.http_cases import CASES, Case, Site, run
from tests.server.process import Server


@pytest.fixture(scope="session")
def site(server: Server, proxy: int) -> Iterator[Site]:
    """The proxy, prepared."""
    made = Site(proxy, server.shown("access key"), server.shown("secret key"))
    made.prepare()
    yield made
    made.client.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_through_nginx(site: Site, case: Case) -> None:
    run(case, site, case.direct if case.proxied is None else case.proxied)
