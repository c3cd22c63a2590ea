"""``python -m crash.spoiled EVENTS STEP serve ...``: the server, recorded, with a step left out or misplaced.

Each sync, name, write and answer is noted in the file EVENTS as it is done, by functions put around those of
``os`` and of the store. What LMDB does within a commit cannot be seen from here: a commit is noted as synced
where LMDB says that its environment syncs data and meta pages, and that it does not write through a map.

STEP is one of ``STEPS``; with ``nothing`` and ``no unnamed files`` the server is right as it is.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

import lmdb

from crash.order import Event, Kind
from s3shim.backends.local import index
from s3shim.backends.local.commit import Committer
from s3shim.cli.main import main
from s3shim.server.connection import Connection

SYNCING = {"sync": True, "metasync": True, "writemap": False, "map_async": False}


# -- the recorder -----------------------------------------------------------------------------


class Recorder:
    """Notes events in a file, which processes share."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write = os.write
        self._places = itertools.count()

    def around(self, kind: Kind, path: str, function: Callable[[], Any]) -> Any:
        """Call ``function`` and note it, unless it raises."""
        began = next(self._places)
        result = function()
        ended = next(self._places)
        self._write(self._fd, json.dumps([kind, path, began, ended]).encode() + b"\n")
        return result

    def install(self) -> None:
        """Record this process and those that it forks."""
        originals = {
            name: getattr(os, name) for name in ("write", "fsync", "fdatasync", "link", "rename", "mkdir")
        }

        def write(fd: int, data: Any) -> int:
            path = path_of(fd)
            call = lambda: originals["write"](fd, data)  # noqa: E731
            return self.around(Kind.WRITE, path, call) if "/blobs/" in path else call()

        def sync(name: str) -> Callable[[int], None]:
            def call(fd: int) -> None:
                kind = Kind.SYNC_DIRECTORY if stat.S_ISDIR(os.fstat(fd).st_mode) else Kind.SYNC
                self.around(kind, path_of(fd), lambda: originals[name](fd))

            return call

        def name_it(name: str) -> Callable[..., None]:
            def call(source: Any, target: Any, **options: Any) -> None:
                directory = options.get("dst_dir_fd")
                path = str(target) if directory is None else f"{path_of(directory)}/{target}"
                self.around(Kind.NAME, path, lambda: originals[name](source, target, **options))

            return call

        def mkdir(path: Any, mode: int = 0o777, **options: Any) -> None:
            self.around(Kind.DIRECTORY, str(path), lambda: originals["mkdir"](path, mode, **options))

        replacements = {
            "write": write,
            "mkdir": mkdir,
            "fsync": sync("fsync"),
            "fdatasync": sync("fdatasync"),
        }
        replacements |= {"link": name_it("link"), "rename": name_it("rename")}
        for name, function in replacements.items():
            setattr(os, name, function)
        self._install_in_store()

    def _install_in_store(self) -> None:
        opened, sent = index.open_environment, Connection.send

        def open_environment(*args: Any, **options: Any) -> Any:
            return _Recorded(opened(*args, **options), self)

        def send(conn: Connection, data: bytes, **options: Any) -> None:
            self.around(Kind.ANSWER, data[:12].decode(), lambda: sent(conn, data, **options))

        index.open_environment = open_environment
        Connection.send = send


class _Recorded:
    # An LMDB environment whose commits are noted.

    def __init__(self, env: lmdb.Environment, recorder: Recorder) -> None:
        self._env = env
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, *, write: bool = False) -> Any:
        txn = self._env.begin(write=write)
        return _RecordedWrite(self._env, txn, self._recorder) if write else txn


class _RecordedWrite:
    def __init__(self, env: lmdb.Environment, txn: Any, recorder: Recorder) -> None:
        self._env = env
        self._txn = txn
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def __enter__(self) -> Any:
        return self._txn.__enter__()

    def __exit__(self, *exception: object) -> Any:
        return self._txn.__exit__(*exception)

    def commit(self) -> None:
        flags = self._env.flags()
        syncs = all(flags[name] is value for name, value in SYNCING.items())
        kind = Kind.COMMIT if syncs else Kind.UNSYNCED_COMMIT
        self._recorder.around(kind, self._env.path(), self._txn.commit)


