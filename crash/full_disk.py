"""A disk that is full, read-only or broken under a running server, and a process without descriptors.

Reads and deletes go on, what adds data is refused with the right code, nothing is left of it, and with the
fault gone the server writes again without a restart.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crash import mounts
from crash.live import Live, descriptors, live
from crash.shop import BROKEN, FULL, LARGE, OFF, SLOW, SMALL, shop
from crash.suite import Outcome, Run, Suite
from crash.tracing import Strace
from tests.server.process import refused

COUNTS = ("cases", "reads", "deletes", "refused writes", "fsck clean")

FLAGS = ("--workers", "2", "--threads", "4")
ALONE = ("--workers", "1", "--threads", "4")  # who serves is known, and has started


# -- full -------------------------------------------------------------------------------------


def full(outcome: Outcome, disk: Path, where: str) -> None:
    """Fill a small disk, delete, write again; then the same where another program has taken every byte."""
    with live(outcome, disk / "data", *FLAGS) as running, shop(outcome, running, where) as client:
        for _ in range(2):
            client.fill()
            client.refuse(FULL)
            client.read()
            client.ready("200")
            client.delete()
            client.work()
            client.begin()
        filler = disk / "filler"
        _take_all(filler)
        client.where = f"{where}, not a byte left"
        client.refuse(FULL)
        client.read()
        client.delete(FULL)
        filler.unlink()
        client.where = f"{where}, freed"
        client.work()


def full_of_small(outcome: Outcome, disk: Path, where: str) -> None:
    """Small objects alone fill a disk; the index does not shrink, but takes new ones for those deleted."""
    with live(outcome, disk / "data", *FLAGS) as running, shop(outcome, running, where) as client:
        for key in ("large", "small"):
            client.expect("DeleteObject", client.ask("DELETE", f"/bucket/{key}"), "204")
        client.stock.clear()
        client.put("small", b"1")
        for _ in range(2):
            kept = len(client.stock)
            for number in range(1000):
                answer = client.put(f"fill/{number}", SMALL)
                if answer != "200":
                    break
            client.expect("PutObject", answer, FULL)
            client.outcome.check(len(client.stock) > kept + 100, f"{where}: {len(client.stock)} fit in")
            client.read()
            client.delete("404 NoSuchUpload")


def _take_all(filler: Path) -> None:
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def no_inodes(outcome: Outcome, disk: Path, where: str) -> None:
    """Without inodes large objects are refused, small ones need none."""
    with live(outcome, disk / "data", *FLAGS) as running, shop(outcome, running, where) as client:
        for number in range(400):
            answer = client.put(f"fill/{number}", LARGE)
            if answer != "200":
                break
        client.expect("PutObject without inodes", answer, FULL)
        client.expect(
            "UploadPart without inodes",
            client.ask("PUT", f"/bucket/parts?partNumber=2&uploadId={client.upload}", LARGE),
            FULL,
        )
        client.expect("PutObject, small", client.put("tiny", SMALL), "200")
        client.read()
        client.delete()
        client.work()


def file_size(outcome: Outcome, disk: Path, where: str) -> None:
    """No file may be larger than a limit."""
    with live(outcome, disk / "data", *ALONE) as running, shop(outcome, running, where) as client:
        workers = running.workers()
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in workers}
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, limits[pid][1]))
        client.expect("PutObject beyond the limit", client.ask("PUT", "/bucket/new", LARGE), FULL)
        client.read()
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits[pid])
        client.work()


# -- read-only and broken ---------------------------------------------------------------------


def read_only(outcome: Outcome, work: Path, where: str) -> None:
    """The file system turns read-only, and cannot be mounted for writing again before it is unmounted."""
    path, image = work / "ext4-ro", work / "ext4-ro.img"
    with mounts.ext4(path, image, 64 << 20):
        data = path / "data"
        with unchecked(Live(data, *ALONE)) as running, shop(outcome, running, where) as client:
            mounts.fail(path)
            client.refuse(OFF)
            client.expect("DeleteObject", client.ask("DELETE", "/bucket/small"), OFF)
            client.read()
            client.ready(OFF)
        mounts.unmount(path)
        mounts.mount_image(path, image)
        mounts.call("mount", "-o", "remount,ro", str(path))
        arguments = ["-m", "s3shim", "serve", "--allow-root", "--listen", "127.0.0.1:0", "--data", str(data)]
        code, text = refused(arguments)
        client.expect(
            "a start on a read-only file system", f"{code}, {text.count(chr(10))} line", "78, 1 line"
        )
        mounts.call("mount", "-o", "remount,rw", str(path))
        with (
            live(outcome, data, *FLAGS) as running,
            shop(outcome, running, f"{where}, mounted again", client.stock) as again,
        ):
            again.work()


def read_only_for_a_while(outcome: Outcome, work: Path, where: str) -> None:
    """A worker meets a read-only file system for some seconds."""
    with (
        live(outcome, work / "while", *ALONE) as running,
        shop(outcome, running, where) as client,
    ):
        (worker,) = running.workers()
        with Strace(worker, work / "strace-ro", ["fdatasync:error=EROFS"], ["fdatasync"]):
            client.refuse(OFF)
            client.expect("DeleteObject", client.ask("DELETE", "/bucket/small"), OFF)
            client.read()
            client.ready(OFF)
        client.work(seconds=10)


def failing_syncs(outcome: Outcome, work: Path, where: str) -> None:
    """Syncs fail: after three of them nothing is written any more, for a minute."""
    with (
        live(outcome, work / "syncs", *ALONE) as running,
        shop(outcome, running, where) as client,
    ):
        (worker,) = running.workers()
        with Strace(worker, work / "strace-syncs", ["fdatasync:error=EIO"], ["fdatasync"]) as strace:
            for name, data in (("small", SMALL), ("large", LARGE), ("small again", SMALL)):
                client.expect(f"PutObject, {name}", client.ask("PUT", "/bucket/new", data), BROKEN)
            client.refuse(OFF)
            client.read()
            client.ready(OFF)
        tried = sum(call.injected for call in strace.calls())
        client.expect("syncs that were tried", str(tried), "3")
        client.refuse(OFF)
        client.work(seconds=75)


def late_write_back(outcome: Outcome, work: Path, where: str) -> None:
    """What the disk has taken it cannot keep: a loop device on a tmpfs that is full."""
    with mounts.tmpfs(work / "thin", "size=14m") as thin:
        path, image = work / "ext4-thin", thin / "image"
        with mounts.ext4(path, image, 128 << 20):
            data = path / "data"
            with unchecked(Live(data, *FLAGS)) as running, shop(outcome, running, where) as client:
                for number in range(200):
                    answer = client.put(f"fill/{number}", LARGE)
                    if answer != "200":
                        break
                client.expect("PutObject on a disk that keeps nothing", answer, BROKEN, OFF, FULL)
                for _ in range(4):
                    client.put("fill/more", LARGE)
                client.read()
            mounts.unmount(path)
            mounts.call("mount", "-o", "remount,size=200m", str(thin))
            mounts.mount_image(path, image)
            with (
                live(outcome, data, *FLAGS) as running,
                shop(outcome, running, f"{where}, the disk has room", client.stock) as again,
            ):
                again.work()


# -- without descriptors ----------------------------------------------------------------------


def no_descriptors(outcome: Outcome, work: Path, where: str) -> None:
    """A worker may open no more files; what needs none goes on, and no worker dies of it."""
    with live(outcome, work / "descriptors", *ALONE) as running, shop(outcome, running, where) as client:
        workers = running.workers()
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in workers}
        for pid in workers:
            used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
            least = min(set(range(len(used) + 1)) - used)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (least, limits[pid][1]))
        client.expect("GetObject, large", client.ask("GET", "/bucket/large"), SLOW)
        client.expect("GetObject, small", client.ask("GET", "/bucket/small"), "200")
        client.expect("PutObject, small", client.put("new", SMALL), "200")
        client.expect("PutObject, large", client.ask("PUT", "/bucket/new", LARGE), SLOW)
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits[pid])
        client.work()
        client.expect("workers", str(running.workers()), str(workers))
        client.client.close()
        time.sleep(0.2)
        open_files = max(descriptors(pid) for pid in workers)
        client.expect("descriptors", str(open_files < 60), "True")


@contextmanager
def unchecked(running: Live) -> Iterator[Live]:
    """Stop a server whose store cannot be looked at when it ends."""
    try:
        yield running
    finally:
        running.server.stop()


def without_root(run: Run) -> Outcome:
    """Run the stories that need neither root nor strace."""
    outcome = Outcome(Counter(dict.fromkeys(COUNTS, 0)))
    file_size(outcome, run.work, "RLIMIT_FSIZE")
    no_descriptors(outcome, run.work, "RLIMIT_NOFILE")
    return outcome


def run(run: Run) -> Outcome:
    """Run every story ``run.rounds`` times."""
    outcome = Outcome(Counter(dict.fromkeys(COUNTS, 0)))
    for number in range(run.rounds):
        work = run.work / str(number)
        work.mkdir()
        with mounts.tmpfs(work / "tmpfs", "size=10m") as disk:
            full(outcome, disk, "tmpfs of 10 MB")
        with mounts.tmpfs(work / "small", "size=10m") as disk:
            full_of_small(outcome, disk, "tmpfs of 10 MB, small objects")
        run.say("tmpfs of 10 MB")
        with mounts.ext4(work / "ext4", work / "ext4.img", 64 << 20) as disk:
            full(outcome, disk, "ext4 of 64 MB")
        run.say("ext4 of 64 MB")
        with mounts.tmpfs(work / "inodes", "size=100m,nr_inodes=310") as disk:
            no_inodes(outcome, disk, "310 inodes")
        file_size(outcome, work, "RLIMIT_FSIZE")
        for story in (read_only, read_only_for_a_while, failing_syncs, late_write_back, no_descriptors):
            assert story.__doc__
            story(outcome, work, story.__name__.replace("_", " "))
            run.say(story.__name__.replace("_", " "))
    return outcome


SUITE = Suite("full-disk", 1, run, ("root", "strace", "mkfs.ext4"))
