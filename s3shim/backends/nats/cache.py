"""The LMDB environment that all processes of a host share: what is in it can be had from NATS again.

So nothing is synced, and nothing in it is an error to a client: after a restart of the machine, or where LMDB
or a reader finds it damaged, its directory is moved away and another one begins. Who still has the old one
open sees that its file is no longer the one of that name, and lets it go.

DIR/LOCK is held while the environment is opened or moved away. DIR/users has a locked file for each process
that has it open, DIR/turns for streams that are being read. DIR/keys is the environment, with BOOT, the boot
that it was made in, and WRITER, its write lock: LMDB itself would wait for a stopped process for ever.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import lmdb
import msgspec
from lmdb.verify import verify

from s3shim.backends.nats.rows import TABLES, Damaged, Rows
from s3shim.errors import Code, S3Error

T = TypeVar("T")

ENGINE = 1
MAP_SIZE = 1 << 36
"""Bytes of address space, and with it the most that the index can hold; the file is as long as it is full."""

_READERS = 1024
_TRIES = 3
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DAMAGED = (
    Damaged,
    lmdb.BadChecksumError,
    lmdb.BadDbiError,
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.NotFoundError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.ProblemError,
    lmdb.VersionMismatchError,
    msgspec.DecodeError,
)

log = logging.getLogger(__name__)


class CacheLost(Exception):
    """The rows that were looked at belong to nothing any more; there are other ones."""


class Opened:
    """An environment that this process has open, until the last transaction of it ends."""

    def __init__(self, directory: Path, user: Path) -> None:
        self._user_path = user
        self._user = os.open(user, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._user, fcntl.LOCK_SH)
        self.env = lmdb.open(
            str(directory),
            map_size=MAP_SIZE,
            max_dbs=8,
            max_readers=_READERS,
            max_spare_txns=0,
            mode=0o600,
            metasync=False,
            sync=False,
            lib_version=ENGINE,
        )
        self._path = directory / "data.mdb"
        self.file = _identity(self._path)
        self.turn = threading.Lock()
        self.writer = os.open(directory / "WRITER", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        with suppress(OSError):
            self._user_path.unlink()
        for name in ("writer", "_user"):
            with suppress(AttributeError, OSError):
                os.close(getattr(self, name))

    def prepare(self) -> None:
        """Open the tables, make them where they are missing. Within the writer's turn."""
        self.env.reader_check()
        with self.env.begin(write=True) as txn:
            self.tables = {name: self.env.open_db(name.encode(), txn=txn) for name in TABLES}

    @property
    def current(self) -> bool:
        """Whether this is still the environment that the others use."""
        return _identity(self._path) == self.file


