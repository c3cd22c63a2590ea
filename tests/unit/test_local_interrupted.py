"""Uploads that are cut short, and completions and aborts that race over threads and processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep

import pytest

from s3shim.backends.local import LocalBackend, sweep
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import ListQuery, ObjectRef, UploadQuery
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.uploads import begin, complete, part_numbers, upload
from tests.unit.audit import audit, entries
from tests.unit.stores import BLOCK, started

SETTINGS = {"inline_max": 1000, "block_size": BLOCK, "map_size": 1 << 24, "reserve": 0}
PARTS = [pattern(BLOCK + 5, 1), pattern(10, 2), pattern(2 * BLOCK, 3)]


@pytest.fixture
def root(tmp_path):
    """Where the store is."""
    return tmp_path / "store"


@contextmanager
def reopened(root):
    """Give the store again."""
    backend = LocalBackend(root, **SETTINGS)
    backend.start()
    try:
        yield backend
    finally:
        backend.close()


def killed(code, *args, after=0.0):
    """Run a process that kills itself, or kill it some seconds after its first line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PRELUDE + code, *map(str, args)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline():
            sleep(after)
            process.kill()
        assert process.wait(60) == -signal.SIGKILL


PRELUDE = """
import os, signal, sys
from pathlib import Path
from s3shim.backends.local import LocalBackend
from s3shim.model import UploadRef
from tests.contract.bodies import pattern, put
from tests.contract.uploads import begin, complete, copy_part, upload

backend = LocalBackend(Path(sys.argv[1]), inline_max=1000, block_size=4096, map_size=1 << 24, reserve=0)
backend.start()
"""

CUT = """
def killed(change):
    os.kill(os.getpid(), signal.SIGKILL)
backend.store.committer.run = killed
upload(backend, UploadRef("bucket", "key", sys.argv[2]), 1, pattern(5000))
"""

BUSY = """
put(backend, "source", pattern(9000))
number = 0
while True:
    number += 1
    ref = begin(backend, f"{number % 3}")
    parts = [upload(backend, ref, n, pattern(5000, number)) for n in (1, 2)]
    upload(backend, ref, 2, pattern(10))
    parts[1] = upload(backend, ref, 2, pattern(5000, number))
    parts.append(copy_part(backend, ref, 3, "source"))
    upload(backend, ref, 9, pattern(5000))
    if number % 4:
        complete(backend, ref, parts)
    else:
        backend.abort_multipart_upload(ref)
    if number == 1:
        print("busy", flush=True)
    if number % 5 == 0:
        backend.store.reclaim(everything=True)
"""


def test_a_kill_between_the_file_and_the_commit_leaves_only_what_the_sweep_removes(root):
    with started(root, **SETTINGS) as backend:
        ref = begin(backend)
        killed(CUT, root, ref.upload_id)
        assert part_numbers(backend, ref) == []
    assert sweep(root) == 1
    with reopened(root) as backend:
        assert audit(backend, root) == 0
        complete(backend, ref, [upload(backend, ref, 1, PARTS[0])])
        assert get(backend, "key") == PARTS[0]


def test_kills_at_any_time_leave_whole_objects_and_uploads(root):
    with started(root, **SETTINGS):
        pass
    seen = 0
    for number in range(8):
        killed(BUSY, root, after=0.037 * number)
        sweep(root)
        with reopened(root) as backend:
            backend.store.reclaim(everything=True)  # a file may have gone before its row
            audit(backend, root)
            for info in backend.list_objects("bucket", ListQuery()).items:
                data = get(backend, info.key)
                seen += info.key != "source"
                assert len(data) == info.size
                assert data[:5000] == data[5000:10_000] or info.key == "source"
            for info in backend.list_multipart_uploads("bucket", UploadQuery()).items:
                assert info.key in "012"
    assert seen > 0


ROUNDS = 50
RACERS = 4


def _race(root, barrier, results, uploads):
    backend = LocalBackend(root, **SETTINGS)
    backend.start()
    outcomes = []

    def run(number, ref, parts):
        if number % 2:
            return "abort", code_of(backend.abort_multipart_upload, ref)
        return "complete", code_of(complete, backend, ref, parts)

    with ThreadPoolExecutor(RACERS) as pool:
        for ref, parts in uploads:
            barrier.wait(60)
            racing = [pool.submit(run, number, ref, parts) for number in range(RACERS)]
            outcomes.append([future.result() for future in racing])
    results.put([[(kind, code and code.name) for kind, code in outcome] for outcome in outcomes])
    backend.close()


def test_racing_completions_and_aborts_of_two_processes_have_one_outcome(root):
    with started(root, **SETTINGS) as backend:
        uploads = []
        for number in range(ROUNDS):
            ref = begin(backend, f"{number:03}")
            uploads.append((ref, [upload(backend, ref, n, data) for n, data in enumerate(PARTS, 1)]))
        context = multiprocessing.get_context("spawn")
        barrier, results = context.Barrier(2), context.Queue()
        arguments = (root, barrier, results, uploads)
        processes = [context.Process(target=_race, args=arguments) for _ in range(2)]
        for process in processes:
            process.start()
        first, second = (results.get(timeout=100) for _ in processes)
        for process in processes:
            process.join(60)
        results.close()
        results.join_thread()
        completed = 0
        for number in range(ROUNDS):
            outcomes = first[number] + second[number]
            answers = {kind: sorted(str(code) for k, code in outcomes if k == kind) for kind, _ in outcomes}
            gone = code_of(backend.head_object, ObjectRef("bucket", f"{number:03}"), NO_CONDITIONS)
            if gone:
                assert answers["abort"] == ["NoSuchUpload"] * (RACERS - 1) + ["None"]
                assert answers["complete"] == ["NoSuchUpload"] * RACERS
            else:
                completed += 1
                assert answers == {"abort": ["NoSuchUpload"] * RACERS, "complete": ["None"] * RACERS}
                assert get(backend, f"{number:03}") == b"".join(PARTS)
        assert entries(backend, "objects") == entries(backend, "completed") == completed
        assert [entries(backend, table) for table in ("uploads", "parts")] == [0, 0]
        backend.store.reclaim(everything=True)
        assert audit(backend, root) == 2 * completed


def test_expiry_races_with_completions(root):
    with started(root, **SETTINGS) as backend, ThreadPoolExecutor(4) as pool:
        for number in range(30):
            ref = begin(backend, "key")
            part = upload(backend, ref, 1, pattern(5000, number))
            put(backend, "key", b"old")
            racing = [pool.submit(backend.expire_multipart_uploads, 1 << 50) for _ in range(3)]
            racing.append(pool.submit(code_of, complete, backend, ref, [part]))
            *expired, code = [future.result() for future in racing]
            assert (sum(expired), code) in ((1, Code.NoSuchUpload), (0, None))
            assert get(backend, "key") == (b"old" if code else pattern(5000, number))
        backend.store.reclaim(everything=True)
        audit(backend, root)
