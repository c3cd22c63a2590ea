"""The order of syncs, recorded of a real server while it answers real requests.

Two recorders see the same request. ``spoiled`` sees it from within the process and runs everywhere; strace
sees what LMDB does too. Each has to find every rule of ``order`` kept by each write, and the right one broken
by each server with a step left out or misplaced.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crash.nursery import PATIENCE, Channel, Nursery
from crash.order import Event, Kind, Rule, first_broken, unsynced_parents
from crash.spoiled import STEPS, Recorder, read_events
from crash.suite import Outcome, Run, Suite
from crash.tracing import Call, Strace
from s3shim.backends.local.layout import prepare
from tests.contract.bodies import pattern
from tests.server.process import Server
from tests.wire.client import LiveClient

WITHIN, STRACE = "from within", "strace"

COUNTS = ("writes in order", "starts in order", "controls caught")

SMALL, LARGE = pattern(1_000, 1), pattern(200_000, 2)

_BLOB = re.compile(r"/blobs/[0-9a-f]{2}/")
_SHARD = re.compile(r"/blobs/[0-9a-f]{2}$")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PATHS = re.compile(r"(?P<fd>AT_FDCWD|\d+)<(?P<path>[^<>]*)>")
_META_PAGES = 2 * 4096


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes the store; ``file`` says that it makes a file. ``{upload}`` stands for an id."""

    name: str
    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: bool = False


def _xml(root: str, body: str) -> bytes:
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</{root}>'.encode()


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


_TAGS = _xml("Tagging", "<TagSet><Tag><Key>kind</Key><Value>new</Value></Tag></TagSet>")
_KEYS = _xml("Delete", "".join(f"<Object><Key>{key}</Key></Object>" for key in ("new", "new-file")))
_MD5 = b64encode(hashlib.md5(_KEYS, usedforsecurity=False).digest()).decode()
_PARTS = "".join(
    f"<Part><PartNumber>{number}</PartNumber><ETag>{_etag(data)}</ETag></Part>"
    for number, data in ((1, LARGE), (2, SMALL))
)
_PART = "/bucket/parts?partNumber={}&uploadId={{upload}}"

PUT_FILE = Write("put file", "PUT", "/bucket/new-file", LARGE, file=True)

WRITES = (
    Write("create bucket", "PUT", "/other"),
    Write("put inline", "PUT", "/bucket/new", SMALL),
    Write("put inline over inline", "PUT", "/bucket/new", SMALL[1:]),
    PUT_FILE,
    Write("put file over file", "PUT", "/bucket/new-file", LARGE[1:], file=True),
    Write("put tags", "PUT", "/bucket/new-file?tagging", _TAGS),
    Write("copy", "PUT", "/bucket/copy", headers={"x-amz-copy-source": "/bucket/new-file"}),
    Write("upload part, file", "PUT", _PART.format(1), LARGE, file=True),
    Write("upload part, inline", "PUT", _PART.format(2), SMALL),
    Write("copy part", "PUT", _PART.format(3), headers={"x-amz-copy-source": "/bucket/new-file"}),
    Write("complete", "POST", "/bucket/parts?uploadId={upload}", _xml("CompleteMultipartUpload", _PARTS)),
    Write("create upload", "POST", "/bucket/other?uploads"),
    Write("delete", "DELETE", "/bucket/copy"),
    Write("delete objects", "POST", "/bucket?delete", _KEYS, {"content-md5": _MD5}),
    Write("delete bucket", "DELETE", "/other"),
)

# What each wrong server must be caught at, by each recorder.
CONTROLS: dict[str, dict[str, Rule]] = {
    "no data sync": {WITHIN: Rule.DATA_SYNC, STRACE: Rule.DATA_SYNC},
    "data sync too early": {WITHIN: Rule.DATA_SYNC, STRACE: Rule.DATA_SYNC},
    "name too early": {WITHIN: Rule.NAME, STRACE: Rule.NAME},
    "no directory sync": {WITHIN: Rule.DIRECTORY_SYNC, STRACE: Rule.DIRECTORY_SYNC},
    "directory sync too late": {WITHIN: Rule.COMMIT, STRACE: Rule.COMMIT},
    "no index sync": {WITHIN: Rule.META_PAGE, STRACE: Rule.INDEX_SYNC},
    "no meta page sync": {WITHIN: Rule.META_PAGE, STRACE: Rule.META_PAGE},
    "index through a map": {WITHIN: Rule.META_PAGE, STRACE: Rule.COMMIT},
    "answer too early": {WITHIN: Rule.ANSWER, STRACE: Rule.ANSWER},
}

START_CONTROLS = {
    "no sync of VERSION": "above/data",
    "no sync of the directory above": "above/data",
    "no sync of the store's directory": "above/data/blobs",
    "no sync of blobs": "above/data/blobs/00",
}


