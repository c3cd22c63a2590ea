"""LMDB's reader slots: few, and given back by every call, however it ends."""

from contextlib import ExitStack

import pytest

from s3shim.backends.local.backend import LocalBackend
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import S3Error
from s3shim.model import ListQuery, ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody
from tests.unit.stores import started


@pytest.fixture
def backend(tmp_path):
    tmp_path.chmod(0o700)
    with started(tmp_path, inline_max=1024) as opened:
        opened.put_object(ObjectRef("bucket", "k"), BytesBody(b"x" * 2000), ObjectMeta(), NO_CONDITIONS)
        yield opened


def test_failed_calls_whose_errors_live_on_hold_no_reader(backend):
    """An error's traceback keeps the frames of the call, and they must not keep a transaction."""
    there, missing, nowhere = ObjectRef("bucket", "k"), ObjectRef("bucket", "m"), ObjectRef("no-bucket", "k")
    never, absent = Conditions(if_match=ETagList()), Conditions(if_none_match=ETagList(any=True))
    calls = [
        lambda: backend.head_object(missing, NO_CONDITIONS),
        lambda: backend.get_object(missing, None, NO_CONDITIONS),
        lambda: backend.get_object(there, None, never),
        lambda: backend.head_bucket("no-bucket"),
        lambda: backend.list_objects("no-bucket", ListQuery()),
        lambda: backend.delete_object(there, never),
        lambda: backend.put_object(nowhere, BytesBody(b"y"), ObjectMeta(), NO_CONDITIONS),
        lambda: backend.put_object(there, BytesBody(b"y"), ObjectMeta(), absent),
        lambda: backend.put_object(there, BytesBody(b"y" * 2000), ObjectMeta(), absent),
    ]
    kept = []  # more of them than the 126 slots of a new store
    for call in calls * 20:
        with pytest.raises(S3Error) as raised:
            call()
        kept.append(raised.value)
    assert "ServiceUnavailable" not in {error.code.name for error in kept}
    assert b"".join(backend.get_object(there, None, NO_CONDITIONS).chunks) == b"x" * 2000


def test_streams_that_are_not_read_hold_no_reader(backend):
    streams = [backend.get_object(ObjectRef("bucket", "k"), None, NO_CONDITIONS) for _ in range(30)]
    for stream in streams:
        stream.chunks.close()


def test_more_readers_than_a_new_store_has_slots(tmp_path):
    tmp_path.chmod(0o700)
    first = LocalBackend(tmp_path, inline_max=1024)
    first.start()
    first.close()
    second = LocalBackend(tmp_path, inline_max=1024, readers=400)
    second.start()
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(second.store.index.read())
    second.close()
