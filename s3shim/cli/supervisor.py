"""A program that runs beside the server: started again when it ends, and ended after the last worker.

A process of its own watches it, forked from the master before there are workers. Between the two is a pipe
that nobody writes to: the master and all workers have its one end, so the other end tells when the last of
them has gone, however it went. Only then is the program asked to stop. If the watching process itself is
killed, the kernel stops the program (PR_SET_PDEATHSIG, prctl(2)), and the master begins anew with both.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds between two starts
_STABLE = 60.0  # seconds after which a program counts as one that runs
_TO_STOP = 30.0  # seconds that it gets to stop
_FIRST_INHERITED = 3

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

_OF_THE_SERVER = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)

log = logging.getLogger(__name__)


class Supervisor:
    """Keeps ``command`` running until the process that calls ``start``, and all that it forks, have ended.

    ``held`` are descriptors that stay open for as long as the program runs, such as that of a lock.
    """

    def __init__(self, command: Sequence[str], held: Sequence[int] = ()) -> None:
        self._command = list(command)
        self._held = list(held)
        self._master = 0
        self._watcher = 0
        self._ended, self._alive = -1, -1

    def start(self) -> None:
        """Start the program. For a process without threads."""
        self._master = os.getpid()
        self._ended, self._alive = os.pipe2(os.O_CLOEXEC)
        self._fork(0.0)

    def watch(self) -> None:
        """See to it that the process that watches is there; call it when the master has its own handlers."""
        before = signal.getsignal(signal.SIGCHLD)

        def look(number: int, frame: FrameType | None) -> None:
            if os.getpid() == self._master and self._watcher and self._watcher_has_ended():
                self._fork(_FIRST_PAUSE)
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGCHLD, look)

    def stop(self) -> None:
        """Let the program stop and wait for it, once no worker is there any more."""
        watcher, self._watcher = self._watcher, 0
        if not watcher:
            return
        os.close(self._alive)
        end = time.monotonic() + _TO_STOP + 5
        while time.monotonic() < end:
            with suppress(ChildProcessError):
                if os.waitpid(watcher, os.WNOHANG)[0] == 0:
                    time.sleep(0.02)
                    continue
            return
        log.error("the process that watches %s does not end", self._command[0])
        os.kill(watcher, signal.SIGKILL)

    def _watcher_has_ended(self) -> bool:
        try:
            return os.waitpid(self._watcher, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True  # gunicorn was faster

    def _fork(self, pause: float) -> None:
        pid = os.fork()
        if pid:
            self._watcher = pid
            return
        try:
            self._become_watcher()
            _keep_running(self._command, self._ended, pause)
        except BaseException:
            log.exception("the process that watches %s has failed", self._command[0])
        finally:
            os._exit(1)

    def _become_watcher(self) -> None:
        """Let go of what is the server's: its terminal, its handlers, its standard output, its sockets."""
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        for number in _OF_THE_SERVER:
            # Handlers, and not SIG_IGN, which the program would inherit.
            signal.signal(number, _nothing)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        first = _FIRST_INHERITED
        for kept in sorted([*self._held, self._ended]):
            os.closerange(first, kept)
            first = kept + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _keep_running(command: list[str], ended: int, pause: float) -> NoReturn:
    """Run the program again and again, until the pipe ``ended`` is at its end; then stop it."""
    if pause and _wait(ended, pause):
        os._exit(0)
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        reason = _run(command, ended)
        if reason is None:
            os._exit(0)
        lived = time.monotonic() - began
        if lived > _STABLE:
            pause = _FIRST_PAUSE
        fields = {"program": command[0], "seconds": round(lived, 1), "again_in": pause}
        log.error("a program that the server needs has ended: %s", reason, extra={"fields": fields})
        if _wait(ended, pause):
            os._exit(0)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _run(command: list[str], ended: int) -> str | None:
    """Run the program to its end and return how it ended; None where it had to."""
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=_end_with(os.getpid())
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    log.info("started", extra={"fields": {"program": command[0], "child": child.pid}})
    descriptor = os.pidfd_open(child.pid)
    try:
        if _wait(ended, None, descriptor):
            _stop(child)
            return None
    finally:
        os.close(descriptor)
    code = child.wait()
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _end_with(parent: int) -> Callable[[], None]:
    """Return what lets the kernel stop a new process when its ``parent`` ends, to be called in it."""

    def arrange() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_TO_STOP)
    except subprocess.TimeoutExpired:
        log.error("%s does not stop, it is killed", child.args)
        child.kill()
        child.wait()


def _wait(ended: int, seconds: float | None, other: int | None = None) -> bool:
    """Wait for the end of ``ended``, or for ``other``; return whether the end is there.

    At most ``seconds``, where that is not None.
    """
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    if other is not None:
        poll.register(other, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
    return ended in ready
