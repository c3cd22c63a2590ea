"""Each storage that waits for something says so before, so that the thread's place can be taken."""

from __future__ import annotations

from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ObjectMeta, ObjectRef
from s3shim.waiting import WAITS
from tests.contract.bodies import BytesBody


def test_a_put_announces_its_wait(backend, monkeypatch):
    announced = []
    monkeypatch.setattr(WAITS, "announce", lambda: announced.append(True))
    backend.put_object(ObjectRef("bucket", "key"), BytesBody(b"data"), ObjectMeta(), NO_CONDITIONS)
    assert bool(announced) != isinstance(backend, MemoryBackend)
