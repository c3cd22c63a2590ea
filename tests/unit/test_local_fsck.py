"""fsck of the index: a sound store is clean, and each damage is told as what it is."""

import msgspec
import pytest

from s3shim.backends.local.fsck import check
from s3shim.backends.local.records import (
    COMPLETED,
    LAYOUT,
    PART,
    UPLOAD,
    BucketRecord,
    key_stem,
    number,
    seal,
    unseal,
    version_key,
)
from tests.unit.damaging import (
    HEX,
    KEYS,
    SMALL,
    assert_found,
    edit_object,
    editing,
    on_object,
    on_row,
    record_of,
    row,
)

ORPHAN = "1 files that nothing uses: in flight, or left over and removed by the next start"


def test_a_sound_store_is_clean(sound):
    for deep in (False, True):
        report = check(sound, deep=deep)
        assert (report.problems, report.notes) == ([], [])
        assert report.counts == {
            "buckets": 1,
            "documents": 1,
            "objects": len(KEYS),
            "inline": 7,
            "files": 10,
            "bytes": report.counts["bytes"],
            "uploads": 1,
            "parts": 3,
            "completed uploads": 5,
            "waiting files": 1,
            "orphans": 0,
            "problems": 0,
        }


# -- rows


def flip_row(table, position=0):
    def change(edit):
        key, value = row(edit, table, position)
        edit.put(key, value[:-1] + bytes([value[-1] ^ 1]), getattr(edit.tables, table))

    return change


def drop_row(table, position=0):
    def change(edit):
        edit.delete(row(edit, table, position)[0], getattr(edit.tables, table))

    return change


def extra_row(table, key, record=None):
    def change(edit):
        edit.put(key, b"x" if record is None else seal(key, record), getattr(edit.tables, table))

    return change


def on_extent(key, **fields):
    def change(edit):
        _, record = record_of(edit, key)
        extent = msgspec.structs.replace(record.extents[0], **fields)
        edit_object(edit, key, extents=[extent, *record.extents[1:]])

    return change


def count_wrongly(edit):
    _, record = record_of(edit, "file")
    edit.put(record.extents[0].id, seal(record.extents[0].id, 2), edit.tables.refs)


def forget_file(edit):
    _, record = record_of(edit, "file")
    edit.delete(record.extents[0].id, edit.tables.refs)


def share_inline(edit):
    _, record = record_of(edit, "inline")
    edit_object(edit, "Schlüssel\n\u2603", extents=record.extents)


def lose_inline(edit):
    _, record = record_of(edit, "inline")
    edit.delete(record.extents[0].id, edit.tables.inline)


def shorten_inline(edit):
    _, record = record_of(edit, "inline")
    edit.put(record.extents[0].id, SMALL[:-1], edit.tables.inline)


def lose_layout(edit):
    edit.delete(number(record_of(edit, "parts")[1].sequence), edit.tables.layouts)


def spoil_layout(edit):
    key = number(record_of(edit, "parts")[1].sequence)
    layout = unseal(key, edit.txn.get(key, db=edit.tables.layouts), LAYOUT)
    layout.parts[0].size += 1
    edit.put_layout(record_of(edit, "parts")[1].sequence, layout)


def move_object(edit):
    key, _ = record_of(edit, "empty")
    edit.put(key[:-9] + b"y" + key[-9:], edit.txn.get(key, db=edit.tables.objects), edit.tables.objects)


def add_version(edit):
    record = msgspec.structs.replace(record_of(edit, "empty")[1], sequence=edit.next_sequence())
    edit.put_record(1, "empty", record)


def add_object(bucket_id, key, sequence=3):
    def change(edit):
        lmdb_key = version_key(number(bucket_id) + key + b"\0", sequence)
        record = msgspec.structs.replace(record_of(edit, "empty")[1], sequence=sequence)
        edit.put(lmdb_key, seal(lmdb_key, record), edit.tables.objects)

    return change


def collect_used_file(edit):
    _, record = record_of(edit, "file")
    edit._discard(record.extents[0].id, 10**15)


