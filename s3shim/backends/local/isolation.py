"""Work on an index that may be damaged, in a child: what kills the child is reported, not suffered.

LMDB maps its file and trusts it. A file that is cut short or that makes no sense can end a process by SIGBUS
or SIGSEGV.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Killed(Exception):
    """The child was ended by a signal; the text is its name."""


def in_child(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or raise what it raises, from a child of this single-threaded process.

    Result and exception must be picklable. Raises Killed where the child is ended by a signal.
    """
    source, sink = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _run(work, sink)
    os.close(sink)
    with open(source, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise Killed(_name(os.WTERMSIG(status)))
    succeeded, result = pickle.loads(answer)
    if not succeeded:
        raise result
    returned: T = result
    return returned


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _run(work: Callable[[], T], sink: int) -> None:
    try:
        try:
            answer = pickle.dumps((True, work()))
        except Exception as error:
            answer = pickle.dumps((False, error))
        with open(sink, "wb") as file:
            file.write(answer)
    finally:
        os._exit(0)
