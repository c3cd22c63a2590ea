"""The parts of an object as they are told after its completion, and after what replaces it."""

import pytest

from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import ObjectPart, ObjectRef
from tests.contract.bodies import code_of, pattern, put
from tests.contract.conftest import BLOCK
from tests.contract.uploads import begin, complete, upload

KEY = ObjectRef("bucket", "key")
DATAS = {1: pattern(BLOCK + 1), 4: pattern(10), 7: b"", 9: pattern(2 * BLOCK)}


@pytest.fixture
def parts(backend):
    """The parts of the object ``key``."""
    ref = begin(backend)
    sent = [upload(backend, ref, number, data) for number, data in DATAS.items()]
    complete(backend, ref, sent)
    return [ObjectPart(part.part_number, part.size, part.checksums) for part in sent]


def test_parts_of_an_object(backend, parts):
    info, found = backend.get_object_parts(KEY, NO_CONDITIONS)
    assert found == parts
    assert info == backend.head_object(KEY, NO_CONDITIONS)
    assert [part.size for part in found] == [len(data) for data in DATAS.values()]


def test_parts_go_with_a_copy_and_with_the_object(backend, parts):
    backend.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    put(backend, "key", b"plain")
    assert backend.get_object_parts(KEY, NO_CONDITIONS)[1] == []
    assert backend.get_object_parts(ObjectRef("bucket", "copy"), NO_CONDITIONS)[1] == parts
    backend.delete_object(KEY, NO_CONDITIONS)
    assert code_of(backend.get_object_parts, KEY, NO_CONDITIONS) is Code.NoSuchKey


def test_conditions(backend, parts):
    other = Conditions(if_match=ETagList(frozenset({"other"})))
    assert code_of(backend.get_object_parts, KEY, other) is Code.PreconditionFailed
    old = ObjectRef("bucket", "key", "other")
    assert code_of(backend.get_object_parts, old, NO_CONDITIONS) is Code.NoSuchVersion
