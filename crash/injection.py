"""Calls of the system and of LMDB that fail on demand, in this process and without strace."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lmdb

SHORT = -1  # in place of an errno: the call does half of what it is asked for

REFUSED, PANIC, APPLIED = "commit", "commit, meta page lost", "commit, meta page on disk"

CALLS = ("open", "write", "posix_fallocate", "fdatasync", "link", "rename", "fsync", "unlink", "statvfs")


@dataclass(frozen=True, slots=True)
class Fault:
    """The call ``name`` fails with the errno ``number`` when it comes the ``n``-th time, or from then on.

    A commit fails before anything is written (REFUSED), or as LMDB's does when its meta page cannot be
    written, which nobody can use the environment after; the page may have reached the disk (APPLIED).
    """

    name: str
    number: int
    n: int
    sticky: bool

    def __str__(self) -> str:
        what = "is short" if self.number == SHORT else os.strerror(self.number)
        return f"{self.name} {self.n}{' and all later' if self.sticky else ''}: {what}"


class Injector:
    """Counts the calls of one thread while ``active``, and lets ``fault`` happen.

    ``fired`` counts how often it did; ``retried`` says that a descriptor was synced again after its sync had
    failed.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.active = False
        self.fired = 0
        self.retried = False
        self.calls: Counter[str] = Counter()
        self._unsynced: set[int] = set()
        self._thread = threading.get_ident()

    def begin(self, fault: Fault | None) -> None:
        """Count from 0 and let ``fault`` happen until ``end``."""
        self.fault, self.active, self.fired, self.retried = fault, True, 0, False
        self.calls.clear()
        self._unsynced.clear()

    def end(self) -> None:
        """Let nothing fail any more."""
        self.active = False

    def hit(self, *names: str) -> Fault | None:
        """Count one call by each of these names; return the fault where it is to happen now."""
        if not self.active or threading.get_ident() != self._thread:
            return None
        self.calls.update(names)
        fault = self.fault
        if fault is None or fault.name not in names:
            return None
        count = self.calls[fault.name]
        if count != fault.n and not (fault.sticky and count > fault.n):
            return None
        self.fired += 1
        return fault

    def install(self) -> None:
        """Patch ``os`` for good: this process is for one purpose."""
        for name in CALLS:
            setattr(os, name, self._failing(name, getattr(os, name)))
        close = os.close

        def forget(fd: int) -> None:
            self._unsynced.discard(fd)
            close(fd)

        os.close = forget

    def _failing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        syncs = name in ("fdatasync", "fsync")

        def call(*args: Any, **options: Any) -> Any:
            if syncs and args[0] in self._unsynced:
                self.retried = True
            fault = self.hit(name)
            if fault is None:
                return function(*args, **options)
            if fault.number == SHORT:
                return function(args[0], bytes(args[1])[: len(args[1]) // 2 or 1])
            if syncs:
                self._unsynced.add(args[0])
            raise OSError(fault.number, os.strerror(fault.number))

        return call


class FailingEnvironment:
    """An LMDB environment whose begins and commits fail as ``injector`` says."""

    def __init__(self, env: Any, injector: Injector) -> None:
        self._env = env
        self._injector = injector
        self._panics = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, *, write: bool = False) -> Any:
        """See lmdb."""
        if self._panics:
            raise lmdb.PanicError("mdb_txn_begin")
        fault = self._injector.hit("begin")
        if fault is not None:
            raise failed(fault.number)
        txn = self._env.begin(write=write)
        return _FailingTransaction(txn, self) if write else txn

    def open_db(self, name: bytes, *, txn: Any, create: bool) -> Any:
        """See lmdb."""
        inner = txn.inner if isinstance(txn, _FailingTransaction) else txn
        return self._env.open_db(name, txn=inner, create=create)

    def commit(self, txn: Any) -> None:
        """Commit a transaction, or not."""
        fault = self._injector.hit(REFUSED, PANIC, APPLIED)
        if fault is None or fault.name == APPLIED:
            txn.commit()
        else:
            txn.abort()
        if fault is not None:
            self._panics = fault.name != REFUSED
            raise failed(fault.number)


class _FailingTransaction:
    def __init__(self, txn: Any, env: FailingEnvironment) -> None:
        self.inner = txn
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:
            self.commit()
        else:
            self.inner.abort()

    def commit(self) -> None:
        self._env.commit(self.inner)


def failed(number: int) -> lmdb.Error:
    """Return what LMDB raises where the system has answered with an errno."""
    error = lmdb.Error(f"LMDB: {os.strerror(number)}")
    error.code = number
    return error
