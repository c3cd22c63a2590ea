"""Several processes on one local store, and a fork that must not share it."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.conditions import Conditions, ETagList
from s3shim.model import ListQuery, ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.unit.stores import started


@pytest.fixture
def root(tmp_path):
    """Where the store is to be."""
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    """A started store with an empty bucket, its map as small as that of the other processes."""
    with started(root, inline_max=40_000, map_size=1 << 20) as backend:
        yield backend


FORKED = """
import os, sys
from pathlib import Path
from s3shim.backends.local import LocalBackend
from s3shim.model import BucketInfo

backend = LocalBackend(Path(sys.argv[1]))
backend.start()
backend.create_bucket(BucketInfo("bucket", "main", 1))
calls = [
    lambda: backend.head_bucket("bucket"),
    lambda: backend.create_bucket(BucketInfo("second", "main", 1)),
    lambda: backend.store.reclaim(),
    backend.close,
]
pid = os.fork()
if pid == 0:
    refused = 0
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            refused += "before a fork" in str(error)
    os._exit(refused)
_, status = os.waitpid(pid, 0)
backend.check()
backend.close()
sys.exit(0 if os.waitstatus_to_exitcode(status) == len(calls) else 1)
"""


def test_a_store_is_not_used_across_a_fork(root):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def _race(root, barrier, results, seed):
    backend = LocalBackend(root, inline_max=40_000, map_size=1 << 20)
    backend.start()
    wins = []
    for round_number in range(20):
        size = 10 if round_number % 2 else 50_000
        body = BytesBody(bytes([seed]) * size)
        barrier.wait(60)
        conditions = Conditions(if_none_match=ETagList(any=True))
        code = code_of(
            backend.put_object, ObjectRef("bucket", f"{round_number}"), body, ObjectMeta(), conditions
        )
        wins.append(None if code is None else code.name)
    barrier.wait(60)
    for number in range(40):
        put(backend, f"grown/{seed}/{number}", bytes([seed]) * 30_000)
        put(backend, f"inline/{seed}/{number}", bytes([seed]) * 900)
    barrier.wait(60)
    listed = [info.key for info in backend.list_objects("bucket", ListQuery(prefix="inline/")).items]
    results.put((seed, wins, len(listed)))
    backend.close()


def test_processes_share_a_store(root, backend):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_race, args=(root, barrier, results, seed)) for seed in (1, 2, 3)]
    for process in processes:
        process.start()
    found = {seed: (wins, listed) for seed, wins, listed in (results.get(timeout=60) for _ in processes)}
    for process in processes:
        process.join(60)
    results.close()
    results.join_thread()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [listed for _, listed in found.values()] == [120, 120, 120]
    for number in range(20):
        codes = {seed: wins[number] for seed, (wins, _) in found.items()}
        winners = [seed for seed, code in codes.items() if code is None]
        assert len(winners) == 1
        assert set(codes.values()) == {None, "PreconditionFailed"}
        assert get(backend, f"{number}") == bytes(winners) * (10 if number % 2 else 50_000)
    for seed in (1, 2, 3):
        for number in range(40):
            assert get(backend, f"grown/{seed}/{number}") == bytes([seed]) * 30_000
