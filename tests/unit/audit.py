"""What must hold in every local store at rest: rows and files agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from s3shim.backends.local.records import COUNT, FILE, OBJECT, PART, number, unseal
from s3shim.backends.local.tables import View, is_inline


def audit(backend, root: Path) -> int:
    """Check that all rows fit each other and the files; return how many files there are."""
    index = backend.store.index
    with index.read() as view:
        extents, layouts = _extents(view)
        files = Counter(extent.id for extent in extents if extent.kind == FILE)
        inline = [extent.id for extent in extents if extent.kind != FILE]
        waiting = [extent_id for _, _, extent_id in view.garbage(1 << 62)]
        assert {key: unseal(key, value, COUNT) for key, value in _rows(view, "refs")} == files
        assert sorted(inline + [key for key in waiting if is_inline(key)]) == _keys(view, "inline")
        assert layouts == _keys(view, "layouts")
        assert sorted(key[8:] for key in _keys(view, "answered")) == _keys(view, "completed")
        begun = {key[-8:] for key in _keys(view, "uploads")}
        assert {key[:8] for key in _keys(view, "parts")} <= begun
    gone = [key.hex() for key in waiting if not is_inline(key)]
    used = [key.hex() for key in files]
    named = sorted(path.name for path in (root / "blobs").rglob("*") if path.is_file())
    assert named == sorted(gone + used)
    return len(named)


def entries(backend, table: str) -> int:
    """Return how many rows a table has."""
    with backend.store.index.read() as view:
        return len(_keys(view, table))


def _extents(view: View):
    extents, layouts = [], []
    for key, value in _rows(view, "objects"):
        record = unseal(key, value, OBJECT)
        extents += view.extents(record)
        if record.parts_count:
            layouts.append(number(record.sequence))
    for key, value in _rows(view, "parts"):
        extents += unseal(key, value, PART).extents
    return extents, sorted(layouts)


def _rows(view: View, table: str):
    return list(view.rows(getattr(view.tables, table), b""))


def _keys(view: View, table: str):
    return [key for key, _ in _rows(view, table)]
