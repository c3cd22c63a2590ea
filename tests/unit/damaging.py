"""A store with a bit of everything, ways to damage it, and what fsck must say then."""

import re
from contextlib import contextmanager

import msgspec

from s3shim.backends.local.fsck import check
from s3shim.backends.local.index import open_environment
from s3shim.backends.local.records import key_stem, seal, unseal, version_key
from s3shim.backends.local.tables import Edit, Tables, View
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.model import ObjectMeta, ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import pattern, put
from tests.contract.uploads import begin, complete, copy_part, put_parts, upload
from tests.unit.stores import BLOCK, DATA, started

HEX = "[0-9a-f]+"
SMALL = b"small"
KEYS = ["empty", "inline", "file", "copy", "parts", "sha", "full", "pieces", "Schlüssel\n\u2603"]


def fill(root):
    """Make a store in ``root`` with a bit of everything."""
    with started(root, inline_max=1000, block_size=BLOCK, grace=10**6) as backend:
        put(backend, "empty")
        put(backend, "inline", SMALL)
        put(backend, "file", DATA, meta=ObjectMeta("text/plain", {}, {"a": "b"}, {"tag": "x"}))
        put(backend, "Schlüssel\n\u2603", SMALL)
        backend.copy_object(Copy(ObjectRef("bucket", "file")), ObjectRef("bucket", "copy"), NO_CONDITIONS)
        put_parts(backend, "parts", [DATA, SMALL, DATA[::-1], b""])
        sha = begin(backend, "sha", algorithm="sha256")
        complete(backend, sha, [upload(backend, sha, n, DATA + SMALL * n, "sha256") for n in (1, 2)])
        full = begin(backend, "full", algorithm="crc32", checksum_type="FULL_OBJECT")
        complete(backend, full, [upload(backend, full, n, DATA * n) for n in (1, 3, 7)])
        pieces = begin(backend, "pieces")
        complete(
            backend,
            pieces,
            [
                copy_part(backend, pieces, 1, "file", ByteRange(0, BLOCK)),
                copy_part(backend, pieces, 2, "parts", ByteRange(5, len(DATA) + 50)),
                upload(backend, pieces, 3, DATA),
            ],
        )
        under_way = begin(backend, "under way")
        upload(backend, under_way, 1, pattern(5000))
        upload(backend, under_way, 2, SMALL)
        copy_part(backend, under_way, 10_000, "file", ByteRange(10, 20))
        backend.put_document("bucket", "policy", b"{}")
        put_parts(backend, "gone", [SMALL, DATA, SMALL])
        backend.delete_object(ObjectRef("bucket", "gone"), NO_CONDITIONS)


@contextmanager
def editing(root):
    """Change the index of a closed store."""
    env = open_environment(root / "meta", 1 << 24)
    try:
        tables = Tables(env, create=False)
        with env.begin(write=True) as txn:
            yield Edit(txn, tables)
    finally:
        env.close()


def row(view: View, table, number_of=0):
    """Return a row of a table, by its position."""
    return list(view.rows(getattr(view.tables, table), b""))[number_of]


def record_of(edit, key):
    """Return LMDB key and record of an object."""
    record = edit.current(1, key)
    return version_key(key_stem(1, key), record.sequence), record


def edit_object(edit, key, **fields):
    """Change the record of an object and seal it as if it were right."""
    lmdb_key, record = record_of(edit, key)
    edit.put(lmdb_key, seal(lmdb_key, msgspec.structs.replace(record, **fields)), edit.tables.objects)


def edit_row(edit, table, decoder, change, position=0):
    """Change a record and seal it as if it were right."""
    key, value = row(edit, table, position)
    record = unseal(key, value, decoder)
    edit.put(key, seal(key, change(record) or record), getattr(edit.tables, table))


def on_object(key, **fields):
    """Return a change of an object's record."""
    return lambda edit: edit_object(edit, key, **fields)


def on_row(table, decoder, position=0, **fields):
    """Return a change of the record in a row of a table."""

    def change(edit):
        edit_row(edit, table, decoder, lambda record: msgspec.structs.replace(record, **fields), position)

    return change


def file_of(root, key):
    """Return the path of the file of an object."""
    with editing(root) as edit:
        _, record = record_of(edit, key)
        name = edit.layout(record).extents[0].id.hex()
    return root / "blobs" / name[:2] / name


def assert_found(root, expected, *, deep=False, notes=()):
    """Check a store; it must have these problems, patterns in order, and these notes."""
    report = check(root, deep=deep)
    assert len(report.problems) == len(expected), report.problems
    for problem, pattern_of_it in zip(report.problems, expected, strict=True):
        assert re.fullmatch(pattern_of_it, problem)
    assert report.counts["problems"] == len(expected)
    assert report.notes == list(notes)
