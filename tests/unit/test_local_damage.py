"""Damage to the files of the local store: what is not what was written is never given out."""

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.ranges import ByteRange
from tests.contract.bodies import code_of, get, put
from tests.unit.stores import BLOCK, DATA, KEY, files_of, only_file, started


@pytest.fixture
def backend(tmp_path):
    """A store whose objects above 1,000 bytes are files."""
    with started(tmp_path / "store", inline_max=1000, block_size=BLOCK) as backend:
        yield backend


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def read_what_is_given(backend, byte_range=None):
    """Return the bytes that a reader gets and the code that ends them, None where they are whole."""
    got = b""
    try:
        for chunk in backend.get_object(KEY, byte_range, NO_CONDITIONS).chunks:
            got += chunk
    except S3Error as error:
        return got, error.code
    return got, None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@example(position=-1, bit=0)
@example(position=-9, bit=0)
@example(position=-41, bit=0)
@example(position=-49, bit=0)
@given(position=st.integers(-80, len(DATA)), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_never_given_out(backend, tmp_path, position, bit):
    if code_of(backend.head_object, KEY, NO_CONDITIONS):
        put(backend, "key", DATA)
    path = only_file(tmp_path)
    whole = bytearray(path.read_bytes())
    original = bytes(whole)
    position %= len(whole)
    whole[position] ^= 1 << bit
    path.write_bytes(whole)
    got, code = read_what_is_given(backend)
    path.write_bytes(original)
    assert code is Code.InternalError
    assert len(whole) == len(DATA) + 80
    intact = position // BLOCK * BLOCK if position < len(DATA) else 0
    assert got == DATA[:intact]


def test_damage_outside_a_range_does_not_disturb_it(backend, tmp_path):
    put(backend, "key", DATA)
    path = only_file(tmp_path)
    with path.open("r+b") as file:
        file.seek(BLOCK + 5)
        file.write(b"\xff\xff")
    assert get(backend, "key", ByteRange(2 * BLOCK, None)) == DATA[2 * BLOCK :]
    assert get(backend, "key", ByteRange(0, BLOCK - 1)) == DATA[:BLOCK]
    assert read_what_is_given(backend, ByteRange(BLOCK + 100, BLOCK + 200)) == (b"", Code.InternalError)
    assert read_what_is_given(backend, ByteRange(BLOCK - 1, BLOCK)) == (
        DATA[BLOCK - 1 : BLOCK],
        Code.InternalError,
    )


def test_damage_in_the_first_block_is_found_before_anything_is_answered(backend, tmp_path, caplog):
    put(backend, "key", DATA)
    path = only_file(tmp_path)
    with path.open("r+b") as file:
        file.write(b"\xff\xff")
    before = descriptors()
    assert code_of(backend.get_object, KEY, None, NO_CONDITIONS) is Code.InternalError
    assert descriptors() == before
    assert f"block 0 of file {path.name}" in caplog.text


@pytest.mark.parametrize("keep", [0, 1, BLOCK, len(DATA), len(DATA) + 20, -1])
def test_a_truncated_file_is_refused(backend, tmp_path, keep):
    put(backend, "key", DATA)
    path = only_file(tmp_path)
    os.truncate(path, keep if keep >= 0 else path.stat().st_size - 1)
    assert read_what_is_given(backend) == (b"", Code.InternalError)


def test_a_file_that_is_cut_while_it_is_read_ends_with_an_error(backend, tmp_path):
    put(backend, "key", DATA)
    chunks = iter(backend.get_object(KEY, None, NO_CONDITIONS).chunks)
    assert next(chunks) == DATA[:BLOCK]
    os.truncate(only_file(tmp_path), BLOCK + 10)
    assert code_of(next, chunks) is Code.InternalError


def test_another_objects_file_is_refused(backend, tmp_path):
    put(backend, "key", DATA)
    first = only_file(tmp_path)
    put(backend, "other", DATA)
    (second,) = [path for path in files_of(tmp_path) if path != first]
    first.write_bytes(second.read_bytes())
    assert read_what_is_given(backend) == (b"", Code.InternalError)


@pytest.mark.parametrize("extra", [b"x", bytes(1 << 20)])
def test_a_longer_file_is_refused(backend, tmp_path, extra):
    put(backend, "key", DATA)
    with only_file(tmp_path).open("ab") as file:
        file.write(extra)
    assert read_what_is_given(backend) == (b"", Code.InternalError)


def test_a_missing_file_is_an_internal_error(backend, tmp_path, caplog):
    put(backend, "key", DATA)
    only_file(tmp_path).unlink()
    assert code_of(get, backend, "key") is Code.InternalError
    assert "object 'key' in bucket" in caplog.text


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_what_is_not_a_regular_file_is_refused(backend, tmp_path, kind):
    put(backend, "key", DATA)
    path = only_file(tmp_path)
    content = path.read_bytes()
    path.unlink()
    if kind == "symlink":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises((S3Error, OSError)) as caught:
        get(backend, "key")
    assert getattr(caught.value, "code", Code.InternalError) is Code.InternalError


def test_a_file_with_another_block_size_is_read_as_it_was_written(backend, tmp_path):
    put(backend, "key", DATA)
    backend.close()
    reopened = LocalBackend(tmp_path / "store", block_size=1 << 20)
    reopened.start()
    assert get(reopened, "key", ByteRange(BLOCK - 3, 2 * BLOCK + 3)) == DATA[BLOCK - 3 : 2 * BLOCK + 4]
    reopened.close()


def test_a_reader_holds_one_descriptor_until_it_ends(backend):
    put(backend, "key", DATA)
    before = descriptors()
    stream = backend.get_object(KEY, None, NO_CONDITIONS)
    assert descriptors() == before + 1
    assert b"".join(stream.chunks) == DATA
    assert descriptors() == before


def test_a_block_size_below_a_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match="block size 100 is below 4096"):
        LocalBackend(tmp_path / "store", block_size=100)
