"""The load generator of ``bench/load``: built once, run once for each row."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from bench.servers.place import Running

_PATIENCE = 600.0  # seconds, for a row with all that is done before it
_MIN_GO = "Go 1.23 or later"

Figures = dict[str, int | float | str]


class LoadFailed(Exception):
    """The load generator could not be built, or could not do its work."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the load generator does; the fields are its flags. Sizes in bytes."""

    op: str
    size: int = 0
    count: int = 1
    clients: int = 1
    keys: int = 0
    stride: int = 1
    prefix: str = "o/"
    suffix: str = ""
    delimiter: str = ""
    length: int = 1 << 20
    seconds: float = 60.0
    payload: str = "signed"
    presigned: bool = False
    verify: bool = True


def build(source: Path, target: Path) -> None:
    """Compile the load generator. Raises LoadFailed."""
    try:
        done = subprocess.run(
            ["go", "build", "-o", str(target), "."], cwd=source, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise LoadFailed(f"the load generator needs {_MIN_GO}") from None
    if done.returncode != 0:
        raise LoadFailed(f"the load generator does not build ({_MIN_GO}): {done.stderr}")


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator, aimed at a server."""

    program: Path
    server: Running
    bucket: str = "bench"
    quick_ack: bool = False

    def run(self, work: Work, began: Callable[[], None] = lambda: None) -> Figures:
        """Do ``work``; return what the program printed. Raises LoadFailed.

        ``began`` is called when all has been made ready, just before the first request.
        """
        keys = {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}
        process = subprocess.Popen(
            self._command(work),
            env={**os.environ, **keys},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            try:
                if process.stdout.readline() == "ready\n":
                    began()
                    out, err = process.communicate("go\n", _PATIENCE)
                else:
                    out, err = process.communicate(timeout=_PATIENCE)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0 or not out:
            raise LoadFailed(err.strip() or f"exit code {process.returncode}")
        figures: Figures = json.loads(out)
        return figures

    def must(self, work: Work) -> Figures:
        """Do ``work`` as ``run`` does; an answer that is not the right one is LoadFailed as well."""
        figures = self.run(work)
        if figures["errors"] or figures["ops"] != work.count:
            raise LoadFailed(
                f"{work.op}: {figures['errors']} errors: {figures.get('first_error', 'too slow')}"
            )
        return figures

    def _command(self, work: Work) -> list[str]:
        command = [str(self.program), f"-endpoint={self.server.endpoint}", f"-bucket={self.bucket}"]
        command.append(f"-quickack={str(self.quick_ack).lower()}")
        for field in fields(work):
            value = getattr(work, field.name)
            command.append(f"-{field.name}={str(value).lower() if isinstance(value, bool) else value}")
        return command