def path_of(fd: int) -> str:
    """Return the path of a descriptor."""
    return os.readlink(f"/proc/self/fd/{fd}")


def read_events(text: str) -> list[Event]:
    """Return the events in a file's text."""
    return [
        Event(Kind(kind), path, began, ended)
        for kind, path, began, ended in (json.loads(line) for line in text.splitlines())
    ]


# -- the wrong steps --------------------------------------------------------------------------


def _no_data_sync() -> None:
    os.fdatasync = lambda fd: None


def _data_sync_too_early() -> None:
    allocate, sync = os.posix_fallocate, os.fdatasync

    def allocate_and_sync(fd: int, offset: int, length: int) -> None:
        allocate(fd, offset, length)
        sync(fd)

    os.posix_fallocate = allocate_and_sync
    os.fdatasync = lambda fd: None


def _name_too_early() -> None:
    link, sync = os.link, os.fdatasync
    waiting: list[int] = []

    def link_and_sync(source: Any, target: Any, **options: Any) -> None:
        link(source, target, **options)
        while waiting:
            sync(waiting.pop())

    os.fdatasync = waiting.append
    os.link = link_and_sync


def _no_directory_sync() -> None:
    _leave_out(lambda path: "/blobs/" in path)


def _directory_sync_too_late() -> None:
    run, sync = Committer.run, os.fsync
    waiting: list[int] = []

    def late(fd: int) -> None:
        if "/blobs/" in path_of(fd):
            waiting.append(os.dup(fd))
        else:
            sync(fd)

    def run_and_sync(committer: Committer, change: Any, **options: Any) -> Any:
        result = run(committer, change, **options)
        while waiting:
            sync(waiting[-1])
            os.close(waiting.pop())
        return result

    os.fsync = late
    Committer.run = run_and_sync


def without_unnamed_files() -> None:
    """Make files as on a file system that has no O_TMPFILE."""
    opened = os.open

    def open_named(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, *args, **options)

    os.open = open_named


def _open_with(**flags: bool) -> Callable[[], None]:
    def install() -> None:
        opened = lmdb.open
        lmdb.open = lambda *args, **options: opened(*args, **{**options, **flags})

    return install


class _Undone(Exception):
    pass


def _answer_too_early() -> None:
    # The change is run and undone for its result; it is made once the answer has gone out.
    run, send = Committer.run, Connection.send
    waiting: list[Callable[[], Any]] = []

    def promise(committer: Committer, change: Any, **options: Any) -> Any:
        results = []

        def undone(edit: Any) -> None:
            results.append(change(edit))
            edit.changed = True
            raise _Undone

        try:
            run(committer, undone, **options)
        except _Undone:
            waiting.append(lambda: run(committer, change, **options))
        return results[0]

    def send_and_keep(conn: Connection, data: bytes, **options: Any) -> None:
        send(conn, data, **options)
        while waiting:
            waiting.pop()()

    Committer.run = promise
    Connection.send = send_and_keep


def _leave_out(left_out: Callable[[str], bool]) -> None:
    sync = os.fsync

    def fsync(fd: int) -> None:
        if not left_out(path_of(fd)):
            sync(fd)

    os.fsync = fsync


def _no_sync_of(end: str) -> Callable[[], None]:
    return lambda: _leave_out(lambda path: path.endswith(end))


STEPS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "no unnamed files": without_unnamed_files,
    "no data sync": _no_data_sync,
    "data sync too early": _data_sync_too_early,
    "name too early": _name_too_early,
    "no directory sync": _no_directory_sync,
    "directory sync too late": _directory_sync_too_late,
    "no index sync": _open_with(sync=False),
    "no meta page sync": _open_with(metasync=False),
    "index through a map": _open_with(writemap=True),
    "answer too early": _answer_too_early,
    "no sync of VERSION": _no_sync_of("/VERSION.new"),
    "no sync of the directory above": _no_sync_of("/above"),
    "no sync of the store's directory": _no_sync_of("/data"),
    "no sync of blobs": _no_sync_of("/blobs"),
    "no sync of meta": _no_sync_of("/meta"),
}


if __name__ == "__main__":
    events, step, *arguments = sys.argv[1:]
    Recorder(events).install()
    STEPS[step]()
    sys.exit(main(arguments))
