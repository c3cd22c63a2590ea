"""A bucket under random operations, held against a dict."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from s3shim.backends.base import Capability
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, Deleted, ObjectRef, UploadQuery
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.contract.conftest import BACKENDS
from tests.contract.test_contract_listing import expected_listing, walk
from tests.contract.uploads import begin, complete, copy_part, upload

KEYS = st.sampled_from(["a", "a/", "a/b", "a\x01", "ab", "\u00e9", "k" * 1024])
BODIES = st.builds(
    lambda size, seed: bytes([seed]) * size,
    st.sampled_from([0, 1, 999, 1001, 4096, 9000]),
    st.integers(0, 255),
)
NUMBERS = st.integers(1, 4)


def ref_of(key):
    return ObjectRef("bucket", key)


class BucketMachine(RuleBasedStateMachine):
    """``objects`` maps a key to (bytes, tags)."""

    make = None

    @initialize()
    def begin(self):
        self.backend = type(self).make()
        self.backend.start()
        self.backend.create_bucket(BucketInfo("bucket", "main", 1))
        self.objects = {}
        self.uploads = []
        self.completed = []

    @rule(key=KEYS, data=BODIES)
    def put(self, key, data):
        put(self.backend, key, data)
        self.objects[key] = data, {}

    @rule(key=KEYS, data=BODIES, fail_at=st.integers(0, 3))
    def put_fails(self, key, data, fail_at):
        body = BytesBody(data, piece=500, fail_at=fail_at, error=S3Error(Code.BadDigest))
        if code_of(put, self.backend, key, body) is None:
            self.objects[key] = data, {}

    @rule(key=KEYS)
    def get(self, key):
        if key in self.objects:
            assert get(self.backend, key) == self.objects[key][0]
        else:
            assert code_of(get, self.backend, key) is Code.NoSuchKey

    @rule(key=KEYS, first=st.sampled_from([0, 1, 998, 4095, 8000]), length=st.sampled_from([1, 2, 5000]))
    def get_range(self, key, first, length):
        data = self.objects.get(key, (b"", {}))[0]
        if first < len(data):
            part = ByteRange(first, first + length - 1)
            assert get(self.backend, key, part) == data[first : first + length]

    @rule(key=KEYS)
    def head(self, key):
        if key in self.objects:
            info = self.backend.head_object(ref_of(key), NO_CONDITIONS)
            assert (info.size, info.meta.tags) == (len(self.objects[key][0]), self.objects[key][1])
        else:
            assert code_of(self.backend.head_object, ref_of(key), NO_CONDITIONS) is Code.NoSuchKey

    @rule(key=KEYS)
    def delete(self, key):
        self.backend.delete_object(ref_of(key), NO_CONDITIONS)
        self.objects.pop(key, None)

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete_many(self, keys):
        outcomes = self.backend.delete_objects("bucket", [ref_of(key) for key in keys])
        assert outcomes == [Deleted()] * len(keys)
        for key in keys:
            self.objects.pop(key, None)

    @rule(source=KEYS, key=KEYS, tags=st.sampled_from([None, {}, {"new": "1"}]))
    def copy(self, source, key, tags):
        call = self.backend.copy_object, Copy(ref_of(source), tags=tags), ref_of(key), NO_CONDITIONS
        if source in self.objects:
            assert code_of(*call) is None
            data, old = self.objects[source]
            self.objects[key] = data, old if tags is None else tags
        else:
            assert code_of(*call) is Code.NoSuchKey

    @rule(key=KEYS, tags=st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1"]), max_size=3))
    def tag(self, key, tags):
        found = code_of(self.backend.put_object_tags, ref_of(key), tags)
        if key in self.objects:
            assert found is None
            self.objects[key] = self.objects[key][0], tags
        else:
            assert found is Code.NoSuchKey

    @rule(delimiter=st.sampled_from(["", "/", "b"]), prefix=st.sampled_from(["", "a", "a/"]))
    def list(self, delimiter, prefix):
        found = walk(self.backend, "bucket", prefix, delimiter, size=2)
        assert found == expected_listing(self.objects, prefix, delimiter)

    @rule()
    def reopen(self):
        self.backend.close()
        self.backend.start()

    @precondition(lambda self: self.objects)
    @rule()
    def delete_bucket_is_refused(self):
        assert code_of(self.backend.delete_bucket, "bucket") is Code.BucketNotEmpty

    def teardown(self):
        if hasattr(self, "backend"):
            for key, (data, _) in self.objects.items():
                assert get(self.backend, key) == data
            self.backend.close()


class MultipartMachine(BucketMachine):
    """``uploads`` holds (ref, {number: (part, bytes)}), ``completed`` (ref, parts, answer)."""

    @rule(key=KEYS)
    def create_upload(self, key):
        self.uploads.append((begin(self.backend, key), {}))

    @precondition(lambda self: self.uploads)
    @rule(choice=st.randoms(use_true_random=False), number=NUMBERS, data=BODIES)
    def upload_part(self, choice, number, data):
        ref, parts = choice.choice(self.uploads)
        parts[number] = upload(self.backend, ref, number, data), data

    @precondition(lambda self: self.uploads)
    @rule(choice=st.randoms(use_true_random=False), number=NUMBERS, data=BODIES)
    def upload_part_fails(self, choice, number, data):
        ref, _ = choice.choice(self.uploads)
        body = BytesBody(data, fail_at=min(1, len(data)), piece=500, error=S3Error(Code.BadDigest))
        assert code_of(upload, self.backend, ref, number, body) is Code.BadDigest

    @precondition(lambda self: self.uploads and self.objects)
    @rule(choice=st.randoms(use_true_random=False), number=NUMBERS, cut=st.booleans())
    def copy_part(self, choice, number, cut):
        ref, parts = choice.choice(self.uploads)
        key = choice.choice(sorted(self.objects))
        data = self.objects[key][0]
        byte_range = None
        if cut and data:
            byte_range = ByteRange(len(data) // 3, len(data) - 1)
            data = data[len(data) // 3 :]
        parts[number] = copy_part(self.backend, ref, number, key, byte_range), data

    @precondition(lambda self: any(parts for _, parts in self.uploads))
    @rule(choice=st.randoms(use_true_random=False), most=st.integers(1, 4))
    def complete(self, choice, most):
        at = choice.choice([n for n, (_, parts) in enumerate(self.uploads) if parts])
        ref, parts = self.uploads.pop(at)
        chosen = [parts[number] for number in sorted(parts)[:most]]
        info = complete(self.backend, ref, [part for part, _ in chosen])
        self.objects[ref.key] = b"".join(data for _, data in chosen), {}
        self.completed.append((ref, [part for part, _ in chosen], info))

    @precondition(lambda self: self.completed)
    @rule(choice=st.randoms(use_true_random=False))
    def complete_again(self, choice):
        ref, parts, info = choice.choice(self.completed)
        assert complete(self.backend, ref, parts) == info
        assert code_of(self.backend.list_parts, ref, 0, 1) is Code.NoSuchUpload

    @precondition(lambda self: self.uploads)
    @rule(choice=st.randoms(use_true_random=False))
    def abort(self, choice):
        ref, _ = self.uploads.pop(choice.randrange(len(self.uploads)))
        self.backend.abort_multipart_upload(ref)
        assert code_of(self.backend.list_parts, ref, 0, 1) is Code.NoSuchUpload

    @rule()
    def list_uploads(self):
        found = self.backend.list_multipart_uploads("bucket", UploadQuery()).items
        expected = sorted((ref.key.encode(), ref.upload_id) for ref, _ in self.uploads)
        assert [(info.key.encode(), info.upload_id) for info in found] == expected
        for ref, parts in self.uploads:
            stored = self.backend.list_parts(ref, 0, 1000)[1]
            assert stored == [parts[number][0] for number in sorted(parts)]


@pytest.mark.parametrize("name", list(BACKENDS))
def test_a_bucket_is_a_dict(name, make_backend):
    promised = Capability.MULTIPART in BACKENDS[name][0].capabilities
    base = MultipartMachine if promised else BucketMachine
    machine = type("Machine", (base,), {"make": staticmethod(lambda: make_backend(name))})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=40, deadline=None)
    )