def run(run: Run, recorders: Sequence[str] = (WITHIN, STRACE)) -> Outcome:
    """Run the suite; ``run.rounds`` is how often the writes are made."""
    outcome = Outcome(Counter(dict.fromkeys(COUNTS, 0)))
    for recorder in recorders:
        with Watched(run.work / recorder, None if recorder == STRACE else "nothing") as server:
            for number in range(run.rounds):
                if number:
                    server.begin_again()
                for write in WRITES:
                    broken = first_broken(server.record(write)[recorder], file=write.file)
                    outcome.counts["writes in order"] += broken is None
                    outcome.check(broken is None, f"{recorder}: {write.name}: it does not hold that {broken}")
    with Watched(run.work / "named", "no unnamed files", recorders) as server:
        for recorder, events in server.record(PUT_FILE).items():
            broken = first_broken(events, file=True)
            outcome.counts["writes in order"] += broken is None
            outcome.check(broken is None, f"{recorder}: without O_TMPFILE it does not hold that {broken}")
    for step, expected in CONTROLS.items():
        with Watched(run.work / step, step, recorders) as server:
            seen = server.record(PUT_FILE)
        for recorder in recorders:
            broken = first_broken(seen[recorder], file=True)
            caught = broken is expected[recorder]
            outcome.counts["controls caught"] += caught
            outcome.check(caught, f"{recorder}: {step} was caught at {broken}")
    with Nursery() as nursery:
        for recorder in recorders:
            _check_starts(Starts(nursery, run.work, recorder), recorder, outcome)
    return outcome


# -- a server that is watched -----------------------------------------------------------------


