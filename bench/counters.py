"""What no noise of the machine moves: system calls per operation, and what becomes of a damaged byte."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bench.client import Load, LoadFailed
from bench.processes import Processes
from bench.results import Calls
from bench.rounds import Entrant, make_bucket
from bench.rows import ROWS, Row
from bench.servers.place import Place, Running

SYNCS = frozenset({"fsync", "fdatasync", "syncfs", "sync", "msync", "sync_file_range"})

_PATIENCE = 30.0
_DAMAGED_SIZE = 1 << 20
_SAMPLE = slice(500_000, 500_064)

REFUSED = "refused"
DELIVERED = "delivered"
UNHARMED = "not met: the right bytes came"
NOT_FOUND = "the bytes are not on disk"


class CountedCalls:
    """strace on processes, counting their system calls; a context manager. ``calls`` is there after it."""

    def __init__(self, pids: Sequence[int], file: Path) -> None:
        self._file = file
        self.calls: dict[str, int] = {}
        command = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(file)]
        for pid in pids:
            command += ["-p", str(pid)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        missing = {str(pid) for pid in pids}
        assert self._process.stderr is not None
        while missing:
            line = self._process.stderr.readline()
            if not line:
                self._end()
                raise LoadFailed("strace cannot attach")
            if found := re.search(r"Process (\d+) attached", line):
                missing.discard(found[1])

    def __enter__(self) -> CountedCalls:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        text = self._file.read_text()
        self.calls = {name: int(calls) for name, calls in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)}
        self.calls.pop("total", None)

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=_PATIENCE)


def can_count() -> bool:
    """Whether strace is there."""
    return shutil.which("strace") is not None


def count_calls(entrant: Entrant, program: Path, directory: Path) -> dict[str, Calls]:
    """Return the system calls per operation of each row, on an empty directory. Raises LoadFailed."""
    found: dict[str, Calls] = {}
    with _server(entrant, directory) as (running, _):
        load = Load(program, running)
        make_bucket(load)
        for row in ROWS:
            if row.title:
                found[row.name] = _count(row, load, directory / "strace")
            else:
                load.run(row.work)
            if row.work.op == "put" and row.title:
                # The rows that read want all the keys.
                load.run(row.work)
    return found


def _count(row: Row, load: Load, file: Path) -> Calls:
    traced = CountedCalls(Processes(load.server.roots).pids(), file)
    with traced:
        load.run(replace(row.work, count=row.counted, keys=row.work.keys or row.counted))
    names = {name: calls / row.counted for name, calls in traced.calls.items()}
    return Calls(sum(names.values()), sum(calls for name, calls in names.items() if name in SYNCS), names)


def damage(entrant: Entrant, program: Path, directory: Path) -> str:
    """Change a byte of an object on disk under the server, read the object, and say what came.

    The server's own answer is what counts: checksums that the client could compare are not asked for.
    """
    with _server(entrant, directory) as (running, place):
        make_bucket(Load(program, running))
        s3 = boto3.client(
            "s3",
            endpoint_url=running.endpoint,
            region_name="us-east-1",
            aws_access_key_id=running.access_key,
            aws_secret_access_key=running.secret_key,
            verify=False,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        body = os.urandom(_DAMAGED_SIZE)
        s3.put_object(Bucket="bench", Key="damaged", Body=body)
        if not _flip(place, body[_SAMPLE]):
            return NOT_FOUND
        return _outcome(lambda: s3.get_object(Bucket="bench", Key="damaged")["Body"].read(), body)


def _outcome(read: Callable[[], bytes], body: bytes) -> str:
    try:
        return UNHARMED if read() == body else DELIVERED
    except (ClientError, BotoCoreError):
        return REFUSED


def _flip(directory: Path, sample: bytes) -> int:
    """Change a byte in each place below ``directory`` that holds the sample; return how many there are."""
    changed = 0
    for path in directory.rglob("*"):
        if not path.is_file():
            continue
        with open(path, "r+b") as file:
            text, at = file.read(), -1
            while (at := text.find(sample, at + 1)) >= 0:
                file.seek(at)
                file.write(bytes([sample[0] ^ 0xFF]))
                changed += 1
    return changed


@contextmanager
def _server(entrant: Entrant, directory: Path) -> Iterator[tuple[Running, Path]]:
    try:
        with Place(directory) as place:
            yield entrant.start(place), place.directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
