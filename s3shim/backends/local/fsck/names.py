"""The names in blobs/ against the index."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from s3shim.backends.local.files import TEMPORARY
from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.layout import SHARDS, shard_path
from s3shim.backends.local.sweep import FILE_NAME
from s3shim.backends.local.tables import View, is_inline


def check_names(view: View, root: Path, waiting: set[bytes], report: Report) -> None:
    """Note what nothing uses, and what waits to be unlinked (``waiting``: the ids in gc) but is gone."""
    orphans = strange = 0
    gone = sum(not is_inline(extent_id) for extent_id in waiting)
    report.count("waiting files", gone)
    for shard in range(SHARDS):
        path = shard_path(root, shard)
        try:
            names = os.listdir(path)
        except OSError:
            continue  # told with the directories
        used = {key for key, _ in view.rows(view.tables.refs, bytes([shard]))}
        for name in names:
            extent_id = bytes.fromhex(name) if FILE_NAME.fullmatch(name) else b""
            if extent_id in waiting:
                gone -= 1
            elif extent_id not in used:
                ours = bool(extent_id) or name.startswith(TEMPORARY)
                if ours and _is_file(path / name):
                    orphans += 1
                else:
                    strange += 1
    report.count("orphans", orphans)
    report.note(orphans, "files that nothing uses: in flight, or left over and removed by the next start")
    report.note(gone, "files that were to be removed are gone already")
    report.note(strange, "names in blobs/ that are not of s3shim")


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
