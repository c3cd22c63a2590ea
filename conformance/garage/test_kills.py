"""Garage killed again and again under load: what was acknowledged is there, the rest whole or not there."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from conformance.garage.gauges import answers, seconds_until
from conformance.garage.load import Client
from conformance.garage.node import Garage
from conformance.garage.scene import left_after_sweep, listed
from tests.server.process import Server, connections, workers

ROUNDS = 10
CLIENTS = 6
BUCKET = "kills"
SHORTEST, LONGEST = 0.3, 1.5
RECOVERY = 5.0


def test_kills_under_load(
    node: Garage, server: Server, through: Any, behind: Any, tmp_path: Path, say: Any
) -> None:
    seed = random.SystemRandom().randrange(1, 1 << 32)
    dice = random.Random(seed)
    through.create_bucket(Bucket=BUCKET)
    through.put_object(Bucket=BUCKET, Key="probe", Body=b"probe")
    clients = [
        Client(through, BUCKET, f"client-{number}", random.Random(dice.random())) for number in range(CLIENTS)
    ]
    slowest = 0.0
    for _ in range(ROUNDS):
        slowest = max(slowest, killed_once(node, through, behind, clients, dice))
        for client in clients:
            for key in client.keys:
                client.look(through, key)
                client.look(behind, key)
        assert [line for client in clients for line in client.wrong] == [], f"seed {seed}"
    for s3 in (through, behind):
        names = {entry["Key"] for entry in listed(s3, BUCKET)}
        assert names == {"probe"} | {
            key for client in clients for key, held in client.held.items() if held != {None}
        }
    (worker,) = workers(server)
    open_ones = connections(worker, node.port)
    # A request needs two of them at most: a part on its way, and the records beside it.
    assert sum(open_ones.values()) <= 2 * CLIENTS
    assert left_after_sweep(node, tmp_path / "sweep") == []
    counts = sum((client.counts for client in clients), Counter())
    say(f"{ROUNDS} kills, seed {seed}: {dict(counts)}; connections at the end: {open_ones}")
    say(f"{ROUNDS} kills: s3shim served at most {slowest:.2f} s after Garage did")
    assert counts["done"] > 10 * ROUNDS
    assert counts["in doubt"] >= ROUNDS
    caught(clients[0], behind)


def caught(client: Client, behind: Any) -> None:
    """Control: an acknowledged object that is lost, or is another one, is noticed."""
    key = next(key for key, held in client.held.items() if held != {None})
    behind.put_object(Bucket=BUCKET, Key=key, Body=b"another")
    client.look(behind, key)
    behind.delete_object(Bucket=BUCKET, Key=key)
    client.look(behind, key)
    assert len(client.wrong) == 2


def killed_once(node: Garage, through: Any, behind: Any, clients: list[Client], dice: random.Random) -> float:
    """Let the clients work while Garage dies and comes back; return how much later than it s3shim served."""
    ended = Event()
    with ThreadPoolExecutor(len(clients)) as pool:
        work = [pool.submit(client.work, ended) for client in clients]
        try:
            time.sleep(dice.uniform(SHORTEST, LONGEST))
            node.kill()
            time.sleep(dice.uniform(SHORTEST, LONGEST))
            node.start()
            seconds_until(lambda: answers(behind, Bucket=BUCKET, Key="probe"))
            late = seconds_until(lambda: answers(through, Bucket=BUCKET, Key="probe"))
            assert late < RECOVERY
            time.sleep(dice.uniform(SHORTEST, LONGEST))
        finally:
            ended.set()
        for one in work:
            one.result()
    return late
