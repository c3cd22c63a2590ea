"""What the service tells of itself: the numbers of all its processes together, as metrics.

``board`` is the memory in which the workers show their numbers to each other, ``numbers`` counts and adds
up, ``exposition`` writes Prometheus's formats. Numbers of the storage come as ``s3shim.measures``.
"""

from s3shim.metrics.board import Board, board
from s3shim.metrics.numbers import Numbers

__all__ = ["Board", "Numbers", "board"]