class Cache:
    """The environment in ``path``, opened when it is first used. All methods may be called by all threads."""

    def __init__(self, path: Path, patience: float = 10.0) -> None:
        self.path = path
        self._keys = path / "keys"
        self._users = path / "users"
        self.turns = path / "turns"
        self._patience = patience
        self._mutex = threading.Lock()
        self._opened: Opened | None = None
        self._closed = False

    def read(self, work: Callable[[Rows], T]) -> T:
        """Return what ``work`` finds at one instant. Raises CacheLost, ServiceUnavailable."""
        opened = self._current()
        try:
            rows = Rows(self._begin(opened), opened.tables)
            try:
                return work(rows)
            finally:
                rows.end()
        except (lmdb.Error, msgspec.DecodeError) as error:
            raise self._failed(opened, error) from None

    def write(self, work: Callable[[Rows], T]) -> T:
        """Return what ``work`` does, once it is done for all. Raises CacheLost, ServiceUnavailable."""
        opened = self._current()
        try:
            with self._writing(opened):
                txn = opened.env.begin(write=True)
                try:
                    found = work(Rows(txn, opened.tables))
                except BaseException as error:
                    # py-lmdb's abort waits for a moment without readers: they go elsewhere first.
                    failed = self._failed(opened, error)
                    txn.abort()
                    raise failed from None
                txn.commit()
                return found
        except TimeoutError:
            raise self._failed(opened, Damaged("a process keeps its write lock")) from None
        except lmdb.Error as error:
            raise self._failed(opened, error) from None

    def close(self) -> None:
        """Let it go; calls after this one are refused with ServiceUnavailable."""
        with self._mutex:
            self._closed, self._opened = True, None

    @contextmanager
    def _writing(self, opened: Opened) -> Iterator[None]:
        if not opened.turn.acquire(timeout=self._patience):
            raise TimeoutError
        try:
            take(opened.writer, self._patience)
            try:
                yield
            finally:
                fcntl.flock(opened.writer, fcntl.LOCK_UN)
        finally:
            opened.turn.release()

    def _begin(self, opened: Opened) -> lmdb.Transaction[bytes]:
        for attempt in range(_TRIES):
            try:
                txn = opened.env.begin()
                # Once in some hundred thousand times py-lmdb gives a reader that cannot be used.
                txn.get(b"-", db=opened.tables["state"])
                return txn
            except lmdb.ReadersFullError:
                if attempt + 1 == _TRIES or not opened.env.reader_check():
                    raise
            except lmdb.BadTxnError:
                if attempt + 1 == _TRIES:
                    raise
        raise AssertionError

    def _failed(self, opened: Opened, error: BaseException) -> BaseException:
        """Return what an error is to the caller; where the environment is damaged, it is lost by then."""
        if not isinstance(error, lmdb.Error | msgspec.DecodeError):
            return error
        if isinstance(error, _DAMAGED):
            log.warning("the key index is thrown away and made anew: %s", error)
            with self._mutex:
                self._lose(opened.file)
            return CacheLost()
        log.error("the key index cannot be used: %s", error)
        return S3Error(Code.ServiceUnavailable)

    # -- opening and throwing away --------------------------------------------------------------

    def _current(self) -> Opened:
        opened = self._opened
        if opened is not None and opened.current:
            return opened
        with self._mutex:
            if self._closed:
                raise S3Error(Code.ServiceUnavailable)
            if self._opened is None or not self._opened.current:
                self._opened = None
                self._opened = self._open()
            return self._opened

    def _open(self) -> Opened:
        try:
            for directory in (self.path, self._users, self.turns):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.path / "LOCK", self._patience):
                if not self._is_sound():
                    self._move_away()
                try:
                    return self._map()
                except (lmdb.Error, TimeoutError) as error:
                    log.warning("the key index cannot be opened and is made anew: %s", error)
                    self._move_away()
                    return self._map()
        except (OSError, lmdb.Error) as error:
            log.error("the key index in %s cannot be opened: %s", self.path, error)
            raise S3Error(Code.ServiceUnavailable) from None

    def _map(self) -> Opened:
        self._keys.mkdir(mode=0o700, exist_ok=True)
        opened = Opened(self._keys, self._users / f"{os.getpid()}-{secrets.token_hex(4)}")
        with self._writing(opened):
            opened.prepare()
        boot = self._keys / "BOOT"
        boot.touch(0o600)
        boot.write_text(_boot())
        return opened

    def _is_sound(self) -> bool:
        try:
            if (self._keys / "BOOT").read_text() != _boot():
                return False
            # LMDB trusts its file; a process that died may have died of it.
            alive, died = self._look_at_users()
            if alive and not died:
                return True
            with locked(self._keys / "WRITER", self._patience):
                faults = verify(str(self._keys / "data.mdb"))  # type: ignore[no-untyped-call]
            return all("neither reachable nor in the freeDB" in fault for fault in faults)
        except Exception as error:  # a file that the walker is not made for, or that is not there
            log.debug("the key index: %r", error)
            return False

    def _look_at_users(self) -> tuple[bool, bool]:
        alive = died = False
        for path in self._users.iterdir():
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                died = True
            except BlockingIOError:
                alive = True
            finally:
                os.close(fd)
        return alive, died

    def _lose(self, file: tuple[int, int] | None) -> None:
        self._opened = None
        try:
            with locked(self.path / "LOCK", self._patience):
                if _identity(self._keys / "data.mdb") == file:
                    self._move_away()
        except OSError as error:
            log.error("the key index in %s cannot be moved away: %s", self.path, error)

    def _move_away(self) -> None:
        away = self.path / f"lost-{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            self._keys.rename(away)
        for lost in self.path.glob("lost-*"):
            shutil.rmtree(lost, ignore_errors=True)


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock on a file. Raises TimeoutError, an OSError, after ``patience`` s, and OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        take(fd, patience)
        yield
    finally:
        os.close(fd)


def take(fd: int, patience: float) -> None:
    """Lock an open file. Raises TimeoutError."""
    deadline, pause = time.monotonic() + patience, 0.0005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError("another process keeps the lock") from None
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _boot() -> str:
    return _BOOT_ID.read_text().strip()
