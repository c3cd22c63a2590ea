"""Files of the local store: the order of syncs, a full disk, and that nothing is left behind."""

import errno
import os
import resource

import pytest

from s3shim.backends.local import files
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code, S3Error
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.unit.stores import BLOCK, DATA, KEY, files_of, only_file, started


@pytest.fixture
def backend(tmp_path):
    """A store whose objects above 1,000 bytes are files."""
    with started(tmp_path / "store", inline_max=1000, block_size=BLOCK, reserve=0) as backend:
        yield backend


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def calls(monkeypatch, backend):
    """The calls that make a put durable, in their order."""
    seen = []

    def record(name, describe):
        original = getattr(os, name)

        def wrapper(*args, **kwargs):
            seen.append((name, describe(*args)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, wrapper)

    def kind(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        return "directory" if os.path.isdir(path) else "file"

    record("fdatasync", kind)
    record("fsync", kind)
    record("link", lambda *args: "name")
    record("rename", lambda *args: "name")
    index = backend.store.index
    begin = index.write

    class Recorded:
        def __enter__(self):
            self.inner = begin()
            return self.inner.__enter__()

        def __exit__(self, *args):
            result = self.inner.__exit__(*args)
            seen.append(("commit", "index"))
            return result

    monkeypatch.setattr(index, "write", Recorded)
    return seen


def test_the_order_of_syncs(backend, calls):
    put(backend, "key", DATA)
    assert calls == [("fdatasync", "file"), ("link", "name"), ("fsync", "directory"), ("commit", "index")]


def test_the_order_of_syncs_without_o_tmpfile(backend, calls, monkeypatch, tmp_path):
    without_tmpfile(monkeypatch)
    put(backend, "key", DATA)
    assert calls == [("fdatasync", "file"), ("rename", "name"), ("fsync", "directory"), ("commit", "index")]
    assert get(backend, "key") == DATA
    assert len(only_file(tmp_path).name) == 32


def test_a_small_object_needs_one_commit_and_no_file(backend, calls, tmp_path):
    put(backend, "key", b"small")
    assert calls == [("commit", "index")]
    assert files_of(tmp_path) == []


def test_the_index_syncs_every_commit(backend):
    flags = backend.store.index.env.flags()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (
        True,
        True,
        False,
        False,
    )
    assert backend.store.index.env.lib_version()[0] == 1


def test_the_data_is_whole_before_it_is_synced(backend, monkeypatch, tmp_path):
    sizes = []
    original = os.fdatasync

    def fdatasync(fd):
        sizes.append(os.fstat(fd).st_size)
        original(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    put(backend, "key", DATA)
    path = only_file(tmp_path)
    assert sizes == [path.stat().st_size]
    assert path.read_bytes()[: len(DATA)] == DATA


def test_a_file_is_read_only_and_never_named_by_its_key(backend, tmp_path):
    put(backend, "key", DATA)
    (path,) = files_of(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.name == path.name[:2]


def without_tmpfile(monkeypatch):
    """Make os.open refuse O_TMPFILE, as file systems do that have none."""
    original = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


# -- failures while writing ----------------------------------------------------------------------


@pytest.mark.parametrize("tmpfile", [True, False], ids=["tmpfile", "named"])
@pytest.mark.parametrize("fail_at", [0, 1, 5, 20])
def test_a_body_that_fails_leaves_no_file(backend, tmp_path, monkeypatch, fail_at, tmpfile):
    if not tmpfile:
        without_tmpfile(monkeypatch)
    before = descriptors()
    body = BytesBody(DATA, piece=700, fail_at=fail_at, error=S3Error(Code.BadDigest))
    assert code_of(put, backend, "key", body) is Code.BadDigest
    assert files_of(tmp_path) == []
    assert descriptors() == before


def test_a_put_that_is_refused_at_the_commit_leaves_no_file(backend, tmp_path):
    class Late(BytesBody):
        def read(self, size):
            part = super().read(size)
            if not part:
                put(backend, "key", b"first")
            return part

    refused = Conditions(if_none_match=ETagList(any=True))
    assert code_of(put, backend, "key", Late(DATA), conditions=refused) is Code.PreconditionFailed
    assert files_of(tmp_path) == []
    assert get(backend, "key") == b"first"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EMFILE, Code.SlowDown),
        (errno.ENFILE, Code.SlowDown),
        (errno.EROFS, Code.ServiceUnavailable),
        (errno.ENOMEM, Code.ServiceUnavailable),
        (errno.EIO, Code.InternalError),
        (errno.EACCES, Code.InternalError),
    ],
)
def test_what_errors_of_the_system_mean(backend, tmp_path, monkeypatch, number, expected):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        assert code_of(put, backend, "key", DATA) is expected
    assert files_of(tmp_path) == []


def test_a_name_that_cannot_be_taken_back_does_not_hide_why(backend, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(os, "unlink", broken)
        assert code_of(put, backend, "key", DATA) is Code.InsufficientStorage
    assert len(files_of(tmp_path)) == 1
    assert descriptors() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["posix_fallocate", "write", "fdatasync", "fsync", "link"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_is_insufficient_storage_and_leaves_nothing(
    backend, tmp_path, monkeypatch, call, code, old
):
    if old is not None:
        put(backend, "key", old)
    before = descriptors()

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        assert code_of(put, backend, "key", DATA) is Code.InsufficientStorage
    assert files_of(tmp_path) == []
    assert descriptors() == before
    assert code_of(get, backend, "key") is (Code.NoSuchKey if old is None else None)
    put(backend, "key", DATA)
    assert get(backend, "key") == DATA


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_sync_that_fails_is_not_tried_again(backend, tmp_path, monkeypatch, call):
    tried = []

    def fail(fd):
        tried.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    assert code_of(put, backend, "key", DATA) is Code.InternalError
    assert len(tried) == 1
    assert files_of(tmp_path) == []
    assert code_of(get, backend, "key") is Code.NoSuchKey


def test_a_file_that_may_not_grow_is_insufficient_storage(backend, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        assert code_of(put, backend, "key", bytes(2 << 20)) is Code.InsufficientStorage
        body = BytesBody(bytes(2 << 20), length=None)
        assert code_of(put, backend, "key", body) is Code.InsufficientStorage
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_of(tmp_path) == []
    put(backend, "key", bytes(2 << 20))
    assert get(backend, "key") == bytes(2 << 20)


def test_room_is_taken_as_bytes_come_and_not_for_all_that_is_declared(backend, monkeypatch, tmp_path):
    taken, take = [], os.posix_fallocate

    def recorded(fd, offset, size):
        taken.append(size)
        take(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", recorded)
    monkeypatch.setattr(files, "AHEAD", 2 * BLOCK)
    data = bytes(range(256)) * (5 * BLOCK // 256)
    put(backend, KEY.key, data)
    assert get(backend, KEY.key) == data
    steps = [after - before for before, after in zip([0, *taken], taken, strict=False)]
    assert len(taken) > 1
    assert max(steps) <= 2 * BLOCK
    assert taken[-1] == only_file(tmp_path).stat().st_size


def test_a_file_system_that_cannot_allocate_is_no_error(backend, monkeypatch):
    def fail(*args):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    put(backend, "key", DATA)
    assert get(backend, "key") == DATA


def test_when_the_disk_is_full_unused_files_go_at_once_and_the_put_succeeds(backend, tmp_path, monkeypatch):
    put(backend, "key", DATA)
    backend.delete_object(KEY, NO_CONDITIONS)
    assert len(files_of(tmp_path)) == 1
    original = os.posix_fallocate

    def only_when_empty(*args):
        if files_of(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*args)

    monkeypatch.setattr(os, "posix_fallocate", only_when_empty)
    put(backend, "key", DATA)
    assert get(backend, "key") == DATA


def test_short_writes_are_continued(backend, monkeypatch):
    original = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: original(fd, bytes(data)[:1000]))
    put(backend, "key", DATA)
    assert get(backend, "key") == DATA


# -- reading -------------------------------------------------------------------------------------


def test_a_read_does_not_write_the_time_of_access(backend, tmp_path):
    put(backend, "key", DATA)
    (path,) = files_of(tmp_path)
    os.utime(path, ns=(1, 10**18))  # so old that relatime would write it at the first read
    assert get(backend, "key") == DATA
    assert path.stat().st_atime_ns == 1


def test_a_file_of_another_owner_can_be_read(backend, monkeypatch):
    put(backend, "key", DATA)
    original = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_NOATIME:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    assert get(backend, "key") == DATA
