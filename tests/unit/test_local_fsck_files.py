"""fsck of the files and of all bytes."""

import os

import msgspec
import pytest

from s3shim.backends.local.fsck import check
from s3shim.backends.local.records import LAYOUT, PART, number, unseal
from tests.unit.damaging import HEX, assert_found, editing, file_of, on_object, on_row, record_of
from tests.unit.stores import BLOCK, DATA


def replace(path, content):
    path.unlink()
    path.write_bytes(content)


def to_link(path):
    path.rename(path.parent / "moved")
    path.symlink_to(path.parent / "moved")


def to_pipe(path):
    path.unlink()
    os.mkfifo(path)


def to_directory(path):
    path.unlink()
    path.mkdir()


FILES = {
    "gone": (lambda path: path.unlink(), "missing"),
    "empty": (lambda path: replace(path, b""), "not a file of its size"),
    "short": (lambda path: replace(path, path.read_bytes()[:-1]), "wrong footer"),
    "long": (lambda path: replace(path, path.read_bytes() + b"x"), "not a file of its size"),
    "symbolic link": (to_link, "a symbolic link"),
    "pipe": (to_pipe, "not a file of its size"),
    "directory": (to_directory, "not a file of its size"),
    "written by others": (lambda path: path.chmod(0o620), r"can be written by others \(mode 0620\)"),
}


@pytest.mark.parametrize("case", FILES)
def test_files(damaged, case):
    change, expected = FILES[case]
    change(file_of(damaged, "sha"))
    strange = ["1 names in blobs/ that are not of s3shim"] if case == "symbolic link" else []
    assert_found(damaged, [f"object bucket/sha: file {HEX}: {expected}"], notes=strange)


def test_a_file_that_was_exchanged_for_another(damaged):
    path = file_of(damaged, "sha")
    replace(path, file_of(damaged, "full").read_bytes())
    assert_found(damaged, [f"object bucket/sha: file {HEX}: (wrong footer|not a file of its size)"])


def test_a_file_of_many_uses_is_told_with_each(damaged):
    file_of(damaged, "file").unlink()
    owners = [
        "object bucket/copy",
        "object bucket/file",
        "object bucket/pieces",
        "part 10000 of upload [0-9]+",
    ]
    assert_found(damaged, [f"{owner}: file {HEX}: missing" for owner in owners])


def test_a_file_of_another_user(damaged, monkeypatch):
    path = file_of(damaged, "sha")
    original = os.fstat

    def fstat(fd):
        found = original(fd)
        if found.st_ino != path.stat().st_ino:
            return found
        return os.stat_result([*found[:4], found.st_uid + 1, *found[5:]])

    monkeypatch.setattr(os, "fstat", fstat)
    assert_found(damaged, [f"object bucket/sha: file {HEX}: belongs to uid [0-9]+"])


def test_what_the_server_clears_away_is_noted(damaged):
    with editing(damaged) as edit:
        (waiting,) = [key[16:].hex() for key, _ in edit.rows(edit.tables.gc, b"") if len(key) == 32]
    (damaged / "blobs" / waiting[:2] / waiting).unlink()
    for name in ("00" * 16, ".new-" + "00" * 16):
        (damaged / "blobs" / "00" / name).write_bytes(b"x")
    os.link(file_of(damaged, "sha"), damaged / "blobs" / "00" / "not-ours")
    report = check(damaged)
    assert report.problems == []
    assert report.notes == [
        "2 files that nothing uses: in flight, or left over and removed by the next start",
        "1 files that were to be removed are gone already",
        "1 names in blobs/ that are not of s3shim",
        "1 uses of files that have another name (hard link) too",
    ]
    assert report.counts["orphans"] == 2


# -- bytes


def flip(path, position):
    """Change a bit of a file."""
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    path.chmod(0o400)


@pytest.mark.parametrize("block", range(-(-len(DATA) // BLOCK)))
def test_a_flipped_bit_in_a_file_is_found_by_reading(damaged, block):
    flip(file_of(damaged, "sha"), min(block * BLOCK + 77, len(DATA) - 1))
    assert_found(damaged, [])
    assert_found(damaged, [f"object bucket/sha: block {block} of file {HEX}"], deep=True)


def test_a_flipped_bit_in_a_footer_is_found_without_reading(damaged):
    flip(file_of(damaged, "sha"), -60)
    assert_found(damaged, [f"object bucket/sha: file {HEX}: wrong footer"])


def test_a_flipped_bit_in_what_only_pieces_were_copied_of(damaged):
    path = file_of(damaged, "file")
    with editing(damaged) as edit:
        for key in ("file", "copy"):
            edit.remove_object(1, key, record_of(edit, key)[1], 10**15)
    flip(path, len(DATA) - 1)
    assert_found(damaged, [])
    assert_found(damaged, [f"block {(len(DATA) - 1) // BLOCK} of file {HEX}"], deep=True)


def test_flipped_inline_bytes(damaged):
    with editing(damaged) as edit:
        _, record = record_of(edit, "inline")
        edit.put(record.extents[0].id, b"smalk", edit.tables.inline)
    assert_found(damaged, [])
    assert_found(damaged, [f"object bucket/inline: inline bytes {HEX}"], deep=True)


def layout_with(key, **fields):
    def change(edit):
        sequence = record_of(edit, key)[1].sequence
        lmdb_key = number(sequence)
        layout = unseal(lmdb_key, edit.txn.get(lmdb_key, db=edit.tables.layouts), LAYOUT)
        layout.parts[1] = msgspec.structs.replace(layout.parts[1], **fields)
        edit.put_layout(sequence, layout)

    return change


DIGESTS = {
    "ETag": (on_object("file", etag="0" * 32), ["object bucket/file: its bytes do not have its ETag"]),
    "checksum": (
        on_object("inline", checksums={"crc32": "AAAAAA=="}),
        ["object bucket/inline: its bytes do not have its crc32"],
    ),
    "ETag of parts": (
        on_object("sha", etag="0" * 32 + "-2"),
        ["object bucket/sha: its bytes do not have its ETag"],
    ),
    "composite checksum": (
        on_object("sha", checksums={"sha256": "A" * 43 + "=-2"}),
        ["object bucket/sha: its bytes do not have its sha256"],
    ),
    "checksum of the full object": (
        on_object("full", checksums={"crc32": "AAAAAA=="}),
        ["object bucket/full: its bytes do not have its crc32"],
    ),
    "checksum of a part of an object": (
        layout_with("full", checksums={"crc32": "AAAAAA=="}),
        ["object bucket/full: its bytes do not have its crc32 of part 3"],
    ),
    "ETag of a part": (
        on_row("parts", PART, etag="0" * 32),
        ["part 1 of upload [0-9]+: its bytes do not have its ETag"],
    ),
    "checksum of a part": (
        on_row("parts", PART, checksums={"crc32": "AAAAAA=="}),
        ["part 1 of upload [0-9]+: its bytes do not have its crc32"],
    ),
}


@pytest.mark.parametrize("case", DIGESTS)
def test_digests(damaged, case):
    change, expected = DIGESTS[case]
    with editing(damaged) as edit:
        change(edit)
    assert_found(damaged, [])
    assert_found(damaged, expected, deep=True)
