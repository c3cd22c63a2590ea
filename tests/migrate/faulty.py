"""Storages that fail, lie, or promise little."""

from __future__ import annotations

from dataclasses import replace

from s3shim.backends.base import Capability
from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import ReadyChunks
from tests.contract.bodies import pattern, put
from tests.migrate.scene import MAIN, put_sha256_parts


def started(kind=MemoryBackend, *arguments, **settings):
    backend = kind(*arguments, **settings)
    backend.start()
    return backend


def small_source():
    """Return a storage in memory with four objects, one of them of parts."""
    backend = started()
    backend.create_bucket(MAIN)
    put(backend, "before", b"sound")
    put(backend, "key", pattern(9000))
    put_sha256_parts(backend, "parts", [pattern(5000, 1), pattern(5000, 2), b"end"])
    put(backend, "zlast", b"sound")
    return backend


def lie(backend, key, **fields):
    """Change what the record of an object says."""
    info, data = backend.buckets["bucket"].objects[key]
    backend.buckets["bucket"].objects[key] = replace(info, **fields), data


def change_bytes(backend, key, at):
    """Change a byte of an object, but not its record."""
    info, data = backend.buckets["bucket"].objects[key]
    spoiled = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    backend.buckets["bucket"].objects[key] = info, spoiled


class Failing(MemoryBackend):
    """Memory of which some calls fail or come late.

    ``faults`` maps a method to what its next calls meet: a Code to fail with, something to do first, None.
    """

    def __init__(self):
        super().__init__()
        self.faults = {}

    def _meet(self, name):
        if self.faults.get(name):
            fault = self.faults[name].pop(0)
            if isinstance(fault, Code):
                raise S3Error(fault)
            if fault is not None:
                fault()


def _failing(name):
    def method(self, *arguments):
        self._meet(name)
        return getattr(MemoryBackend, name)(self, *arguments)

    return method


for _name in (
    "get_object",
    "get_object_parts",
    "list_objects",
    "list_buckets",
    "head_bucket",
    "create_bucket",
    "put_document",
    "put_object",
    "create_multipart_upload",
    "upload_part",
    "complete_multipart_upload",
    "list_multipart_uploads",
    "put_object_last_modified",
    "copy_object",
):
    setattr(Failing, _name, _failing(_name))


class Strict(Failing):
    """Memory that wants 5 MiB of every part but the last, as AWS does."""

    def complete_multipart_upload(self, upload, completion, conditions):
        """See Backend."""
        return super().complete_multipart_upload(
            upload, replace(completion, min_part_size=5 << 20), conditions
        )


class Humble(Failing):
    """Memory that promises nothing."""

    capabilities = Capability.NONE

    def create_multipart_upload(self, *arguments):
        """See Backend."""
        raise S3Error(Code.NotImplemented)

    def put_object(self, ref, body, meta, conditions):
        """See Backend."""
        assert conditions is NO_CONDITIONS
        return super().put_object(ref, body, meta, conditions)


class Short(Failing):
    """Memory that ends its streams early."""

    def get_object(self, *arguments):
        """See Backend."""
        stream = super().get_object(*arguments)
        stream.chunks = ReadyChunks(stream.chunks.data[:-1])
        return stream
