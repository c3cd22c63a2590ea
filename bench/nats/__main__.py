"""``python -m bench.nats``: s3shim and, where it is on PATH, nats-s3 over the same nats-server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from bench.gateways.command import Contest, compare
from bench.nats.report import PEER, markdown
from bench.rounds import Entrant
from bench.servers import OURS, clusters, singles
from bench.servers.place import Place


def start(place: Place) -> Sequence[Entrant]:
    """Start the nats-server; return s3shim and nats-s3 over it."""
    port = clusters.nats_server(place).port
    entrants = [Entrant(OURS, lambda own: singles.s3shim(own, storage=singles.over_nats(port)))]
    if shutil.which(PEER):
        entrants.append(Entrant(PEER, lambda own: clusters.nats_s3_on(own, port)))
    else:
        print(f"{PEER} is not on PATH: {OURS} alone")
    return entrants


if __name__ == "__main__":
    versions = [OURS, PEER] if shutil.which(PEER) else [OURS]
    sys.exit(compare(Contest("nats", versions, start, markdown), str(__doc__)))
