"""Which file systems may hold a store, by what the kernel says is mounted where."""

from pathlib import Path

import pytest

from s3shim.backends.local.mounts import file_system, is_unsafe, mounts_of_now, warning

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 0:30 / /srv rw,relatime shared:7 master:1 - nfs4 host:/export rw
31 30 254:1 / /srv/local rw,relatime - xfs /dev/vdb rw
32 22 0:33 / /with\\040space rw - tmpfs tmpfs rw
33 22 0:34 / /twice rw - nfs host:/old rw
34 33 254:2 / /twice rw - btrfs /dev/vdc rw
35 22 0:40 / /fuse rw - fuse.sshfs me@host:/ rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/data", "ext4"),
        ("/srvother", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/data/store", "nfs4"),
        ("/srv/local/store", "xfs"),
        ("/with space/store", "tmpfs"),
        ("/twice/store", "btrfs"),
        ("/fuse/store", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_counts(path, kind):
    assert file_system(Path(path), MOUNTS) == kind


def test_without_mounts_nothing_is_known():
    assert file_system(Path("/data"), "") == "unknown"
    assert warning("unknown") is not None


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay"])
def test_those_that_keep_what_they_promise_pass_silently(kind):
    assert (is_unsafe(kind), warning(kind)) == (False, None)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuseblk", "fuse.sshfs", "ceph", "virtiofs"]
)
def test_network_file_systems_and_fuse_are_unsafe(kind):
    assert is_unsafe(kind)
    assert "may be lost" in warning(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tmpfs", "nothing survives"),
        ("ramfs", "nothing survives"),
        ("vfat", "not known"),
        ("new", "not known"),
    ],
)
def test_others_are_warned_of(kind, said):
    assert not is_unsafe(kind)
    assert said in warning(kind)


def test_this_machine_says_what_is_mounted():
    assert file_system(Path("/"), mounts_of_now()) != "unknown"
