"""The directory of a store: its parts, its identity, its lock, and what is refused.

DIR/VERSION   json: format, engine and uuid of the store; written last, so it means "complete"
DIR/LOCK      held by the one gunicorn master, with its pid
DIR/RECLAIM   held by the one process that unlinks files now
DIR/READERS   its bytes are locked by the readers of objects of many files
DIR/WRITER    its bytes are locked by whoever changes the index, or waits to
DIR/meta/     the index (LMDB)
DIR/blobs/hh/ the files, named by random ids; hh is the first byte of the id in hex
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import lmdb

from s3shim.backends.local.index import Index, open_environment
from s3shim.backends.local.pages import is_cut, page_faults
from s3shim.backends.local.records import Damaged
from s3shim.backends.local.tables import Edit, Tables, View

FORMAT = 2
ENGINE_NAME = "lmdb-1.0"
SHARDS = 256

SMALL_MAP = 1 << 20  # LMDB takes what the file needs where that is more


class StoreRefused(Exception):
    """The store cannot be used as it is; the text is one line for the operator."""


def meta_path(root: Path) -> Path:
    """Return where the index lies."""
    return root / "meta"


def index_path(root: Path) -> Path:
    """Return the data file of the index."""
    return meta_path(root) / "data.mdb"


def shard_path(root: Path, shard: int) -> Path:
    """Return the directory of the files whose id begins with the byte ``shard``."""
    return root / "blobs" / f"{shard:02x}"


def prepare(root: Path) -> None:
    """Make the store where it is missing, check it where it is there; leaves nothing open.

    Raises StoreRefused.
    """
    try:
        _make_root(root)
        check_root(root)
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            if not (root / "VERSION").exists():
                _sync_above(root)
                _initialise(root)
            os.fsync(directory)  # an interrupted start may have named VERSION, and not more
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreRefused(f"{root}: {error.strerror or error}") from error
    identity = check_version(root)
    for fault in faults(root):
        raise StoreRefused(fault)
    try:
        env = open_environment(meta_path(root), SMALL_MAP)
    except (lmdb.Error, OSError) as error:
        raise _damaged(root, f"the index cannot be opened: {error}") from error
    try:
        path = index_path(root)
        if is_cut(env, path) and (damage := page_faults(path)[0]):
            raise _damaged(root, f"the index cannot be used, its end is lost: {damage[0]}")
        check_uuid(root, env, identity)
    finally:
        env.close()


def open_index(
    root: Path, *, map_size: int, max_map: int, readers: int, reserve: int, stuck_after: float
) -> Index:
    """Return the open index of the store, which is made where it is missing. Raises StoreRefused."""
    if not (root / "VERSION").exists():
        prepare(root)
    identity = check_version(root)
    path = meta_path(root)
    try:
        index = Index(
            path,
            map_size=map_size,
            max_map=max_map,
            readers=readers,
            reserve=reserve,
            stuck_after=stuck_after,
        )
    except (lmdb.Error, OSError) as error:
        raise StoreRefused(f"{path}: the index cannot be opened: {error}") from error
    try:
        check_uuid(root, index.env, identity)
    except StoreRefused:
        index.close()
        raise
    return index


def lock(root: Path) -> int:
    """Take DIR/LOCK for as long as the returned descriptor, or a fork's copy of it, is open.

    Raises StoreRefused where another master holds it.
    """
    try:
        fd = os.open(root / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreRefused(f"{root}/LOCK: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise StoreRefused(f"{root} is in use by another server (pid {holder or 'unknown'})") from None
    pid = f"{os.getpid()}\n".encode()
    with suppress(OSError):  # on a full disk the lock holds without its pid
        os.pwrite(fd, pid, 0)
        os.ftruncate(fd, len(pid))
    return fd


def check_version(root: Path) -> str:
    """Return the uuid that DIR/VERSION names; raise StoreRefused where the store is not for us."""
    path = root / "VERSION"
    try:
        version = json.loads(path.read_bytes())
        found, engine, identity = version["format"], version["engine"], version["uuid"]
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreRefused(f"{path} is not the VERSION file of a store") from error
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        age = "a newer" if newer else "an older"
        hint = f": it was written by {age} s3shim" if isinstance(found, int) else ""
        raise StoreRefused(f"{path}: format {found!r} is not the format {FORMAT} of this s3shim{hint}")
    if engine != ENGINE_NAME:
        raise StoreRefused(f"{path}: engine {engine!r} is not {ENGINE_NAME!r}")
    if not isinstance(identity, str):
        raise StoreRefused(f"{path}: the uuid is no text")
    return identity


def check_uuid(root: Path, env: lmdb.Environment, identity: str) -> None:
    """Raise StoreRefused where the index cannot be read or is not that of the store in DIR/VERSION."""
    try:
        tables = Tables(env, create=False)
        with env.begin() as txn:
            found = View(txn, tables).uuid()
    except (lmdb.Error, Damaged) as error:
        raise _damaged(root, f"the index cannot be read: {error}") from error
    if found != identity:
        raise StoreRefused(f"{root}: VERSION and the index belong to different stores ({identity}, {found})")


def _damaged(root: Path, what: str) -> StoreRefused:
    return StoreRefused(f"{meta_path(root)}: {what}; see s3shim fsck {root}")


def check_root(root: Path) -> None:
    """Raise StoreRefused unless ``root`` is a directory of this user that nobody else can write.

    A symbolic link is followed: the operator named it, and what it leads to is looked at.
    """
    try:
        found = root.stat()
    except OSError as error:
        raise StoreRefused(f"{root}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StoreRefused(f"{root} is not a directory")
    fault = _foreign(root, found)
    if fault is not None:
        raise StoreRefused(fault)


def faults(root: Path) -> Iterator[str]:
    """Yield what is wrong with the directories and the fixed files of a store, a line each.

    None of them may be a symbolic link: it could lead out of the store, and its target could be exchanged.
    """
    yield from _directory_faults(root)
    for path in (root / "VERSION", index_path(root)):
        yield from _fault(path, stat.S_IFREG, "file")
    made_when_needed = [root / name for name in ("LOCK", "RECLAIM", "READERS", "WRITER")]
    for path in [meta_path(root) / "lock.mdb", *made_when_needed]:
        if os.path.lexists(path):
            yield from _fault(path, stat.S_IFREG, "file")


def _directory_faults(root: Path) -> Iterator[str]:
    for path in (meta_path(root), root / "blobs", *(shard_path(root, shard) for shard in range(SHARDS))):
        yield from _fault(path, stat.S_IFDIR, "directory")


def _fault(path: Path, kind: int, name: str) -> Iterator[str]:
    try:
        found = os.lstat(path)
    except OSError as error:
        yield f"{path}: {error.strerror}"
        return
    if stat.S_ISLNK(found.st_mode):
        yield f"{path} is a symbolic link"
    elif stat.S_IFMT(found.st_mode) != kind:
        yield f"{path} is not a {name}"
    elif (fault := _foreign(path, found)) is not None:
        yield fault


def _foreign(path: Path, found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return f"{path} belongs to uid {found.st_uid}, not to uid {os.geteuid()} of this process"
    if found.st_mode & 0o022:
        return f"{path} can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def _make_root(root: Path) -> None:
    missing = []
    path = root.absolute()
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        path.mkdir(0o700, exist_ok=True)


def _sync_above(root: Path) -> None:
    # The names of directories that were there already too: an interrupted start may have made them.
    for path in root.resolve().parents:
        if path.stat().st_dev != root.stat().st_dev:
            return
        with suppress(PermissionError):
            sync_directory(path)


def _initialise(root: Path) -> None:
    (root / "blobs").mkdir(0o700, exist_ok=True)
    for shard in range(SHARDS):
        shard_path(root, shard).mkdir(0o700, exist_ok=True)
    meta_path(root).mkdir(0o700, exist_ok=True)
    for fault in _directory_faults(root):
        raise StoreRefused(fault)
    sync_directory(root / "blobs")
    identity = _make_index(root)
    sync_directory(meta_path(root))
    sync_directory(root)
    new = root / "VERSION.new"
    with open(new, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump({"format": FORMAT, "engine": ENGINE_NAME, "uuid": identity}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(root / "VERSION")


def _make_index(root: Path) -> str:
    # An index without buckets is what an interrupted start leaves; one with buckets has lost its VERSION.
    try:
        env = open_environment(meta_path(root), SMALL_MAP)
        try:
            tables = Tables(env, create=True)
            with env.begin(write=True) as txn:
                edit = Edit(txn, tables)
                if edit.buckets():
                    raise StoreRefused(f"{root} holds buckets but its VERSION file is missing")
                identity = edit.uuid() or str(uuid.uuid4())
                edit.set_uuid(identity)
        finally:
            env.close()
    except lmdb.Error as error:
        raise StoreRefused(f"{meta_path(root)}: the index cannot be made: {error}") from error
    return identity


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
