"""How each server is started: s3shim from this tree, and the peers that are found on PATH."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from bench.servers import clusters, singles
from bench.servers.place import Place, Running

OURS = "s3shim"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A server: the programs that it needs, its start, the command that prints its version."""

    name: str
    programs: tuple[str, ...]
    start: Callable[[Place], Running]
    version: tuple[str, ...] = ()
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether all its programs are on PATH."""
        return all(shutil.which(program) for program in self.programs)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(OURS, (), singles.s3shim, note="2 workers, 8 threads each"),
        Recipe(
            "versitygw",
            ("versitygw",),
            singles.versitygw,
            ("versitygw", "--version"),
            "posix, --keep-alive, its request log on; no sync to ask for",
        ),
        Recipe("jay", ("jay",), singles.jay, note="limits on the rate of requests lifted"),
        Recipe(
            "minio", ("minio",), singles.minio, ("minio", "--version"), "one directory, MINIO_FS_OSYNC=on"
        ),
        Recipe(
            "garage",
            ("garage",),
            clusters.garage,
            ("garage", "--version"),
            "one node, LMDB, metadata_fsync and data_fsync",
        ),
        Recipe("rclone", ("rclone",), singles.rclone, ("rclone", "version"), "serve s3 without cache"),
        Recipe(
            "nats-s3",
            ("nats-s3", "nats-server"),
            clusters.nats_s3,
            ("nats-s3", "--version"),
            "one nats-server, sync_interval always",
        ),
        Recipe("moto", ("moto_server",), singles.moto, note="in memory, for tests"),
    )
}
