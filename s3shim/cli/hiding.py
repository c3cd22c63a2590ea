"""Secrets that came as arguments: taken out of what others see of this process, as with ``ps``.

Until then they could be read; in the environment or in a file they cannot be.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from pathlib import Path

_FIRST_AFTER_NAME = 3  # number of the field of /proc/PID/stat that follows the name of the program
_ARG_START, _ARG_END = 48 - _FIRST_AFTER_NAME, 49 - _FIRST_AFTER_NAME  # see proc_pid_stat(5)


def hide(secrets: Collection[str]) -> None:
    """Overwrite the arguments that are one of ``secrets``, or end with one after "=", in this process."""
    if not secrets:
        return
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        shown = Path("/proc/self/cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return
    if not start or len(shown) != end - start:
        return
    hidden = {secret.encode("utf-8", "surrogateescape") for secret in secrets}
    place = start
    for argument in shown.removesuffix(b"\0").split(b"\0"):
        secret = argument if argument in hidden else argument.partition(b"=")[2]
        if secret in hidden:
            ctypes.memset(place + len(argument) - len(secret), ord("x"), len(secret))
        place += len(argument) + 1
