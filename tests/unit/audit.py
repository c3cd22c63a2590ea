"""What must hold in every local store at rest: rows and files agree, and no file is left over."""

from __future__ import annotations

from pathlib import Path

from s3shim.backends.local.fsck import Report, check_view
from s3shim.backends.local.layout import check_version


def audit(backend, root: Path) -> int:
    """Check that all rows fit each other and the files; return how many files there are."""
    report = Report()
    with backend.store.index.read() as view:
        check_view(view, root, report, identity=check_version(root))
    assert (report.problems, report.notes) == ([], [])
    return report.counts["files"] + report.counts["waiting files"]


def entries(backend, table: str) -> int:
    """Return how many rows a table has."""
    with backend.store.index.read() as view:
        return sum(1 for _ in view.rows(getattr(view.tables, table), b""))
