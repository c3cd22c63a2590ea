"""strace on a process that is waiting: what it calls, and what is to happen at a call of it.

``Strace(pid, file)`` returns once the process is traced, so that what it does from then on is seen, and the
n-th call of a name by a thread is the same one in each run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crash.nursery import PATIENCE

STRACE = ("strace", "-yy", "-s", "64")

_CALL = re.compile(r"(?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_RESULT = re.compile(r"\) += (?P<result>-?\d+|0x[0-9a-f]+|\?)")
_PATH = re.compile(r"<(?P<path>(?:[^<>]|\\[0-7]+)*)>")
_UNFINISHED = " <unfinished ...>"


@dataclass(slots=True)
class Call:
    """A system call.

    ``number`` counts the calls of this name by this thread from 1, as strace's ``when=`` does.
    ``arguments`` and ``result`` are strace's text. ``began`` and ``ended`` are places in the order of all
    that was seen; ``ended`` is None where it never returned. ``injected`` says that strace changed it.
    """

    thread: int
    name: str
    number: int
    began: int
    arguments: str = ""
    result: str = "?"
    ended: int | None = None
    injected: bool = False

    @property
    def path(self) -> str:
        """The path of the first descriptor among the arguments, "" where there is none."""
        found = _PATH.search(self.arguments)
        return found["path"] if found else ""

    @property
    def ok(self) -> bool:
        """Whether it returned and did not fail."""
        return self.ended is not None and not self.result.startswith("-")

    def __str__(self) -> str:
        return f"{self.name}#{self.number}({self.arguments[:150]}) = {self.result}"


class Strace:
    """strace attached to a process, to all its threads or to the ``first`` only; a context manager.

    ``inject`` are values of its option of that name, like ``fdatasync:signal=KILL:when=1``; ``only`` the
    names of the calls to write down, all where it is empty.
    """

    def __init__(
        self,
        pid: int,
        file: Path,
        inject: Sequence[str] = (),
        only: Sequence[str] = (),
        *,
        first: bool = False,
    ) -> None:
        self._file = file
        self._first = pid if first else None
        command = [*STRACE, "-o", str(file), "-p", str(pid), *([] if first else ["-f"])]
        if only:
            command += ["-e", "trace=" + ",".join(only)]
        for rule in inject:
            command += ["-e", f"inject={rule}"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        if "attached" not in line:
            rest = line + self._process.stderr.read()
            self.detach()
            raise RuntimeError(f"strace cannot attach: {rest.strip()}")

    def __enter__(self) -> Strace:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Let the process go on by itself; it may be dead already."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        assert self._process.stderr is not None
        self._process.stderr.read()
        self._process.stderr.close()
        self._process.wait(PATIENCE)

    def calls(self) -> list[Call]:
        """Return the calls; only after ``detach``."""
        return parse(self._file.read_text(errors="replace").splitlines(), self._first)


def can_trace() -> bool:
    """Whether strace is there, and may attach to processes of ours that it did not start."""
    if shutil.which(STRACE[0]) is None:
        return False
    with subprocess.Popen(["sleep", str(PATIENCE)]) as sleeper:
        try:
            Strace(sleeper.pid, Path(os.devnull)).detach()
        except RuntimeError:
            return False
        finally:
            sleeper.kill()
    return True


def parse(lines: Sequence[str], thread: int | None = None) -> list[Call]:
    """Return the calls in strace's output in the order in which they began.

    ``thread`` is that of all lines where strace does not say it.
    """
    numbers: Counter[tuple[int, str]] = Counter()
    calls: list[Call] = []
    under_way: dict[int, Call] = {}
    for place, line in enumerate(lines):
        who, rest = (thread, line) if thread is not None else _thread_of(line)
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            if who in under_way:
                _end(under_way.pop(who), resumed["rest"], place)
            continue
        entered = _CALL.match(rest)
        if entered is None:
            continue
        numbers[who, entered["name"]] += 1
        call = Call(who, entered["name"], numbers[who, entered["name"]], place)
        calls.append(call)
        if rest.endswith(_UNFINISHED):
            call.arguments = entered["rest"].removesuffix(_UNFINISHED)
            under_way[who] = call
        else:
            _end(call, entered["rest"], place)
    return calls


def _thread_of(line: str) -> tuple[int, str]:
    thread, _, rest = line.partition(" ")
    return int(thread), rest.lstrip()


def _end(call: Call, text: str, place: int) -> None:
    call.injected = "(INJECTED)" in text
    results = list(_RESULT.finditer(text))
    if results:
        call.result = results[-1]["result"]
        text = text[: results[-1].start()]
    call.arguments += text
    if call.result != "?":
        call.ended = place
