"""A ledger in the memory of a test, which can be away, and forget to answer."""

from __future__ import annotations

from threading import Lock

from s3shim.backends.ledger import Ledger, Line
from s3shim.errors import Code, S3Error


class FakeLedger(Ledger):
    """``lines`` are there. ``away``: it is not to be reached. ``mute``: it writes and does not answer."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.away = False
        self.mute = False
        self.calls: list[str] = []
        self._revision = 0
        self._lock = Lock()

    def start(self) -> None:
        """Nothing is to be opened."""

    def close(self) -> None:
        """Nothing is to be closed."""

    def check(self) -> None:
        """See Ledger."""
        if self.away:
            raise S3Error(Code.ServiceUnavailable)

    def read(self, name):
        """See Ledger."""
        self._call("read")
        return self.lines.get(name, Line(0, b""))

    def write(self, lines):
        """See Ledger."""
        self._call("write")
        written = {}
        with self._lock:
            for name, line in lines.items():
                if self.lines.get(name, Line(0, b"")).revision == line.revision:
                    self._revision += 1
                    self.lines[name] = Line(self._revision, line.value)
                    written[name] = self._revision
        if self.mute:
            raise S3Error(Code.ServiceUnavailable)
        return written

    def remove(self, revisions):
        """See Ledger."""
        self.calls.append("remove")
        if self.away:
            return
        with self._lock:
            for name, revision in revisions.items():
                if name in self.lines and self.lines[name].revision == revision:
                    del self.lines[name]

    def names(self, stem):
        """See Ledger."""
        self._call("names")
        return [name for name in self.lines if name.startswith(f"{stem}.")]

    def _call(self, name):
        self.calls.append(name)
        self.check()
