"""The watch over the write lock, with real processes that stop in the midst of a change."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from s3shim.backends.local.holder import Mark, Watchdog, WriterMarks, blocks, mark_of_now, thread_state
from s3shim.errors import Code
from tests.contract.bodies import code_of, get, put
from tests.unit.audit import audit
from tests.unit.stores import started

PATIENCE = 60

MARKED = """
import os, signal, sys, threading, time
from pathlib import Path
from s3shim.backends.local.holder import WriterMarks, mark_of_now

marks, at = WriterMarks(Path(sys.argv[1])), mark_of_now()
marks.wait(at)
if sys.argv[2] == "held":
    marks.hold(at)
print(at, flush=True)
{does}
"""

CHANGING = """
import os, signal, sys, threading, time
from pathlib import Path
from s3shim.backends.local import LocalBackend
from s3shim.backends.local.holder import WriterMarks
from s3shim.backends.local.tables import Edit
from tests.contract.bodies import put

def stop():
    print("there", flush=True)
    {does}

before = {place}
def stopping(*args):
    if sys.argv[2] == "before":
        stop()
    result = before(*args)
    stop()
    return result

backend = LocalBackend(Path(sys.argv[1]), stuck_after=1)
backend.start()
{place} = stopping
put(backend, "half", b"half" * 10)
print("done", flush=True)
backend.close()
"""

STOP = "os.kill(os.getpid(), signal.SIGSTOP)"
SLEEP = "time.sleep(600)"
NAP = "[time.sleep(0.02) for _ in range(30_000)]"
SPIN = "\nwhile True: pass"


@contextmanager
def child(script, *arguments, does, place=""):
    """Run ``script`` until its first line; give the process and the line, kill it at the end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    source = script.replace("{does}", does).replace("{place}", place)
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.fixture
def marks(tmp_path):
    """The marks of this process."""
    marks = WriterMarks(tmp_path / "WRITER")
    yield marks
    marks.close()


def settled(mark, states):
    """Wait until the thread is in one of ``states``."""
    deadline = time.monotonic() + PATIENCE
    while thread_state(mark)[0] not in states:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def killed(process):
    """Whether the process is dead or dies at once."""
    try:
        return process.wait(0.2) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


# -- the marks


def test_marks_of_others_are_seen_and_own_are_not(tmp_path, marks):
    path = tmp_path / "WRITER"
    at = mark_of_now()
    marks.wait(at)
    marks.hold(at)
    assert list(marks.others()) == []
    with child(MARKED, path, "held", does=SLEEP) as (one, first):
        with child(MARKED, path, "waits", does=SLEEP) as (two, second):
            held = Mark(one.pid, int(first) | 1 << 62)
            waits = Mark(two.pid, int(second))
            assert sorted(marks.others()) == sorted([Mark(one.pid, int(first)), held, waits])
            assert (held.held, waits.held) == (True, False)
            assert (held.thread, waits.thread) == (one.pid, two.pid)
        assert sorted(marks.others()) == sorted([Mark(one.pid, int(first)), held])
    assert list(marks.others()) == []


def test_marks_are_taken_back(tmp_path, marks):
    path = tmp_path / "WRITER"
    with child(MARKED, path, "held", does="marks.leave(at); print('left', flush=True)\n" + SLEEP) as (one, _):
        assert one.stdout.readline() == "left\n"
        assert list(marks.others()) == []


@pytest.mark.parametrize(
    ("state", "held", "expected"),
    [
        ("T", True, True),
        ("T", False, True),
        ("t", True, True),
        ("t", False, True),
        ("S", True, True),
        ("S", False, False),
        ("D", True, False),
        ("D", False, False),
        ("R", True, False),
        ("R", False, False),
        ("", True, False),
    ],
)
def test_what_blocks_the_others(state, held, expected):
    assert blocks(Mark(1, 1 << 62 | 5 if held else 5), state) is expected


def test_a_thread_that_is_gone_has_no_state():
    assert thread_state(Mark(os.getpid(), (1 << 22) - 1)) == ("", 0)


