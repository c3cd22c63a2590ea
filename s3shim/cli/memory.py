"""How the processes of the server keep freed memory (mallopt(3) of glibc; without it nothing is set).

glibc gives each thread a heap of its own, and each of them keeps the blocks that it once needed: a worker
grew by 20 to 30 MiB in eight minutes of mixed work. One heap for all threads is used again by whoever comes
next; Python's own lock lets only one of them allocate at a time anyway.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_BLOCKS = 4 << 20  # bytes: more than a block of an object has, so that blocks are not mapped anew
_KEPT = 16 << 20  # free bytes at the end of the heap that are not given back


def share_heap() -> None:
    """Let all threads of this process, and of those that it forks, share one heap."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _BLOCKS), (_TRIM_THRESHOLD, _KEPT)):
            mallopt(option, value)
