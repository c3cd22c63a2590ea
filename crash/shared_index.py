"""One index in several processes: its map grows, its readers die or stop, its pages are used again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

from crash.live import clean
from crash.nursery import Channel, Nursery
from crash.suite import Outcome
from s3shim.backends.local import LocalBackend
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery
from tests.contract.bodies import code_of, get, put

PROCESSES = 4
PUTS = 200  # of each process
SMALL_MAP = 1 << 20
OBJECTS, SIZE = 200, 20_000
CHURN = 4_000
SLOTS, MOST_SLOTS = 8, 1000
DEAD = 40  # readers of one process
COPIED = 100_000  # bytes of pages that a small change copies at most
MOST_OF_LIVE = 3.0

Settings = dict[str, Any]


@contextmanager
def opened(root: Path, **settings: Any) -> Any:
    """Give a started backend with a bucket."""
    backend = LocalBackend(root, **settings)
    backend.start()
    if code_of(backend.head_bucket, "bucket"):
        backend.create_bucket(BucketInfo("bucket", "main", 1))
    try:
        yield backend
    finally:
        backend.close()


def grow(channel: Channel, root: Path, name: str, count: int) -> None:
    """Put objects in the index until told that all have, then say what is there."""
    with opened(root, map_size=SMALL_MAP) as backend:
        channel.send("ready")
        channel.receive()
        for number in range(count):
            put(backend, f"{name}/{number}", name.encode() * 10_000)
            if number % 10 == 0:
                assert get(backend, f"{name}/{number // 2}") == name.encode() * 10_000
        channel.send("done")
        channel.receive()
        listed = 0
        for other in range(PROCESSES):
            listed += len(backend.list_objects("bucket", ListQuery(prefix=f"{other}/")).items)
        channel.send((listed, backend.store.index.map_size))
        channel.receive()


def map_growth(outcome: Outcome, place: Path, share: float, _: random.Random) -> None:
    """All processes write into a map that is much too small; each of them goes on."""
    root = place / "store"
    count = max(100, int(PUTS * share))
    with opened(root, map_size=SMALL_MAP):
        pass
    with Nursery() as nursery:
        children = [nursery.start(grow, root, str(number), count) for number in range(PROCESSES)]
        for said in ("ready", "done"):
            for child in children:
                outcome.check(child.channel.receive() == said, "a writer failed while the map grew")
            for child in children:
                child.channel.send("go")
        found = [child.channel.receive() for child in children]
        for child in children:
            child.channel.send("go")
        outcome.check([child.wait() for child in children] == [0] * PROCESSES, "a process failed")
    needed = PROCESSES * count * 10_000
    outcome.check({listed for listed, _ in found} == {PROCESSES * count}, f"listed {found}")
    outcome.check(min(size for _, size in found) >= needed, f"{needed} bytes are in maps of {found}")
    outcome.counts["puts while the map grew"] += PROCESSES * count
    outcome.counts["doublings of the map"] += (found[0][1] // SMALL_MAP).bit_length() - 1
    clean(outcome, root)


def full_reader_table(outcome: Outcome, place: Path, share: float, _: random.Random) -> None:
    """More readers at once than there are slots: some are refused, all are served later."""
    root = place / "store"
    with opened(root, readers=SLOTS) as backend:
        put(backend, "key", b"key")
        refused = 0
        for _ in range(max(2, int(10 * share))):
            with ExitStack() as stack:
                open_now = fill(stack, backend)
                outcome.check(SLOTS <= open_now < MOST_SLOTS, f"{open_now} readers at once")
                code = code_of(get, backend, "key")
                outcome.check(code is Code.ServiceUnavailable, f"one reader more got {code}")
                refused += code is Code.ServiceUnavailable
            outcome.check(get(backend, "key") == b"key", "no read after the readers had left")
            put(backend, "key", b"key")
        barrier, wrong = Barrier(4 * SLOTS), []

        def read() -> None:
            barrier.wait()
            for _ in range(100):
                code = code_of(get, backend, "key")
                if code not in (None, Code.ServiceUnavailable):
                    wrong.append(code)

        threads = [Thread(target=read) for _ in range(4 * SLOTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcome.check(wrong == [], f"readers got {wrong[:5]}")
        outcome.check(get(backend, "key") == b"key", "no read after many readers")
    outcome.counts["reads refused for want of a slot"] += refused
    clean(outcome, root)


def fill(stack: ExitStack, backend: LocalBackend) -> int:
    """Read until no slot is left, in ``stack``; return how often. LMDB has more than asked for."""
    for count in range(MOST_SLOTS):
        try:
            stack.enter_context(backend.store.index.read())
        except S3Error:
            return count
    return MOST_SLOTS


def hold(channel: Channel, root: Path, count: int) -> None:
    """Read from now on, ``count`` times at once, and never end."""
    with opened(root, readers=SLOTS) as backend, ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(backend.store.index.read())
        channel.send("reads")
        channel.receive()


def dead_readers(outcome: Outcome, place: Path, share: float, _: random.Random) -> None:
    """Many more readers die than there are slots; their slots are freed."""
    root = place / "store"
    count = max(6, int(40 * share))
    with opened(root, readers=SLOTS):
        pass
    with Nursery() as nursery:
        keeper = nursery.start(freeing, root)
        keeper.channel.receive()
        for _ in range(count):
            child = nursery.start(hold, root, DEAD)
            outcome.check(child.channel.receive() == "reads", "no slot for another reader")
            child.end(signal.SIGKILL)
            keeper.channel.send("free")
            outcome.check(keeper.channel.receive() >= DEAD, "the slots of a dead reader are not freed")
        keeper.channel.send("end")
        outcome.check(keeper.wait() == 0, "a process failed")
    outcome.counts["dead readers"] += DEAD * count
    clean(outcome, root)


def freeing(channel: Channel, root: Path) -> None:
    """Free slots as often as told; say how many each time."""
    with opened(root, readers=SLOTS) as backend:
        channel.send("ready")
        while channel.receive() == "free":
            channel.send(backend.store.index.check_readers())


def churn(channel: Channel, root: Path, seed: int) -> None:
    """Overwrite, delete and reclaim small objects as often as told; say how large the file is."""
    dice = random.Random(seed)
    with opened(root, grace=0) as backend:
        channel.send("ready")
        while count := channel.receive():
            # As each worker does once a minute, and one that takes the place of a dead one at once.
            backend.store.index.check_readers()
            for number in range(count):
                put(backend, f"{dice.randrange(OBJECTS)}", bytes([number % 256]) * SIZE)
                if number % 50 == 49:
                    backend.store.reclaim()
            channel.send((root / "meta" / "data.mdb").stat().st_size)


def churned_pages(outcome: Outcome, place: Path, share: float, dice: random.Random) -> None:
    """The file grows while a stopped reader pins pages, not any more after its death, and stays in bounds."""
    root = place / "store"
    count = max(400, int(CHURN * share))
    with opened(root):
        pass
    with Nursery() as nursery:
        writer = nursery.start(churn, root, dice.getrandbits(32))
        writer.channel.receive()
        sizes = []
        for phase in ("alone", "pinned", "freed", "freed"):
            if phase == "pinned":
                reader = nursery.start(hold, root, 1)
                reader.channel.receive()
                os.kill(reader.pid, signal.SIGSTOP)
            writer.channel.send(count)
            sizes.append(writer.channel.receive())
            if phase == "pinned":
                reader.end(signal.SIGKILL)
                time.sleep(0.1)
        writer.channel.send(0)
        outcome.check(writer.wait() == 0, "a process failed")
    alone, pinned, freed, later = sizes
    live = OBJECTS * SIZE
    outcome.check(alone <= MOST_OF_LIVE * live, f"{alone} bytes for {live}")
    written = count * (SIZE + COPIED)
    held = alone < pinned <= alone + written
    outcome.check(held, f"{pinned} bytes behind a stopped reader, {written} were written")
    outcome.check(later <= freed <= pinned * 1.1, f"the file grows on after the reader's death: {sizes}")
    outcome.counts["overwrites of small objects"] += 4 * count
    outcome.counts["percent of the live bytes in the index"] = round(100 * alone / live)
    outcome.counts["percent with a stopped reader"] = round(100 * pinned / live)
    outcome.counts["percent after its death"] = round(100 * later / live)
    clean(outcome, root)


CASES: tuple[Callable[[Outcome, Path, float, random.Random], None], ...] = (
    map_growth,
    full_reader_table,
    dead_readers,
    churned_pages,
)
