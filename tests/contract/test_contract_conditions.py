"""Conditions: on reads, on If-Range, and on writes that race."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from s3shim.backends.base import Capability
from s3shim.conditions import Conditions, ETagList
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, code_of, get, pattern, put

KEY = ObjectRef("bucket", "key")


def etags(*values):
    return ETagList(frozenset(values))


ANY_TAG = ETagList(any=True)


def test_conditions_on_reads(backend):
    info = put(backend, "key", b"0123456789")
    same, other = etags(info.etag), etags("0" * 32)
    cases = [
        (Conditions(if_match=same), None),
        (Conditions(if_match=ANY_TAG), None),
        (Conditions(if_match=other), Code.PreconditionFailed),
        (Conditions(if_none_match=same), Code.NotModified),
        (Conditions(if_none_match=ANY_TAG), Code.NotModified),
        (Conditions(if_none_match=other), None),
        (Conditions(if_modified_since=info.last_modified), Code.NotModified),
        (Conditions(if_modified_since=info.last_modified - 5000), None),
        (Conditions(if_unmodified_since=info.last_modified), None),
        (Conditions(if_unmodified_since=info.last_modified - 5000), Code.PreconditionFailed),
    ]
    for conditions, code in cases:
        assert code_of(backend.head_object, KEY, conditions) is code
        assert code_of(backend.get_object, KEY, None, conditions) is code
    with pytest.raises(S3Error) as caught:
        backend.head_object(KEY, Conditions(if_none_match=same))
    assert caught.value.details["info"] == info


def test_if_range_decides_whether_the_range_counts(backend):
    info = put(backend, "key", b"0123456789")
    part = ByteRange(2, 4)
    assert get(backend, "key", part, conditions=Conditions(if_range=info.etag)) == b"234"
    assert get(backend, "key", part, conditions=Conditions(if_range="0" * 32)) == b"0123456789"
    assert get(backend, "key", ByteRange(99, None), conditions=Conditions(if_range="")) == b"0123456789"


@pytest.mark.parametrize("size", [10, 5000])
def test_conditions_on_put(conditional_backend, size):
    backend = conditional_backend
    first, second, third = (pattern(size, seed) for seed in (1, 2, 3))
    assert code_of(put, backend, "key", first, conditions=Conditions(if_match=ANY_TAG)) is Code.NoSuchKey
    info = put(backend, "key", first, conditions=Conditions(if_none_match=ANY_TAG))
    for refused in (
        Conditions(if_none_match=ANY_TAG),
        Conditions(if_none_match=etags(info.etag)),
        Conditions(if_match=etags("0" * 32)),
    ):
        assert code_of(put, backend, "key", second, conditions=refused) is Code.PreconditionFailed
        assert get(backend, "key") == first
    put(backend, "key", second, conditions=Conditions(if_match=etags(info.etag)))
    assert code_of(put, backend, "key", third, conditions=Conditions(if_match=etags(info.etag))) is (
        Code.PreconditionFailed
    )
    assert get(backend, "key") == second


def test_conditions_on_delete(conditional_backend):
    backend = conditional_backend
    assert code_of(backend.delete_object, KEY, Conditions(if_match=ANY_TAG)) is Code.NoSuchKey
    info = put(backend, "key", b"data")
    assert (
        code_of(backend.delete_object, KEY, Conditions(if_match=etags("0" * 32))) is Code.PreconditionFailed
    )
    assert get(backend, "key") == b"data"
    backend.delete_object(KEY, Conditions(if_match=etags(info.etag)))
    assert code_of(get, backend, "key") is Code.NoSuchKey


class _Together(BytesBody):
    """A body that ends only when all of ``barrier`` have been read: every put is past its first look."""

    def __init__(self, data, barrier):
        super().__init__(data)
        self.barrier = barrier

    def read(self, size):
        part = super().read(size)
        if not part:
            self.barrier.wait()
        return part


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize("matching", [False, True], ids=["if-none-match", "if-match"])
def test_of_20_racing_conditional_puts_one_wins(conditional_backend, size, matching):
    backend = conditional_backend
    conditions = Conditions(if_none_match=ANY_TAG)
    if matching:
        conditions = Conditions(if_match=etags(put(backend, "key", b"old").etag))
    barrier = Barrier(20)

    def write(seed):
        return code_of(put, backend, "key", _Together(pattern(size, seed), barrier), conditions=conditions)

    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(write, range(20)))
    assert sorted(codes, key=str) == [Code.PreconditionFailed] * 19 + [None]
    assert get(backend, "key") == pattern(size, codes.index(None))


def test_a_condition_is_honoured_or_refused_but_never_ignored(backend):
    put(backend, "key", b"old")
    promised = Capability.CONDITIONAL_WRITE in backend.capabilities
    expected = Code.PreconditionFailed if promised else Code.NotImplemented
    refused = Conditions(if_match=etags("0" * 32))
    assert code_of(put, backend, "key", b"new", conditions=refused) is expected
    assert code_of(backend.delete_object, KEY, refused) is expected
    assert get(backend, "key") == b"old"
