"""Processes at the cost of a fork: one process has everything imported and forks for each request.

The process that runs the tests may have threads, and must never open an index that a child uses; the
nursery has no thread and opens nothing::

    with Nursery() as nursery:
        child = nursery.start(function, 1, 2)      # function(channel, 1, 2) in a process of its own
        child.channel.send("go"), child.channel.receive()
        status = child.wait()                      # as os.waitstatus_to_exitcode gives it

A function is found by its name, so it stands in a module that can be imported, and its arguments can be
pickled. A child ends when its function returns.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a process that says nothing counts as stuck."""

_ROOT = Path(__file__).resolve().parents[1]
_LENGTH = struct.Struct("!Q")
_CRASHED = 70


class Channel:
    """Sends and receives what can be pickled, each message by one ``sendto``."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, message: Any) -> None:
        """Send a message; one to a process that is gone is lost."""
        data = pickle.dumps(message)
        try:
            self.sock.sendall(_LENGTH.pack(len(data)) + data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Any:
        """Return the next message; raise EOFError where the other side is gone, TimeoutError where stuck."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(length))

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self.sock.recv(size - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                raise EOFError
            data += part
        return bytes(data)


class Child:
    """A process that the nursery made."""

    def __init__(self, nursery: Nursery, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self._nursery = nursery
        self._status: int | None = None

    def wait(self) -> int:
        """Wait for the end; return the exit code, or the negated number of the signal that ended it."""
        if self._status is None:
            self.channel.sock.close()
            self._status = self._nursery.ask("wait", self.pid)
        return self._status

    def end(self, number: int) -> int:
        """Send a signal, unless the child has been waited for, and wait."""
        if self._status is None:
            os.kill(self.pid, number)
        return self.wait()


class Nursery:
    """The process that forks; a context manager. It serves one request after the other."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair()
        mine.settimeout(PATIENCE)
        self._channel = Channel(mine)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crash.nursery", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
        )
        theirs.close()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.sock.close()
        self._process.wait(PATIENCE)

    def start(self, function: Callable[..., object], *arguments: Any) -> Child:
        """Run ``function(channel, *arguments)`` in a new process."""
        mine, theirs = socket.socketpair()
        mine.settimeout(PATIENCE)
        with theirs:
            socket.send_fds(self._channel.sock, [b"+"], [theirs.fileno()])
            return Child(self, self.ask("start", function, arguments), Channel(mine))

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``function(*arguments)`` returns in a new process; RuntimeError with what it raised."""
        child = self.start(_answer, function, arguments)
        try:
            failed, result = child.channel.receive()
        finally:
            child.wait()
        if failed:
            raise RuntimeError(result)
        return result

    def ask(self, *request: Any) -> int:
        """Send a request and return the answer."""
        if request[0] != "start":
            self._channel.sock.sendall(b"-")
        self._channel.send(request)
        answer: int = self._channel.receive()
        return answer


def _answer(channel: Channel, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        channel.send((False, function(*arguments)))
    except Exception:
        channel.send((True, traceback.format_exc()))


def _serve(channel: Channel) -> None:
    while True:
        mark, fds, _, _ = socket.recv_fds(channel.sock, 1, 1)
        if not mark:
            return
        kind, *request = channel.receive()
        if kind == "wait":
            _, status = os.waitpid(request[0], 0)
            channel.send(os.waitstatus_to_exitcode(status))
            continue
        with socket.socket(fileno=fds[0]) as theirs:
            pid = os.fork()
            if pid == 0:
                _become(channel, Channel(theirs), *request)
            channel.send(pid)


def _become(nursery: Channel, channel: Channel, function: Callable[..., object], arguments: Any) -> None:
    code = _CRASHED
    try:
        nursery.sock.close()
        function(channel, *arguments)
        code = 0
    except EOFError:
        code = 0  # the process that started this one is gone
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    gc.freeze()
    _serve(Channel(socket.socket(fileno=int(sys.argv[1]))))