class Watched:
    """A server with one worker, a context manager; with a ``step`` of ``spoiled``, or as it is for None."""

    def __init__(self, work: Path, step: str | None, recorders: Sequence[str] = ()) -> None:
        work.mkdir()
        self._notes = work / "events"
        self._log = work / "strace"
        self._recorders = recorders or ((STRACE,) if step is None else (WITHIN,))
        module = ["s3shim"] if step is None else ["crash.spoiled", str(self._notes), step]
        flags = ["--allow-root", "--listen", "127.0.0.1:0", "--data", str(work / "data"), "--workers", "1"]
        flags += ["--min-part-size", "1"]
        self._server = Server(["-m", *module, "serve", *flags], work / "stderr")
        server = self._server
        self._client = LiveClient(
            server.host, server.port, server.shown("access key"), server.shown("secret key")
        )
        self._upload = ""
        self._ends = 0

    def __enter__(self) -> Watched:
        try:
            self._ask("PUT", "/bucket")
            self.begin_again()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._server.stop(signal.SIGKILL)

    def begin_again(self) -> None:
        """Begin the upload that the writes fill and complete."""
        answer = self._ask("POST", "/bucket/parts?uploads")
        found = re.search(r"<UploadId>(\w+)</UploadId>", answer)
        assert found, answer
        self._upload = found[1]
        self._end()

    def _ask(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> str:
        answer = self._client.request(method, target, headers or {}, body)
        assert answer.status in (200, 204), (method, target, answer.status, answer.body)
        return answer.body.decode()

    def record(self, write: Write) -> dict[str, list[Event]]:
        """Make a write; return what each recorder saw until the next request was answered."""
        seen: dict[str, list[Event]] = {}
        passed = len(self._noted()) if WITHIN in self._recorders else 0
        if STRACE in self._recorders:
            worker = self._worker()
            syncing = synced_descriptors(worker)
            with Strace(worker, self._log) as strace:
                self._make(write)
            seen[STRACE] = events_of(strace.calls(), syncing)
        else:
            self._make(write)
        if WITHIN in self._recorders:
            seen[WITHIN] = read_events(self._noted(passed))
        return seen

    def _make(self, write: Write) -> None:
        self._ask(write.method, write.target.format(upload=self._upload), write.body, write.headers)
        self._end()

    def _end(self) -> None:
        # By the same connection as the request before: the server has left that behind once this is answered.
        assert self._client.request("HEAD", "/never").status == 404
        self._ends += 1

    def _noted(self, passed: int = 0) -> str:
        # An answer is noted after it has gone out, the one to ``_end`` too.
        deadline = time.monotonic() + PATIENCE
        while True:
            text = self._notes.read_text()
            if text.endswith("\n") and text.count('"HTTP/1.1 404"') == self._ends:
                return text[passed:]
            assert time.monotonic() < deadline, text
            time.sleep(0.005)

    def _worker(self) -> int:
        master = self._server.process.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return int(worker)


# -- what strace saw --------------------------------------------------------------------------


def synced_descriptors(pid: int) -> set[int]:
    """Return the descriptors of a process whose every write is synced."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        flags = re.search(r"^flags:\s*([0-7]+)", entry.read_text(), re.MULTILINE)
        if flags and int(flags[1], 8) & os.O_DSYNC:
            found.add(int(entry.name))
    return found


def events_of(calls: Sequence[Call], synced: set[int]) -> list[Event]:
    """Return what the calls that succeeded did to a store and its clients."""
    events = []
    for call in calls:
        if call.ok and call.ended is not None:
            kind, path = _kind_of(call, synced)
            if kind is not None:
                events.append(Event(kind, path, call.began, call.ended))
    return events


def _kind_of(call: Call, synced: set[int]) -> tuple[Kind | None, str]:
    paths = [(found["fd"], found["path"]) for found in _PATHS.finditer(call.arguments)]
    fd, path = paths[0] if paths else ("", "")
    quoted = _QUOTED.findall(call.arguments)
    if call.name in ("link", "linkat", "rename", "renameat", "renameat2"):
        directory = paths[-1][1] if len(paths) > 1 or not call.name.startswith("rename") else ""
        name = quoted[-1]
        return Kind.NAME, name if name.startswith("/") else f"{directory}/{name}"
    if call.name in ("mkdir", "mkdirat"):
        return Kind.DIRECTORY, quoted[0]
    if call.name in ("fsync", "fdatasync", "sync_file_range"):
        return _sync_of(path, call.name), path
    if call.name in ("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"):
        if "TCP" in call.arguments.partition(",")[0]:
            return Kind.ANSWER, ""
        if path.endswith("/meta/data.mdb"):
            return _page_of(call, int(fd) in synced), path
        return (Kind.WRITE if _BLOB.search(path) else None), path
    return None, path


def _sync_of(path: str, name: str) -> Kind | None:
    if name == "sync_file_range":
        return None
    if path.endswith("/meta/data.mdb"):
        return Kind.SYNC_INDEX
    return Kind.SYNC_DIRECTORY if _SHARD.search(path) or os.path.isdir(path) else Kind.SYNC


def _page_of(call: Call, synced: bool) -> Kind:
    offset = call.arguments.rpartition(",")[2].strip()
    if call.name != "pwrite64" or not offset.isdecimal() or int(offset) >= _META_PAGES:
        return Kind.PAGE
    return Kind.SYNCED_META_PAGE if synced else Kind.META_PAGE


# -- the first start --------------------------------------------------------------------------


class Starts:
    """Makes stores in ``work``/above/data, in processes that are watched by one recorder."""

    def __init__(self, nursery: Nursery, work: Path, recorder: str) -> None:
        self._nursery = nursery
        self._work = work
        self._recorder = recorder
        self._root = work / "above" / "data"

    def first(self, step: str, there: str = "") -> list[str]:
        """Make a store; return the directories that could be lost with it, relative to ``work``.

        ``there`` is a directory that an interrupted start has left.
        """
        shutil.rmtree(self._work / "above", ignore_errors=True)
        (self._work / there).mkdir(0o700, parents=True, exist_ok=True)
        events = self._watch(step)
        above = self._work / "above"
        made = [str(path) for path in (above, *above.rglob("*")) if path.is_dir()]
        found = unsynced_parents(events, str(self._root), made)
        return [str(Path(path).relative_to(self._work)) for path in sorted(found)]

    def again(self, step: str) -> bool:
        """Start once more; whether the name of VERSION was synced, as the start before may not have."""
        synced = [event.path for event in self._watch(step) if event.kind is Kind.SYNC_DIRECTORY]
        return str(self._root) in synced

    def _watch(self, step: str) -> list[Event]:
        notes = self._work / "start-events"
        notes.unlink(missing_ok=True)
        child = self._nursery.start(_start, self._root, notes, step)
        child.channel.receive()
        if self._recorder == STRACE:
            with Strace(child.pid, self._work / "start-strace") as strace:
                child.channel.send("begin")
                child.channel.receive()
            events = events_of(strace.calls(), set())
        else:
            child.channel.send("begin")
            child.channel.receive()
            events = read_events(notes.read_text())
        assert child.wait() == 0
        return events


def _start(channel: Channel, root: Path, notes: Path, step: str) -> None:
    Recorder(str(notes)).install()
    STEPS[step]()
    channel.send("ready")
    channel.receive()
    prepare(root)
    channel.send("done")


def _check_starts(starts: Starts, recorder: str, outcome: Outcome) -> None:
    for there in ("", "above", "above/data"):
        found = starts.first("nothing", there)
        outcome.counts["starts in order"] += not found
        outcome.check(not found, f"{recorder}: first start with {there or 'nothing'} there: {found[:3]}")
    synced = starts.again("nothing")
    outcome.counts["starts in order"] += synced
    outcome.check(synced, f"{recorder}: a start leaves it to luck whether VERSION stays")
    for step, expected in START_CONTROLS.items():
        found = starts.first(step)
        outcome.counts["controls caught"] += expected in found
        outcome.check(expected in found, f"{recorder}: {step} was caught at {found[:3]}")
    synced = starts.again("no sync of the store's directory")
    outcome.counts["controls caught"] += not synced
    outcome.check(not synced, f"{recorder}: a second start without a sync was not caught")


SUITE = Suite("order", 3, run, ("strace",))
