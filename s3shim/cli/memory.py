"""How the processes of the server keep freed memory: mallopt(3) and malloc_trim(3), where glibc has them.

glibc gives each thread a heap of its own, and each of them keeps the blocks that it once needed: a worker
grew by 20 to 30 MiB in eight minutes of mixed work. One heap for all threads is used again by whoever comes
next; Python's own lock lets only one of them allocate at a time anyway. That heap still becomes a sieve: in
16 minutes of mixed work the live bytes stayed at 13 MiB and the heap grew from 26 to 42. So its free pages go
back to the system now and then.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_BLOCKS = 4 << 20  # bytes: more than a block of an object has, so that blocks are not mapped anew
_KEPT = 16 << 20  # free bytes at the end of the heap that are not given back at once
_KEPT_LONG = 4 << 20  # and those that are not given back later


def share_heap() -> None:
    """Let all threads of this process, and of those that it forks, share one heap."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _BLOCKS), (_TRIM_THRESHOLD, _KEPT)):
            mallopt(option, value)


def return_memory() -> None:
    """Give the free pages of the heap back to the system, all but a few at its end; 1 or 2 ms."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(_KEPT_LONG)
