"""Local stores for the tests of their parts."""

from contextlib import contextmanager

from s3shim.backends.local import LocalBackend
from s3shim.model import BucketInfo, ObjectRef

BLOCK = 4096
KEY = ObjectRef("bucket", "key")
DATA = bytes(range(251)) * 60  # four blocks, with a period that is not theirs


@contextmanager
def started(root, **settings):
    """Give a started store in ``root`` with an empty bucket named "bucket" of the account "main"."""
    backend = LocalBackend(root, **settings)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    try:
        yield backend
    finally:
        backend.close()


def files_of(tmp_path):
    """Return the files below blobs/ of the store ``tmp_path``/store, whatever their names."""
    return [path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()]


def only_file(tmp_path):
    """Return the one file of the store, made writable."""
    (path,) = files_of(tmp_path)
    path.chmod(0o600)
    return path
