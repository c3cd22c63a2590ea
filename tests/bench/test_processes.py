"""What the benchmark reads of processes is what they cost."""

import subprocess
import sys

import pytest

from bench.processes import Processes
from s3shim.backends.local.mounts import file_system, mounts_of_now

MIB = 1 << 20


@pytest.fixture
def python():
    """Start ``python -c program``; it is ready when it has printed a line."""
    started = []

    def start(program, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        line = process.stdout.readline()
        assert line
        return Processes([process.pid]), line

    yield start
    for process in started:
        process.communicate(timeout=30)


def test_the_time_of_threads_that_ended_counts_and_so_does_a_living_child(python):
    processes, line = python(
        "import subprocess, sys, threading, time\n"
        "def burn():\n"
        "    while time.thread_time() < 0.1: pass\n"
        "thread = threading.Thread(target=burn); thread.start(); thread.join()\n"
        "code = 'import time, sys\\nwhile time.process_time() < 0.3: pass\\n' \\\n"
        "    'print(time.process_time(), flush=True); sys.stdin.read()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)\n"
        "line = child.stdout.readline()\n"
        "print(float(line) + time.process_time(), flush=True)\n"
        "sys.stdin.read(); child.wait()\n"
    )
    assert len(processes.pids()) == 2
    assert processes.cpu() == pytest.approx(float(line), abs=0.05)


def test_the_time_of_children_that_ended_counts(python):
    processes, _ = python(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 0.3: pass'])\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    assert len(processes.pids()) == 1
    assert processes.cpu() > 0.28


def test_mapped_files_of_the_data_are_no_memory(python, tmp_path):
    (tmp_path / "data").write_bytes(b"x" * 32 * MIB)
    processes, _ = python(
        "import mmap, sys\n"
        "file = open(sys.argv[1], 'rb'); mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "read = sum(mapped[::4096]); held = bytearray(16 * 2**20)\n"
        "for at in range(0, len(held), 4096): held[at] = 1\n"
        "print(flush=True); sys.stdin.read()\n",
        str(tmp_path / "data"),
    )
    without, everything = processes.memory(tmp_path), processes.memory(tmp_path / "elsewhere")
    assert everything - without == pytest.approx(32 * MIB, abs=MIB)
    assert without > 16 * MIB


def test_written_bytes_are_those_towards_the_disk(python, tmp_path):
    processes, _ = python("import sys; print(flush=True); sys.stdin.read()")
    assert processes.written() == 0
    wrote, _ = python(
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "os.write(fd, bytes(2**20)); os.fsync(fd); print(flush=True); sys.stdin.read()\n",
        str(tmp_path / "file"),
    )
    # What is written to memory goes to no disk.
    expected = 0 if file_system(tmp_path.resolve(), mounts_of_now()) == "tmpfs" else MIB
    assert wrote.written() == pytest.approx(expected, abs=65536)


def test_a_process_that_is_gone_costs_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    processes = Processes([process.pid])
    assert (processes.pids(), processes.cpu(), processes.written()) == ([], 0.0, 0)