# -- who is killed, at times that the test says


@pytest.mark.parametrize(("phase", "does"), [("held", STOP), ("waits", STOP), ("held", SLEEP)])
def test_killed_after_the_limit_and_not_before(tmp_path, marks, phase, does):
    watchdog = Watchdog(marks, 10)
    with child(MARKED, tmp_path / "WRITER", phase, does=does) as (process, line):
        settled(Mark(process.pid, int(line)), "TS")
        time.sleep(0.2)
        now = time.monotonic()
        for second in range(10):
            watchdog.look(now + second)
        assert process.poll() is None
        watchdog.look(now + 10.01)
        assert killed(process)
        assert list(marks.others()) == []


@pytest.mark.parametrize(("phase", "does"), [("waits", SLEEP), ("held", NAP), ("held", SPIN)])
def test_who_runs_or_only_waits_is_not_killed(tmp_path, marks, phase, does):
    watchdog = Watchdog(marks, 10)
    with child(MARKED, tmp_path / "WRITER", phase, does=does) as (process, _):
        now = time.monotonic()
        for second in range(40):
            watchdog.look(now + second)
            time.sleep(0.06)
        assert not killed(process)
        assert list(marks.others()) != []


def test_who_ran_meanwhile_is_not_killed(tmp_path, marks):
    watchdog = Watchdog(marks, 10)
    with child(MARKED, tmp_path / "WRITER", "held", does=f"{STOP}\n{STOP}\n{SLEEP}") as (process, line):
        now = time.monotonic()
        mark = Mark(process.pid, int(line))
        for second in range(0, 24, 8):
            settled(mark, "T" if second < 16 else "S")
            time.sleep(0.2)
            watchdog.look(now + second)
            watchdog.look(now + second + 4)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        assert not killed(process)


def test_a_watchdog_that_did_not_run_itself_begins_anew(tmp_path, marks):
    watchdog = Watchdog(marks, 10)
    with child(MARKED, tmp_path / "WRITER", "held", does=STOP) as (process, line):
        settled(Mark(process.pid, int(line)), "T")
        now = time.monotonic()
        for second in (0, 4, 8, 100, 104, 108):
            watchdog.look(now + second)
        assert not killed(process)
        watchdog.look(now + 110)
        assert killed(process)


# -- in a store

SETTINGS = {"stuck_after": 1.0, "inline_max": 1000}


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("WriterMarks.wait", "after"),
        ("WriterMarks.hold", "before"),  # it has LMDB's lock and could not say so yet
        ("WriterMarks.hold", "after"),
        ("Edit.put_record", "after"),
        ("WriterMarks.leave", "before"),
    ],
)
def test_writers_go_on_after_a_stopped_one(tmp_path, place, when, caplog):
    root = tmp_path / "store"
    with started(root, **SETTINGS) as backend:
        put(backend, "old", b"old")
        with child(CHANGING, root, when, does=STOP, place=place) as (process, line):
            assert line == "there"
            put(backend, "new", b"n" * 5000)
            assert process.wait(PATIENCE) == -signal.SIGKILL
        if place == "WriterMarks.leave":
            assert get(backend, "half") == b"half" * 10
        else:
            assert code_of(get, backend, "half") is Code.NoSuchKey
        assert (get(backend, "old"), get(backend, "new")) == (b"old", b"n" * 5000)
        assert audit(backend, root) == 1
    assert "was killed: it" in caplog.text


def test_a_slow_commit_is_left_alone(tmp_path):
    root = tmp_path / "store"
    with (
        started(root, **SETTINGS) as backend,
        child(
            CHANGING, root, "after", does="[time.sleep(0.05) for _ in range(60)]", place="Edit.put_record"
        ) as (
            process,
            line,
        ),
    ):
        assert line == "there"
        put(backend, "new", b"new")
        assert process.stdout.readline() == "done\n"
        assert process.wait(PATIENCE) == 0
        assert get(backend, "half") == b"half" * 10
