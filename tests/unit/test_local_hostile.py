"""A directory in which somebody put something in the place of what a store keeps there."""

import os

import pytest

from s3shim.backends.local import StoreRefused, layout, prepare
from s3shim.backends.local.fsck import check
from s3shim.backends.local.records import number
from tests.unit.damaging import editing

PARTS = ["meta", "blobs", "blobs/7f"]


@pytest.fixture
def data(tmp_path):
    """A new store."""
    root = tmp_path / "data"
    prepare(root)
    return root


def refusal(root):
    """Return the one line with which the store is refused."""
    with pytest.raises(StoreRefused) as caught:
        prepare(root)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("part", [*PARTS, "VERSION", "meta/data.mdb", "meta/lock.mdb"])
def test_a_symbolic_link_within_the_store_is_refused(data, part):
    path = data / part
    path.rename(data / "elsewhere")
    path.symlink_to(data / "elsewhere")
    assert refusal(data) == f"{path} is a symbolic link"


@pytest.mark.parametrize("part", PARTS)
def test_a_symbolic_link_that_waits_for_a_new_store_is_refused(tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = tmp_path / "data" / part
    path.parent.mkdir(0o700, parents=True)
    path.symlink_to(elsewhere)
    (tmp_path / "data").chmod(0o700)
    assert refusal(tmp_path / "data") == f"{path} is a symbolic link"
    assert [found for found in elsewhere.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize("part", [*PARTS, "VERSION", "meta/data.mdb"])
def test_what_others_can_write_is_refused(data, part):
    (data / part).chmod(0o770)
    assert refusal(data) == f"{data / part} can be written by others (mode 0770)"


@pytest.mark.parametrize("part", PARTS)
def test_a_file_in_place_of_a_directory_is_refused(data, part):
    (data / part).rename(data / "elsewhere")
    (data / part).write_bytes(b"")
    assert refusal(data) == f"{data / part} is not a directory"


def test_a_directory_that_is_missing_is_refused(data):
    (data / "blobs" / "7f").rmdir()
    assert "blobs/7f: No such file or directory" in refusal(data)


@pytest.mark.parametrize("part", [*PARTS, "VERSION", "meta/data.mdb", "LOCK"])
def test_what_belongs_to_another_user_is_refused(data, monkeypatch, part):
    (data / "LOCK").touch(0o600)
    original = os.lstat

    def lstat(path):
        found = original(path)
        if path != data / part:
            return found
        return os.stat_result([*found[:4], found.st_uid + 1, *found[5:]])

    monkeypatch.setattr(os, "lstat", lstat)
    assert f"{data / part} belongs to uid" in refusal(data)


def test_an_index_that_lost_its_last_page_is_refused(data):
    with editing(data) as edit:
        edit.put(number(1), bytes(100_000), edit.tables.inline)  # goes to the end of the file
    path = data / "meta" / "data.mdb"
    os.truncate(path, path.stat().st_size - 4096)
    # LMDB opens it.
    with editing(data) as edit:
        assert edit.uuid() is not None
    assert "the index cannot be used, its end is lost: " in refusal(data)
    assert all(problem.startswith("index: ") for problem in check(data).problems)
    assert check(data).problems


def test_an_index_that_is_short_of_unused_pages_is_not_refused(data, monkeypatch):
    monkeypatch.setattr(layout, "is_cut", lambda env, path: True)
    prepare(data)
