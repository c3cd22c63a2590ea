"""Removing the files that no row of the index knows: what a crash between a file and its commit leaves."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import lmdb

from s3shim.backends.local.files import TEMPORARY
from s3shim.backends.local.index import open_environment
from s3shim.backends.local.layout import SHARDS, SMALL_MAP, meta_path, shard_path
from s3shim.backends.local.records import Damaged, damaged
from s3shim.backends.local.tables import Tables, View

FILE_NAME = re.compile(r"[0-9a-f]{32}")

_FOREVER = (1 << 63) - 1

_log = logging.getLogger(__name__)


def sweep(root: Path) -> int:
    """Unlink the files that no object and no part uses and none waits for; return how many.

    Nothing where the references cannot all be read: what seems to be unused may be the file of an object.
    Only for the master, with DIR/LOCK held and before any process serves: a put that is under way
    has a file that is not in the index yet.
    """
    try:
        orphans = _orphans(root)
    except (Damaged, OSError, lmdb.Error) as error:
        _log.error("files that nothing uses are not removed, run fsck: %s", error)
        return 0
    return sum(map(_unlink, orphans))


def _orphans(root: Path) -> list[Path]:
    env = open_environment(meta_path(root), SMALL_MAP)
    try:
        tables = Tables(env, create=False)
        with env.begin() as txn:
            view = View(txn, tables)
            waiting = {extent_id for _, _, extent_id in view.garbage(_FOREVER)}
            orphans: list[Path] = []
            count = 0
            for shard in range(SHARDS):
                used = set(view.referenced(bytes([shard])))
                count += len(used)
                orphans += _of_shard(shard_path(root, shard), used, waiting)
            if count != txn.stat(tables.refs)["entries"]:
                raise damaged("references: %d rows are left", count)
            return orphans
    finally:
        env.close()


def _of_shard(path: Path, used: set[bytes], waiting: set[bytes]) -> Iterator[Path]:
    for name in os.listdir(path):
        if FILE_NAME.fullmatch(name):
            extent_id = bytes.fromhex(name)
            if extent_id in used or extent_id in waiting:
                continue
        elif not name.startswith(TEMPORARY):
            continue
        yield path / name


def _unlink(path: Path) -> bool:
    try:
        os.unlink(path)
    except OSError as error:
        _log.error("%s cannot be removed: %s", path, error.strerror)
        return False
    return True
