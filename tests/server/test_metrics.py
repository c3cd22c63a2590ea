"""/metrics and /stats of servers with several workers: whichever answers, and whichever is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3shim import __version__
from tests.nats_server import NatsServer
from tests.server.process import GUNICORN, Server, serve, workers

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LIVES = 's3shim_requests_total{operation="Livez",status="200"}'
STATE = "nats_client_state"
RECONNECTS = "nats_client_reconnects_total"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers by flags; they must end as they should."""
    made: list[Server] = []

    def start(*flags: str) -> Server:
        made.append(serve(tmp_path, *flags))
        return made[-1]

    yield start
    for server in made:
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", sync='"90s"').start()
    yield server
    server.kill()


def get(server: Server, path: str) -> bytes:
    answer = server.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.status == 200
    return answer.body


def scrape(server: Server) -> dict[str, float]:
    """Return the samples by name and labels."""
    lines = get(server, "/metrics").decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def stats(server: Server) -> dict[str, Any]:
    """Return what /stats says, but for the time."""
    told: dict[str, Any] = json.loads(get(server, "/stats"))
    assert 0 <= told.pop("uptime_seconds") < 60
    return told


def eventually(
    server: Server,
    holds: Callable[[dict[str, Any]], bool],
    look: Callable[[Server], dict[str, Any]] = scrape,
) -> dict[str, Any]:
    """Look until it holds ten times one after the other, whoever answers, and return what was seen last."""
    end = time.monotonic() + 20
    held = 0
    while held < 10:
        seen = look(server)
        held = held + 1 if holds(seen) else 0
        assert time.monotonic() < end, (seen, server.stderr)
        time.sleep(0.02)
    return seen


def ask_lives(server: Server, count: int) -> None:
    for _ in range(count):
        assert server.ask(LIVE).status == 200


def by_worker(server: Server) -> dict[int, int]:
    """Return how many of the questions each worker has answered, as the log says."""
    found: dict[int, int] = {}
    for pid in re.findall(r"op=Livez .* pid=([0-9]+)$", server.stderr, re.MULTILINE):
        found[int(pid)] = found.get(int(pid), 0) + 1
    return found


@pytest.mark.parametrize("by_gunicorn", [False, True])
def test_sums_over_workers_survive_kills_and_reloads(tmp_path: Path, by_gunicorn: bool) -> None:
    if by_gunicorn:
        settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_WORKERS": "3", "S3SHIM_DATA": str(tmp_path / "d")}
        server = Server(GUNICORN, tmp_path / "stderr", settings)
    else:
        server = serve(tmp_path, "--workers", "3")
    began = eventually(server, lambda seen: seen["s3shim_workers"] == 3)["process_start_time_seconds"]
    assert time.time() - 60 < began < time.time()
    # In parts, as one worker may answer all questions of a moment.
    asked = 0
    while len(by_worker(server)) < 2 and asked < 2000:
        ask_lives(server, 20)
        asked += 20
    eventually(server, lambda seen: seen[LIVES] == asked)
    for number in range(3):
        # What is shown once a second is there; the death itself takes nothing of it.
        before = workers(server)
        os.kill(before[number % len(before)], signal.SIGKILL)
        end = time.monotonic() + 20
        while set(workers(server)) == set(before) or len(workers(server)) < 3:
            assert scrape(server)[LIVES] == asked
            assert time.monotonic() < end
        seen = eventually(server, lambda seen: seen["s3shim_workers"] == 3)
        assert seen[LIVES] == asked
        assert seen["process_start_time_seconds"] == began
    ask_lives(server, 7)
    before = workers(server)
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while set(workers(server)) & set(before):
        assert time.monotonic() < end
        time.sleep(0.05)
    # Who ends as he is told to leaves all that he has counted.
    seen = eventually(server, lambda seen: seen["s3shim_workers"] == 3 and seen[LIVES] == asked + 7)
    assert seen["process_start_time_seconds"] == began
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


def test_several_workers_on_nats(run: Callable[..., Server], nats: NatsServer) -> None:
    flags = ["--backend", "nats", "--nats-servers", nats.url, "--nats-monitor", nats.monitor]
    server = run("--workers", "2", "--stats-endpoint", *flags)
    known = {"nats_objectstore_buckets_total": 0, "s3shim_nats_sync_always": 0, STATE: 1, RECONNECTS: 0}
    eventually(server, lambda seen: seen["s3shim_workers"] == 2 and seen.items() >= known.items())
    expected = {
        "version": __version__,
        "backend": "nats",
        "durability": "delayed",
        "nats_connected": True,
        "nats_reconnects": 0,
        "objectstore_buckets": 0,
    }
    eventually(server, lambda told: told == expected, stats)
    assert (
        'level=warning msg="JetStream acknowledges writes before it syncs them, every 90 seconds: a power '
        "cut takes acknowledged objects, and can take whole buckets; with one replica there is no other copy "
        'of them. sync_interval: always in its configuration prevents it" durability=delayed\n'
    ) in server.stderr
    assert server.stderr.count("durability=") == 1
    nats.kill()
    eventually(server, lambda seen: seen[STATE] == 0)
    assert stats(server)["nats_connected"] is False
    nats.start()
    eventually(server, lambda seen: seen[STATE] == 1 and seen[RECONNECTS] == 2)
    assert stats(server)["nats_reconnects"] == 2


def test_the_numbers_of_a_killed_worker_go_away(run: Callable[..., Server], nats: NatsServer) -> None:
    """One that is stopped has no connection for long, and says nothing of it; then it is killed."""
    server = run("--workers", "2", "--backend", "nats", "--nats-servers", nats.url)
    eventually(server, lambda seen: seen["s3shim_workers"] == 2 and seen[STATE] == 1)
    nats.kill()
    eventually(server, lambda seen: seen[STATE] == 0)
    time.sleep(1.5)
    stopped, other = workers(server)
    os.kill(stopped, signal.SIGSTOP)
    nats.start()
    # The other is connected again, and the state is still that of the worst.
    end = time.monotonic() + 20
    while (seen := scrape(server))[RECONNECTS] < 1:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert seen[STATE] == 0
    assert seen["s3shim_workers"] == 2
    os.kill(stopped, signal.SIGKILL)
    seen = eventually(server, lambda seen: seen[STATE] == 1 and seen["s3shim_workers"] == 2)
    assert seen[RECONNECTS] == 1
    assert other in workers(server)


def test_the_log_says_that_an_embedded_server_always_syncs(
    run: Callable[..., Server], tmp_path: Path
) -> None:
    server = run("--backend", "nats", "--embedded-nats", str(tmp_path / "own"), "--stats-endpoint")
    told = 'level=info msg="JetStream syncs writes before it acknowledges them" durability=full\n'
    assert told in server.stderr
    eventually(server, lambda seen: seen.get("s3shim_nats_sync_always") == 1)
    eventually(server, lambda told: told["durability"] == "full", stats)


def test_the_log_says_that_it_is_not_known(run: Callable[..., Server], nats: NatsServer) -> None:
    server = run("--backend", "nats", "--nats-servers", nats.url)
    assert (
        'level=info msg="whether JetStream syncs writes before it acknowledges them is not known, '
        'by default it does not: --nats-monitor names who tells" durability=unknown\n'
    ) in server.stderr
    eventually(server, lambda seen: STATE in seen and "s3shim_nats_sync_always" not in seen)


def test_stats_of_the_local_store(run: Callable[..., Server]) -> None:
    server = run("--stats-endpoint")
    assert stats(server) == {"version": __version__, "backend": "local", "durability": "full"}
