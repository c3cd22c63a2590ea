"""Bits that change on the disk: never a wrong byte in a whole answer, and nothing damaged goes unnoticed.

Only bytes that a live object uses are changed: data, block tables, trailers and CRCs of its files; its inline
bytes, its record and its layout in the index. Reads are those of the backend and of a real server, with the
store open during the change, or closed. Changes of the index's own pages are those of ``pages``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from crash import pages
from crash.probe import BackendReader, Damage, Probe, ServerReader
from crash.shelf import BLOCK, BUCKET, Held, Interval, Shelf, quiet
from crash.suite import Outcome, Run, Suite
from s3shim.backends.local import files
from s3shim.backends.local.fsck import check
from s3shim.backends.local.layout import meta_path
from s3shim.backends.local.records import Extent
from s3shim.backends.local.tables import View
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import ObjectMeta, ObjectRef
from tests.contract.bodies import code_of
from tests.contract.uploads import begin, complete, copy_part, upload
from tests.server.process import serve
from tests.wire.client import LiveClient

FOOTER = 48  # bytes of trailer and CRC
_END = 1 << 62


@dataclass(slots=True)
class Target:
    """A byte in use: its places in the file ``path``, what fsck must name one of, what it breaks."""

    path: Path
    places: list[int]
    names: list[str]
    damage: Damage

    @contextmanager
    def flipped(self, bit: int) -> Iterator[None]:
        """Change one bit of the byte, in every copy that the file holds."""
        self._flip(bit)
        try:
            yield
        finally:
            self._flip(bit)

    def _flip(self, bit: int) -> None:
        for place in self.places:
            with writable(self.path) as fd:
                (byte,) = os.pread(fd, 1, place)
                os.pwrite(fd, bytes([byte ^ 1 << bit]), place)


@contextmanager
def writable(path: Path) -> Iterator[int]:
    """Give a descriptor of a file that is read-only otherwise."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    fd = os.open(path, os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)
        path.chmod(mode)


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Let a file have another content for a while."""
    original = path.read_bytes()
    for data in (content, None):
        with writable(path) as fd:
            os.ftruncate(fd, 0)
            os.pwrite(fd, original if data is None else data, 0)
        if data is not None:
            yield


class Targets:
    """Chooses bytes in use of a shelf, whose ``index`` is the content of its data.mdb."""

    def __init__(self, shelf: Shelf, random: Random) -> None:
        self._shelf = shelf
        self._random = random
        self._files = sorted(shelf.files().items())
        self._inline = sorted(key for key, rows in shelf.rows.items() if rows.inline and "many" not in key)
        self._laid = sorted(key for key, rows in shelf.rows.items() if rows.layout)
        self._keys = sorted(key for key in shelf.held if "many" not in key)
        self.index = meta_path(shelf.root) / "data.mdb"

    def footers(self) -> Iterator[Target]:
        """Yield every byte of the footers of two files."""
        for path, extent in self._files[:2]:
            for place in range(extent.file_length, path.stat().st_size):
                yield self._of_file(path, extent, place)

    def in_file(self) -> Target:
        """Return a byte of a file, one in three times of its footer."""
        path, extent = self._random.choice(self._files)
        if self._random.randrange(3):
            return self._of_file(path, extent, self._used(extent))
        return self._of_file(path, extent, self._random.randrange(extent.file_length, path.stat().st_size))

    def in_index(self) -> Target:
        """Return a byte of a record, of a layout, or of inline bytes."""
        kind = self._random.choice(["record", "layout", "inline"])
        if kind == "record":
            key = self._random.choice(self._keys)
            whole = [(0, len(self._shelf.held[key].data))]
            return self._of_index(
                self._shelf.rows[key].record, key, Damage(f"record of {key}", {key: whole}, {key})
            )
        if kind == "layout":
            key = self._random.choice(self._laid)
            whole = [(0, len(self._shelf.held[key].data))]
            layout = self._shelf.rows[key].layout
            assert layout is not None
            return self._of_index(layout, key, Damage(f"layout of {key}", {key: whole}))
        key = self._random.choice(self._inline)
        _, data = self._random.choice(sorted(self._shelf.rows[key].inline.items()))
        # Every copy of these bytes is changed, also those that are objects of their own.
        broken: dict[str, list[Interval]] = {}
        for rows in self._shelf.rows.values():
            for extent_id, other in rows.inline.items():
                if data in other:
                    broken.update(self._shelf.damaged_by(extent_id, 0, _END))
        return self._of_index(data, key, Damage(f"inline bytes of {key}", broken))

    def _used(self, extent: Extent) -> int:
        while True:
            place = self._random.randrange(extent.file_length)
            block = place // BLOCK * BLOCK
            if self._shelf.damaged_by(extent.id, block, block + BLOCK):
                return place

    def _of_file(self, path: Path, extent: Extent, place: int) -> Target:
        block = (place // BLOCK * BLOCK, place // BLOCK * BLOCK + BLOCK)
        first, last = block if place < extent.file_length else (0, _END)
        broken = self._shelf.damaged_by(extent.id, first, last)
        return Target(path, [place], [path.name], Damage(f"{path.name} at {place}", broken))

    def _of_index(self, value: bytes, key: str, damage: Damage) -> Target:
        place = self._random.randrange(len(value))
        found = list(_places(self.index.read_bytes(), value))
        assert found, damage.label
        damage.label += f" at {place}"
        return Target(self.index, [start + place for start in found], [f"{BUCKET}/{key}"], damage)


def _places(content: bytes, value: bytes) -> Iterator[int]:
    start = content.find(value)
    while start >= 0:
        yield start
        start = content.find(value, start + 1)


def run(run: Run) -> Outcome:
    """Run ``rounds`` flips, then the damage to whole files, the pages of the index, and the controls."""
    outcome = Outcome()
    for name in ("flips", "reads", "wrong bytes", "undetected"):
        outcome.counts[name] = 0
    with quiet():
        _run(run, outcome)
    return outcome


def _run(run: Run, outcome: Outcome) -> None:
    counts = outcome.counts
    random = Random(run.seed)
    shelf = Shelf(run.work / "store", random)
    shelf.fill(200)
    with shelf.open() as backend:
        Probe(shelf, BackendReader(backend), outcome, random).look_at_all()
    targets = Targets(shelf, random)
    closed, served = run.rounds // 8, run.rounds // 4
    _flip_open(shelf, targets, outcome, random, run.rounds - closed - served)
    run.say(f"{counts['flips']} flips with the store open")
    _flip_closed(shelf, targets, outcome, random, closed)
    run.say(f"{counts['flips']} flips with those of the closed store")
    _flip_served(shelf, targets, outcome, random, served, run.work)
    run.say(f"{counts['flips']} flips with those under a server")
    _damage_files(shelf, outcome, random, min(200, run.rounds // 4))
    _share_damage(shelf, targets, outcome)
    _check_controls(shelf, targets, outcome, random)
    outcome.check(check(shelf.root, deep=True).problems == [], "the store is not as it was before")
    pages.run(run, shelf, max(24, run.rounds // 4), outcome)


def _flip_open(shelf: Shelf, targets: Targets, outcome: Outcome, random: Random, rounds: int) -> None:
    with shelf.open() as backend:
        probe = Probe(shelf, BackendReader(backend), outcome, random)
        footers = targets.footers()
        for _ in range(rounds):
            target = next(footers, None) or targets.in_file()
            with target.flipped(random.randrange(8)):
                probe.look(target.damage)
            outcome.counts["flips"] += 1
        probe.look_at_all()


def _flip_closed(shelf: Shelf, targets: Targets, outcome: Outcome, random: Random, rounds: int) -> None:
    for number in range(rounds):
        target = targets.in_file() if number % 3 == 0 else targets.in_index()
        with target.flipped(random.randrange(8)):
            problems = check(shelf.root, deep=True).problems
            named = any(name in problem for name in target.names for problem in problems)
            outcome.check(named, f"{target.damage.label}: fsck says {problems}")
            with shelf.open() as backend:
                Probe(shelf, BackendReader(backend), outcome, random).look(target.damage)
        outcome.counts["flips"] += 1
        outcome.counts["named by fsck"] += named


def _flip_served(
    shelf: Shelf, targets: Targets, outcome: Outcome, random: Random, rounds: int, work: Path
) -> None:
    server = serve(work, "--data", str(shelf.root))
    try:
        client = LiveClient(server.host, server.port, server.shown("access key"), server.shown("secret key"))
        probe = Probe(shelf, ServerReader(client), outcome, random)
        for number in range(rounds):
            target = targets.in_index() if number % 2 else targets.in_file()
            with target.flipped(random.randrange(8)):
                probe.look(target.damage)
            outcome.counts["flips"] += 1
        probe.look_at_all()
        client.close()
    finally:
        outcome.check(server.stop() == 0, "the server did not end well")


def _damage_files(shelf: Shelf, outcome: Outcome, random: Random, truncations: int) -> None:
    # Each file as a whole: cut, longer, with a block of zeros, another one's content.
    contents = {path: path.read_bytes() for path in sorted(shelf.files())}
    with shelf.open() as backend:
        probe = Probe(shelf, BackendReader(backend), outcome, random)
        for path, label, content, start, stop in _contents(shelf, contents, random, truncations):
            broken = shelf.damaged_by(bytes.fromhex(path.name), start, stop)
            with replaced(path, content):
                probe.look(Damage(f"{path.name}: {label}", broken))
            outcome.counts["files cut, swapped or changed"] += 1
        probe.look_at_all()


def _contents(
    shelf: Shelf, contents: dict[Path, bytes], random: Random, truncations: int
) -> Iterator[tuple[Path, str, bytes, int, int]]:
    used = shelf.files()
    for number in range(truncations):
        path = random.choice(list(contents))
        length = number if number < 5 else random.randrange(len(contents[path]))
        yield path, f"cut at {length}", contents[path][:length], 0, _END
    unused = [path.read_bytes() for path in _names(shelf) if path not in used]
    for path, content in contents.items():
        for extra in (b"\0", content[-FOOTER:], content):
            yield path, f"longer by {len(extra)}", content + extra, 0, _END
        yield path, "upside down", content[::-1], 0, _END
        for other in [*contents.values(), *unused]:
            if other != content:
                yield path, "another's content", other, 0, _END
        length = used[path].file_length
        for start in range(0, length, BLOCK):
            size = min(BLOCK, length - start)
            zeros = content[:start] + bytes(size) + content[start + size :]
            yield path, f"zeros from {start}", zeros, start, start + size


def _share_damage(shelf: Shelf, targets: Targets, outcome: Outcome) -> None:
    # A copy names the same file, so it has the same damage; inline bytes are read, so there is no copy.
    extent = shelf.pieces["file/one"][0].extent
    target = Target(shelf.file(extent), [5], [], Damage("file/one", {}))
    with shelf.open() as backend:
        reader = BackendReader(backend)
        ref = begin(backend, "joined", bucket=BUCKET)
        before = set(_names(shelf))
        part = upload(backend, ref, 1, shelf.bytes(3000))
        (own,) = set(_names(shelf)) - before
        copy = Copy(ObjectRef(BUCKET, "file/one"))
        with target.flipped(0), Target(own, [7], [], Damage("a part", {})).flipped(0):
            backend.copy_object(copy, ObjectRef(BUCKET, "copied"), NO_CONDITIONS)
            complete(backend, ref, [part, copy_part(backend, ref, 2, "file/one", bucket=BUCKET)])
            for key in ("copied", "joined"):
                got = reader.read(key)
                outcome.check(got.code == "InternalError", f"damaged {key} can be read: {got}")
                outcome.counts["copies and completions of damage"] += 1
        for key in ("copied", "joined"):
            sound = reader.read(key)
            outcome.check(sound.whole, f"{key} is damaged itself")
            meta = shelf.held["file/one"].meta if key == "copied" else ObjectMeta()
            shelf.gone[key] = Held(sound.data, meta)
            backend.delete_object(ObjectRef(BUCKET, key), NO_CONDITIONS)
    ((_, data),) = shelf.rows["inline/small"].inline.items()
    places = list(_places(targets.index.read_bytes(), data))
    with Target(targets.index, places, [], Damage("inline", {})).flipped(3), shelf.open() as backend:
        copy = Copy(ObjectRef(BUCKET, "inline/small"))
        code = code_of(backend.copy_object, copy, ObjectRef(BUCKET, "copied"), NO_CONDITIONS)
        outcome.check(code is Code.InternalError, f"a copy of damaged inline bytes: {code}")
        outcome.counts["copies and completions of damage"] += 1


def _names(shelf: Shelf) -> Iterator[Path]:
    return (path for path in (shelf.root / "blobs").rglob("*") if path.is_file())


# -- controls -------------------------------------------------------------------------------------


def _blocks_unverified(self: Any, start: int, stop: int) -> Iterator[bytes]:
    yield os.pread(self._fd, stop - start, start)


def _footer_unchecked(fd: int, extent: Extent) -> tuple[int, bytes]:
    footer = os.pread(fd, os.fstat(fd).st_size, extent.file_length)
    return BLOCK, footer[:-FOOTER]


def _inline_unverified(self: View, extent: Extent) -> bytes:
    data = self.txn.get(extent.id, db=self.tables.inline)
    assert data is not None
    return data


def _check_controls(shelf: Shelf, targets: Targets, outcome: Outcome, random: Random) -> None:
    def in_data() -> Target:
        return next(target for target in iter(targets.in_file, None) if _is_in_data(shelf, target))

    def in_trailer() -> Target:
        return list(targets.footers())[-FOOTER // 2]

    def in_inline() -> Target:
        return next(
            target for target in iter(targets.in_index, None) if "inline bytes" in target.damage.label
        )

    broken: list[tuple[Any, str, Callable[..., Any], Callable[[], Target]]] = [
        (files.BlobFile, "blocks", _blocks_unverified, in_data),
        (files, "read_footer", _footer_unchecked, in_trailer),
        (View, "inline_bytes", _inline_unverified, in_inline),
    ]
    for owner, name, replacement, choose in broken:
        seen = Outcome()
        target = choose()
        with target.flipped(1), patch.object(owner, name, replacement), shelf.open() as backend:
            Probe(shelf, BackendReader(backend), seen, random).look(target.damage)
        caught = seen.counts["undetected"] + seen.counts["wrong bytes"] > 0
        outcome.check(caught, f"control: {replacement.__name__} is not caught")
        outcome.counts["controls caught"] += caught


def _is_in_data(shelf: Shelf, target: Target) -> bool:
    return target.places[0] < shelf.files()[target.path].file_length


SUITE = Suite("flips", 2000, run)
