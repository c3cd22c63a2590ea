"""Files of the store that are not what they were made as: links, pipes, directories, foreign, gone.

Whatever stands under a name, a read gives the right bytes or an error, at once, and the log names the file.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from crash.probe import BackendReader, Damage, Probe, Reader, ServerReader
from crash.shelf import Shelf, quiet
from crash.suite import Outcome, Run, Suite
from s3shim.backends.local import files
from s3shim.backends.local.files import BlobFile
from s3shim.backends.local.fsck import check
from tests.server.process import serve
from tests.wire.client import LiveClient

State = Callable[[Path, Path], object]

PATIENCE = 20.0  # seconds for all reads of a state
_END = 1 << 62


def _socket(path: Path, _: Path) -> None:
    # The path of a socket may be no longer than 107 bytes.
    shard = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{shard}/{path.name}")
    os.close(shard)


def _other_file(path: Path) -> Path:
    return next(other for other in path.parents[1].rglob("*") if other.is_file() and other.name != path.name)


# ``path`` is free when they are called, and what stood there is at ``aside``.
REFUSED: dict[str, State] = {
    "missing": lambda path, aside: None,
    "a link to itself elsewhere": lambda path, aside: path.symlink_to(aside),
    "a link to /etc/passwd": lambda path, aside: path.symlink_to("/etc/passwd"),
    "a link to another file": lambda path, aside: path.symlink_to(_other_file(path)),
    "a link to nothing": lambda path, aside: path.symlink_to("nothing"),
    "a link to its own name": lambda path, aside: path.symlink_to(path.name),
    "another file's content": lambda path, aside: os.link(_other_file(path), path),
    "empty": lambda path, aside: path.touch(),
    "a pipe": lambda path, aside: os.mkfifo(path),
    "a directory": lambda path, aside: path.mkdir(),
    "a socket": _socket,
}

SERVED: dict[str, State] = {
    "a hard link": lambda path, aside: os.link(aside, path),
    "a copy that all can write": lambda path, aside: shutil.copy(aside, path) and path.chmod(0o666),
}

FOR_ROOT_REFUSED: dict[str, State] = {
    "a device": lambda path, aside: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
    "a disk": lambda path, aside: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 250)),
}

FOR_ROOT_SERVED: dict[str, State] = {
    "a foreign owner's": lambda path, aside: shutil.copy(aside, path) and os.chown(path, 12345, 12345),
}

SHARDS_REFUSED: dict[str, State] = {
    "in a directory that is missing": lambda path, aside: None,
    "in a directory that is a file": lambda path, aside: path.touch(),
    "in a directory that is a link to another": lambda path, aside: path.symlink_to(path.parents[1] / "meta"),
}

SHARDS_SERVED: dict[str, State] = {
    "in a directory that is a link to it": lambda path, aside: path.symlink_to(aside),
}

ON_OPEN = (errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.ENOENT)


@contextmanager
def _standing(path: Path, aside: Path, state: State) -> Iterator[None]:
    path.rename(aside)
    state(path, aside)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        aside.rename(path)


@contextmanager
def _failing(name: str, number: int, matches: Callable[[Any], bool]) -> Iterator[None]:
    # A function of os that fails where its first argument matches.
    original = getattr(os, name)

    def fail(first: Any, *rest: Any, **named: Any) -> Any:
        if matches(first):
            raise OSError(number, os.strerror(number), first)
        return original(first, *rest, **named)

    with patch.object(files.os, name, fail):
        yield


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread where it takes longer."""

    def ring(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class _Heard(logging.Handler):
    """What the store has logged, as lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[_Heard]:
    logger = logging.getLogger("s3shim.backends.local")
    handler = _Heard()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


def run(run: Run) -> Outcome:
    """Try every state on ``rounds`` files, with the backend and with a server; then the controls."""
    outcome = Outcome()
    for name in ("states", "reads", "wrong bytes", "undetected", "hangs"):
        outcome.counts[name] = 0
    shelf = Shelf(run.work / "store", Random(run.seed))
    with quiet():
        shelf.fill(5)
    states = _States(run, shelf, outcome)
    server = serve(run.work, "--data", str(shelf.root))
    try:
        client = LiveClient(server.host, server.port, server.shown("access key"), server.shown("secret key"))
        states.try_files(run.rounds, ServerReader(client), lambda: server.stderr)
        client.close()
    finally:
        outcome.check(server.stop() == 0, "the server did not end well")
    with shelf.open() as backend, _heard() as heard:
        reader = BackendReader(backend)
        states.try_files(run.rounds, reader, lambda: "\n".join(heard.lines))
        states.try_errors(run.rounds, reader, lambda: "\n".join(heard.lines))
        states.check_controls(reader)
    with quiet():
        states.check_fsck()
        outcome.check(check(shelf.root, deep=True).problems == [], "the store is not as it was before")
    return outcome


class _States:
    def __init__(self, run: Run, shelf: Shelf, outcome: Outcome) -> None:
        self._shelf = shelf
        self._outcome = outcome
        self._random = Random(run.seed)
        self._aside = run.work / "aside"
        self._paths = sorted(shelf.files())
        root = os.geteuid() == 0
        self._refused = REFUSED | (FOR_ROOT_REFUSED if root else {})
        self._served = SERVED | (FOR_ROOT_SERVED if root else {})

    def try_files(self, rounds: int, reader: Reader, log: Callable[[], str]) -> None:
        """Put every state in the place of files, and of their directories."""
        for _ in range(rounds):
            path = self._random.choice(self._paths)
            for name, state in (self._refused | self._served).items():
                standing = _standing(path, self._aside, state)
                self._look(standing, [path], name, reader, log if name in self._refused else None)
            for name, state in (SHARDS_REFUSED | SHARDS_SERVED).items():
                standing = _standing(path.parent, self._aside, state)
                beside = [other for other in self._paths if other.parent == path.parent]
                self._look(standing, beside, name, reader, log if name in SHARDS_REFUSED else None)

    def try_errors(self, rounds: int, reader: Reader, log: Callable[[], str]) -> None:
        """Let the opening and the reading of files fail."""
        for _ in range(rounds):
            path = self._random.choice(self._paths)
            for number in ON_OPEN:
                failing = _failing("open", number, lambda first, path=path: str(first) == str(path))
                self._look(failing, [path], f"not opened: {os.strerror(number)}", reader, log)
            inode = path.stat().st_ino
            failing = _failing("pread", errno.EIO, lambda fd, inode=inode: os.fstat(fd).st_ino == inode)
            self._look(failing, [path], "not readable", reader, log)

    def _look(
        self,
        standing: AbstractContextManager[None],
        paths: list[Path],
        name: str,
        reader: Reader,
        log: Callable[[], str] | None,
    ) -> None:
        # With ``log`` all that the files hold is an error that the log names, otherwise it is served.
        damage = Damage(f"{paths[0].name} is {name}", {})
        for path in paths if log is not None else []:
            for key, broken in self._shelf.damaged_by(bytes.fromhex(path.name), 0, _END).items():
                damage.broken[key] = sorted(damage.broken.get(key, []) + broken)
        before = "" if log is None else log()
        probe = Probe(self._shelf, reader, self._outcome, self._random)
        self._outcome.counts["states"] += 1
        try:
            with standing, within(PATIENCE):
                probe.look(damage)
                if log is None:
                    probe.look_at_all()
        except TimeoutError:
            self._outcome.counts["hangs"] += 1
            self._outcome.check(False, f"{damage.label}: it hangs")
        if log is not None:
            named = any(path.name in log()[len(before) :] for path in paths)
            self._outcome.check(named, f"{damage.label}: the log does not name it")

    def check_fsck(self) -> None:
        """Let fsck name a file in every state."""
        path = self._random.choice(self._paths)
        for name, state in self._refused.items():
            with _standing(path, self._aside, state), within(PATIENCE):
                problems = check(self._shelf.root).problems
            named = any(path.name in problem for problem in problems)
            self._outcome.check(named, f"{path.name} is {name}: fsck says {problems}")
            self._outcome.counts["named by fsck"] += named
        for name, state in SERVED.items():
            with _standing(path, self._aside, state):
                report = check(self._shelf.root)
            self._outcome.check(bool(report.problems or report.notes), f"{name}: fsck says nothing")

    def check_controls(self, reader: Reader) -> None:
        """See that a reader that follows links, and one that waits for pipes, is caught."""
        for flag, name in ((os.O_NOFOLLOW, "a link to itself elsewhere"), (os.O_NONBLOCK, "a pipe")):
            seen = copy(self)
            seen._outcome = Outcome()
            path = self._paths[0]
            standing = _standing(path, self._aside, REFUSED[name])
            with (
                patch.object(files.Files, "open", _opening_without(flag)),
                patch(f"{__name__}.PATIENCE", 0.5),
            ):
                seen._look(standing, [path], name, reader, lambda: "")
            caught = seen._outcome.counts["undetected"] + seen._outcome.counts["hangs"] > 0
            self._outcome.check(caught, f"control: {name} is not caught")
            self._outcome.counts["controls caught"] += caught


def _opening_without(flag: int) -> Callable[..., BlobFile]:
    def opening(self: Any, extent: Any) -> BlobFile:
        flags = os.O_RDONLY | (os.O_NOFOLLOW | os.O_NONBLOCK) & ~flag
        return BlobFile(os.open(self._path(extent.id), flags), extent)

    return opening


SUITE = Suite("states", 20, run)
