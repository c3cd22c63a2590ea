"""Any sequence of writes, copies, uploads and restarts leaves a store whose rows and files agree."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from s3shim.backends.local import LocalBackend, lock, sweep
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.model import BucketInfo, ListQuery, ObjectRef, UploadQuery
from s3shim.ranges import ByteRange
from tests.contract.bodies import get, pattern, put
from tests.contract.uploads import begin, complete, copy_part, part_numbers, upload
from tests.unit.audit import audit

BLOCK = 4096
KEYS = st.sampled_from(["a", "b", "c"])
PARTS = st.integers(1, 4)
ENDS = st.none() | st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20))
DATAS = st.tuples(st.sampled_from([0, 10, 300, 301, BLOCK, 2 * BLOCK + 7]), st.integers(0, 9)).map(
    lambda chosen: pattern(*chosen)
)


class Store(RuleBasedStateMachine):
    """The objects and uploads as dicts, and readers with what they must give."""

    def __init__(self):
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="s3shim-machine-"))
        self.root = self.path / "store"
        self.backend = self.opened()
        self.objects = {}
        self.uploads = {}
        self.reading = []

    def opened(self):
        backend = LocalBackend(self.root, inline_max=300, block_size=BLOCK, reserve=0)
        backend.start()
        return backend

    @initialize()
    def begin_store(self):
        self.backend.create_bucket(BucketInfo("bucket", "main", 1))

    def teardown(self):
        for chunks, _, _ in self.reading:
            chunks.close()
        self.backend.close()
        shutil.rmtree(self.path)

    def an_upload(self, number):
        """Return one of the uploads: its ref and its parts as {number: (PartInfo, bytes)}."""
        key = sorted(self.uploads)[number % len(self.uploads)]
        return self.uploads[key]

    # -- objects

    @rule(key=KEYS, data=DATAS)
    def put(self, key, data):
        put(self.backend, key, data)
        self.objects[key] = data

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys):
        self.backend.delete_objects("bucket", [ObjectRef("bucket", key) for key in keys])
        for key in keys:
            self.objects.pop(key, None)

    @precondition(lambda self: self.objects)
    @rule(number=st.integers(0, 9), to=KEYS)
    def copy(self, number, to):
        source = sorted(self.objects)[number % len(self.objects)]
        self.backend.copy_object(Copy(ObjectRef("bucket", source)), ObjectRef("bucket", to), NO_CONDITIONS)
        self.objects[to] = self.objects[source]

    @precondition(lambda self: self.objects)
    @rule(number=st.integers(0, 9))
    def tag(self, number):
        key = sorted(self.objects)[number % len(self.objects)]
        self.backend.put_object_tags(ObjectRef("bucket", key), {"number": str(number)})
        info = self.backend.head_object(ObjectRef("bucket", key), NO_CONDITIONS)
        assert info.meta.tags == {"number": str(number)}

    # -- uploads

    @rule(key=KEYS)
    def begin(self, key):
        ref = begin(self.backend, key)
        self.uploads[ref.upload_id] = ref, {}

    @precondition(lambda self: self.uploads)
    @rule(number=st.integers(0, 9), part_number=PARTS, data=DATAS)
    def part(self, number, part_number, data):
        ref, parts = self.an_upload(number)
        parts[part_number] = upload(self.backend, ref, part_number, data), data

    @precondition(lambda self: self.uploads and any(self.objects.values()))
    @rule(
        number=st.integers(0, 9),
        part_number=PARTS,
        ends=ENDS,
    )
    def part_copy(self, number, part_number, ends):
        ref, parts = self.an_upload(number)
        keys = sorted(key for key, data in self.objects.items() if data)
        key = keys[number % len(keys)]
        data = self.objects[key]
        byte_range = None
        if ends is not None:
            first, last = sorted(end % len(data) for end in ends)
            byte_range = ByteRange(first, last)
            data = data[first : last + 1]
        parts[part_number] = copy_part(self.backend, ref, part_number, key, byte_range), data

    @precondition(lambda self: any(parts for _, parts in self.uploads.values()))
    @rule(number=st.integers(0, 9), left_out=PARTS)
    def complete(self, number, left_out):
        ref, parts = self.an_upload(number)
        chosen = [parts[n] for n in sorted(parts) if n != left_out] or [parts[n] for n in sorted(parts)]
        if chosen:
            complete(self.backend, ref, [part for part, _ in chosen])
            del self.uploads[ref.upload_id]
            self.objects[ref.key] = b"".join(data for _, data in chosen)

    @precondition(lambda self: self.uploads)
    @rule(number=st.integers(0, 9))
    def abort(self, number):
        ref, _ = self.an_upload(number)
        self.backend.abort_multipart_upload(ref)
        del self.uploads[ref.upload_id]

    # -- readers, space, restarts

    @precondition(lambda self: self.objects and len(self.reading) < 3)
    @rule(number=st.integers(0, 9), begun=st.booleans())
    def read(self, number, begun):
        key = sorted(self.objects)[number % len(self.objects)]
        chunks = self.backend.get_object(ObjectRef("bucket", key), None, NO_CONDITIONS).chunks
        pieces = iter(chunks)
        got = [next(pieces, b"")] if begun else []
        self.reading.append((chunks, (got, pieces), self.objects[key]))

    @precondition(lambda self: self.reading)
    @rule(ends=st.booleans())
    def end_reading(self, ends):
        chunks, (got, pieces), data = self.reading.pop(0)
        if ends:
            assert b"".join([*got, *pieces]) == data
        chunks.close()

    @rule()
    def reclaim(self):
        self.backend.store.reclaim(everything=True)

    @rule()
    def restart(self):
        while self.reading:
            self.end_reading(True)
        self.backend.close()
        held = lock(self.root)
        try:
            assert sweep(self.root) == 0
        finally:
            os.close(held)
        self.backend = self.opened()

    @invariant()
    def what_is_there_is_what_was_put(self):
        listed = [info.key for info in self.backend.list_objects("bucket", ListQuery()).items]
        assert listed == sorted(self.objects)
        for key, data in self.objects.items():
            assert get(self.backend, key) == data
        uploads = self.backend.list_multipart_uploads("bucket", UploadQuery()).items
        assert sorted(info.upload_id for info in uploads) == sorted(self.uploads)
        for ref, parts in self.uploads.values():
            assert part_numbers(self.backend, ref) == sorted(parts)

    @invariant()
    def rows_and_files_agree(self):
        audit(self.backend, self.root)


Store.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_a_store_at_rest_agrees_with_itself = Store.TestCase