def collect_lost_inline(edit):
    edit._discard(number(2), 10**15)


def collect_twice(edit):
    key, _ = row(edit, "gc", -1)
    edit._discard(key[16:], 10**15)


def complete_under_way(edit):
    key, value = row(edit, "completed")
    record = unseal(key, value, COMPLETED)
    upload_key = row(edit, "uploads")[0][-8:]
    edit.put(upload_key, seal(upload_key, record), edit.tables.completed)
    answered = number(record.record.last_modified) + upload_key
    edit.put(answered, seal(answered, b""), edit.tables.answered)


def answer_twice(edit):
    key = number(5) + row(edit, "completed")[0]
    edit.put(key, seal(key, b""), edit.tables.answered)


def repeat_upload(edit):
    key, value = row(edit, "uploads")
    other = key_stem(1, "zzz") + key[-8:]
    edit.put(other, seal(other, unseal(key, value, UPLOAD)), edit.tables.uploads)


NOBODY = bytes(16)
LAST = (1 << 64) - 1

ROWS = {
    "bucket flipped": (flip_row("buckets"), ["bucket bucket: wrong checksum"]),
    "bucket id twice": (
        extra_row("buckets", b"other", BucketRecord(1, "main", 1)),
        ["bucket other: has the id of bucket bucket"],
    ),
    "bucket id unknown": (
        extra_row("buckets", b"other", BucketRecord(999, "main", 1)),
        ["bucket other: number 999 was never given, the last one is [0-9]+"],
    ),
    "document flipped": (flip_row("documents"), ["document bucket/policy: wrong checksum"]),
    "document of no bucket": (
        extra_row("documents", number(999) + b"policy", b"{}"),
        ["document #999/policy: there is no such bucket"],
    ),
    "sequence flipped": (
        lambda edit: edit.put(b"sequence", bytes(9), edit.tables.state),
        ["state sequence: wrong checksum"],
    ),
    "sequence gone": (lambda edit: edit.delete(b"sequence", edit.tables.state), ["state sequence: missing"]),
    "uuid gone": (lambda edit: edit.delete(b"uuid", edit.tables.state), ["state uuid: missing"]),
    "uuid flipped": (flip_row("state", 1), ["state uuid: wrong checksum"]),
    "other uuid": (lambda edit: edit.set_uuid("x"), ["VERSION is that of store [0-9a-f-]+, the index of x"]),
    "state unknown": (extra_row("state", b"new"), ["state new: unknown"]),
    "object flipped": (flip_row("objects", 0), [r"object bucket/Schl\\xfcssel\\n\\u2603: wrong checksum"]),
    "object under another key": (move_object, ["object bucket/emptyy: wrong checksum"]),
    "object with two versions": (add_version, ["object bucket/empty: has more than one version"]),
    "object of no bucket": (add_object(999, b"key"), ["object #999/key: there is no such bucket"]),
    "object without a key": (add_object(1, b""), ["object bucket/: not a key"]),
    "object with a key that is no text": (add_object(1, b"\xff"), [r"object bucket/\\\\xff: not a key"]),
    "object with a long key": (add_object(1, b"k" * 490), []),
    "object with a number above the counter": (
        add_object(1, b"key", 999),
        ["object bucket/key: number 999 was never given, the last one is [0-9]+"],
    ),
    "object of another version": (
        on_object("empty", sequence=3),
        ["object bucket/empty: its record is that of version 3"],
    ),
    "object without an ETag": (on_object("empty", etag="x\n"), [r"object bucket/empty: x\\n is not an ETag"]),
    "object of another size": (
        on_object("file", size=1),
        ["object bucket/file: its extents do not make its 1 bytes"],
    ),
    "extent beyond its file": (
        on_extent("file", offset=1),
        [f"object bucket/file: extent {HEX} makes no sense"],
    ),
    "extent of no kind": (on_extent("file", kind=2), [f"object bucket/file: extent {HEX} makes no sense"]),
    "extent with another digest": (
        on_extent("file", digest=1),
        [f"object bucket/file: file {HEX}: wrong footer"],
    ),
    "layout gone": (lose_layout, ["object bucket/parts: its layout is missing"]),
    "layout flipped": (flip_row("layouts"), ["object bucket/parts: layout: wrong checksum"]),
    "layout of parts that do not fit": (spoil_layout, ["object bucket/parts: its parts do not make it"]),
    "layout of nothing": (
        extra_row("layouts", number(2), 1),
        ["layout of object version 2: belongs to no object"],
    ),
    "inline gone": (lose_inline, [f"object bucket/inline: inline bytes {HEX}: missing"]),
    "inline short": (shorten_inline, [f"object bucket/inline: inline bytes {HEX}: 4 bytes, not 5"]),
    "inline used twice": (
        share_inline,
        [f"inline bytes {HEX}: used 2 times", f"inline bytes {HEX}: nothing uses them"],
    ),
    "inline unused": (extra_row("inline", number(2)), [f"inline bytes {HEX}: nothing uses them"]),
    "inline of no number": (
        extra_row("inline", number(LAST)),
        [f"inline bytes {HEX}: number {LAST} was never given, the last one is [0-9]+", "inline .* uses them"],
    ),
    "refs flipped": (flip_row("refs"), [f"refs of file {HEX}: wrong checksum"]),
    "refs too low": (count_wrongly, [f"file {HEX}: 4 extents name it, refs says 2"]),
    "refs gone": (forget_file, [f"file {HEX}: 4 extents name it, refs says 0"]),
    "refs of nothing": (extra_row("refs", NOBODY, 1), [f"file {HEX}: 0 extents name it, refs says 1"]),
    "upload flipped": (flip_row("uploads"), ["upload [0-9]+ of bucket/under way: wrong checksum"]),
    "upload gone": (drop_row("uploads"), ["part (1|2|10000) of upload [0-9]+: there is no such upload"] * 3),
    "upload twice": (
        repeat_upload,
        ["upload [0-9]+ of bucket/zzz: its number is that of another upload"],
    ),
    "part flipped": (flip_row("parts"), ["part 1 of upload [0-9]+: wrong checksum"]),
    "part of another size": (
        on_row("parts", PART, size=7),
        ["part 1 of upload [0-9]+: its extents do not make its 7 bytes"],
    ),
    "part zero": (
        lambda edit: extra_row("parts", row(edit, "parts")[0][:8] + b"\0\0", [0, "0" * 32, 0, []])(edit),
        ["part 0 of upload [0-9]+: no part number"],
    ),
    "completed flipped": (flip_row("completed"), ["completed upload [0-9]+: wrong checksum"]),
    "completed gone": (drop_row("completed"), [f"answered {HEX}: no such upload was completed"]),
    "completed and under way": (complete_under_way, ["completed upload [0-9]+: it is under way too"]),
    "answered gone": (
        drop_row("answered"),
        ["completed upload [0-9]+: nothing says when it may be forgotten"],
    ),
    "answered twice": (answer_twice, [f"answered {HEX}: the upload was completed at another time too"]),
    "gc flipped": (flip_row("gc", -1), [f"gc of {HEX}: wrong checksum"]),
    "gc of what is used": (collect_used_file, [f"gc of {HEX}: the file is in use"]),
    "gc of inline bytes that are gone": (
        collect_lost_inline,
        [f"gc of {HEX}: there are no such inline bytes"],
    ),
    "gc twice": (collect_twice, [f"gc of {HEX}: it is there twice"]),
    "gc of nothing": (
        extra_row("gc", number(1) + number(1) + b"x", b""),
        [f"gc {HEX}: names nothing"],
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows(damaged, case):
    change, expected = ROWS[case]
    with editing(damaged) as edit:
        change(edit)
    # A file that refs does not name is one that nothing uses.
    assert_found(damaged, expected, notes=[ORPHAN] if case == "refs gone" else [])
