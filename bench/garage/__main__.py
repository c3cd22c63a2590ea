"""``python -m bench.garage``: Garage itself, s3shim over it and, where it is on PATH, versitygw over it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from bench.garage.report import PEER, STORAGE, markdown
from bench.gateways.command import Contest, compare
from bench.rounds import Entrant
from bench.servers import OURS, clusters, singles
from bench.servers.place import Place


def start(place: Place) -> Sequence[Entrant]:
    """Start Garage; return it, and s3shim and versitygw over it."""
    behind = clusters.garage(place)
    entrants = [
        Entrant(STORAGE, lambda own: behind),
        Entrant(OURS, lambda own: singles.s3shim(own, storage=singles.over_s3(behind))),
    ]
    if shutil.which(PEER):
        entrants.append(Entrant(PEER, lambda own: singles.versitygw_on(own, behind)))
    else:
        print(f"{PEER} is not on PATH: {OURS} alone")
    return entrants


if __name__ == "__main__":
    versions = [OURS, STORAGE, *([PEER] if shutil.which(PEER) else [])]
    sys.exit(compare(Contest("garage", versions, start, markdown), str(__doc__)))
