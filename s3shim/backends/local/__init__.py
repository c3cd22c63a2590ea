"""The embedded store: checksummed files and an LMDB index in one directory.

The master of the workers calls ``prepare``, ``lock`` and ``sweep`` before the first fork; each worker
makes a LocalBackend and starts it.
"""

from s3shim.backends.local.backend import LocalBackend
from s3shim.backends.local.layout import StoreRefused, lock, prepare
from s3shim.backends.local.sweep import sweep

__all__ = ["LocalBackend", "StoreRefused", "lock", "prepare", "sweep"]
