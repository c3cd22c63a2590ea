"""The runs of bytes that objects and parts are made of, against the inline table and the files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from s3shim.backends.local.files import read_footer
from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.fsck.tally import Tally
from s3shim.backends.local.layout import shard_path
from s3shim.backends.local.records import FILE, INLINE, Damaged, Extent
from s3shim.backends.local.tables import View

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS_WRITE = 0o022


def open_file(root: Path, extent_id: bytes) -> int:
    """Open a file for reading, never through a symbolic link and never waiting. Raises OSError."""
    return os.open(shard_path(root, extent_id[0]) / extent_id.hex(), _FLAGS)


class Extents:
    """Checks extents one by one, and tallies what they name: ``refs`` for files, ``inline``."""

    def __init__(self, view: View, root: Path, report: Report, *, exact: bool = False) -> None:
        self._view = view
        self._root = root
        self._report = report
        self._exact = exact
        self._linked = 0
        self.blind = False  # rows that name extents could not be read
        self.refs = Tally(exact=exact)
        self.inline = Tally(exact=exact)

    def check(self, owner: str, extents: list[Extent], size: int) -> bool:
        """Check what ``owner`` says about its ``size`` bytes; whether all is sound."""
        sound = sum(extent.length for extent in extents) == size
        if not sound:
            self._report.problem(f"{owner}: its extents do not make its {size} bytes")
        for extent in extents:
            fault = self._shape(extent)
            if fault is not None:
                self.blind = True
            elif extent.kind == INLINE:
                self.inline.expect(extent.id)
                fault = self._inline(extent)
            else:
                self.refs.expect(extent.id)
                fault = None if self._exact else self._file(extent)
            if fault is not None:
                self._report.problem(f"{owner}: {fault}")
                sound = False
        return sound

    def finish(self) -> None:
        """Note what was found along the way."""
        self._report.note(self._linked, "uses of files that have another name (hard link) too")

    @staticmethod
    def _shape(extent: Extent) -> str | None:
        sound = extent.length > 0 and 0 <= extent.digest < 1 << 64
        if extent.kind == INLINE:
            sound = sound and len(extent.id) == 8 and extent.offset == 0
        else:
            sound = sound and extent.kind == FILE and len(extent.id) == 16 and extent.offset >= 0
            sound = sound and extent.offset + extent.length <= extent.file_length
        return None if sound else f"extent {extent.id.hex()} makes no sense"

    def _inline(self, extent: Extent) -> str | None:
        data = self._view.txn.get(extent.id, db=self._view.tables.inline)
        if data is None:
            return f"inline bytes {extent.id.hex()}: missing"
        if len(data) != extent.length:
            return f"inline bytes {extent.id.hex()}: {len(data)} bytes, not {extent.length}"
        return None

    def _file(self, extent: Extent) -> str | None:
        name = extent.id.hex()
        try:
            fd = open_file(self._root, extent.id)
        except FileNotFoundError:
            return f"file {name}: missing"
        except OSError as error:
            reason = "a symbolic link" if error.errno == errno.ELOOP else error.strerror
            return f"file {name}: {reason}"
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                if found.st_uid != os.geteuid():
                    return f"file {name}: belongs to uid {found.st_uid}"
                if found.st_mode & _OTHERS_WRITE:
                    return f"file {name}: can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
                self._linked += found.st_nlink > 1
            read_footer(fd, extent)
        except Damaged as error:
            return error.what
        except OSError as error:
            return f"file {name}: {error.strerror}"
        finally:
            os.close(fd)
        return None
