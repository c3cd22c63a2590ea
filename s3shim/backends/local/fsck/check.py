"""The whole check, from the directory to the last byte."""

from __future__ import annotations

from pathlib import Path

import lmdb

from s3shim.backends.local import layout
from s3shim.backends.local.fsck.contents import Contents
from s3shim.backends.local.fsck.extents import Extents
from s3shim.backends.local.fsck.instant import instant, is_sound
from s3shim.backends.local.fsck.names import check_names
from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.fsck.rows import Rows
from s3shim.backends.local.tables import View


def check(root: Path, *, deep: bool = False) -> Report:
    """Return what is wrong with the store in ``root``; with ``deep`` every byte is read.

    Raises StoreRefused where there is no store that this process can judge. The store must not be open in
    this process. While another process has it open, the pages of the index are not verified by themselves,
    and an index that is damaged may end this process by a signal.
    """
    layout.check_root(root)
    identity = layout.check_version(root)
    report = Report()
    for fault in layout.faults(root):
        report.problem(fault)
    try:
        if is_sound(root, report):
            with instant(root) as view:
                check_view(view, root, report, identity=identity, deep=deep)
    except (lmdb.Error, OSError) as error:
        report.problem(f"index: {error}")
    return report


def check_view(view: View, root: Path, report: Report, *, identity: str, deep: bool = False) -> None:
    """Check what ``view`` shows of the store in ``root``, whose VERSION says ``identity``."""
    extents = Extents(view, root, report)
    contents = Contents(view, root, report) if deep else None
    rows = Rows(view, identity, report, extents, contents)
    rows.walk()
    if not rows.agree:
        again = Report()
        exact = Rows(view, identity, again, Extents(view, root, again, exact=True), exact=True)
        exact.walk()
        exact.tell_differences(report)
    check_names(view, root, rows.waiting, report)
    extents.finish()
    if contents is not None:
        contents.finish()
