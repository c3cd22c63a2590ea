"""What kind of file system a store lies on, and whether it keeps the store's promises.

The index needs a coherent shared memory map, fcntl locks between processes, and an fsync that reaches the
disk. Network file systems lack at least one of them; see "Caveats" in the documentation of LMDB.
"""

from __future__ import annotations

import re
from pathlib import Path

PROVEN = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay"})
VOLATILE = frozenset({"tmpfs", "ramfs"})
UNSAFE = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse",
        "fuseblk",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    }
)

_ESCAPE = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that ``path``, resolved, is on, or "unknown".

    ``mounts`` is the text of /proc/self/mountinfo, see proc_pid_mountinfo(5).
    """
    found, depth = "unknown", -1
    for line in mounts.splitlines():
        mount, separator, source = line.partition(" - ")
        fields = mount.split(" ")
        if not separator or len(fields) < 6:
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # A later mount on the same directory hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = source.split(" ")[0], len(point.parts)
    return found


def is_unsafe(kind: str) -> bool:
    """Whether a store must not lie on a file system of this type."""
    return kind in UNSAFE or kind.startswith("fuse.")


def warning(kind: str) -> str | None:
    """Return what the operator of a store on a file system of this type should know, or None."""
    if kind in VOLATILE:
        return f"it is on {kind}: nothing survives a restart of the machine"
    if is_unsafe(kind):
        return f"it is on {kind}, where what was acknowledged may be lost or damaged"
    if kind not in PROVEN:
        return f"it is on {kind}, of which it is not known whether it keeps what was acknowledged"
    return None


def mounts_of_now() -> str:
    """Return the text of /proc/self/mountinfo, empty where there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
