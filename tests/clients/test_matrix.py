"""Clients in Python do every kind of transfer: the cells of ``make conformance SUITE=matrix`` over HTTP."""

import pytest

from conformance.cases import log_verdict
from conformance.matrix.cells import OPERATIONS
from conformance.matrix.suite import PYTHON_CLIENTS, Cells
from conformance.server import Server


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells of a server with the clients made ready; its log must be clean in the end."""
    work = tmp_path_factory.mktemp("matrix")
    for client in PYTHON_CLIENTS:
        client.prepare()
    with Server(work) as server:
        cells = Cells(work, server)
        yield cells
        cells.recorder.close()
        assert log_verdict(server) == ("pass", "")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_transfer(cells, client, operation):
    outcome, forms = cells.run(f"{client.name}/{operation}/plain", client, operation)
    if operation in client.cannot:
        assert outcome.verdict == "n/a"
        return
    assert outcome.verdict == "pass", outcome.reason
    assert ("presigned" in forms) is operation.startswith("presigned")
    assert ("signed-payload" in forms) is (operation in ("put", "stream", "multipart"))
