"""Objects in the memory of one process: the reference of the contract, for tests.

Nothing survives the process. ``close`` and a new ``start`` keep what was stored.
"""

from s3shim.backends.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
