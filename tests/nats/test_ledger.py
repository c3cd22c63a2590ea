"""The ledger in a key-value bucket of a real server: compare-and-set, and what is left of lines."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3shim.backends.ledger import Line
from s3shim.backends.nats.ledger import NatsLedger
from s3shim.backends.nats.settings import NatsSettings
from s3shim.errors import Code
from tests.contract.bodies import code_of
from tests.nats.rig import until

LINE = Line(0, b"a")


@pytest.fixture
def open_ledger(tmp_path):
    """Return a function that opens a ledger on a server."""
    opened = []

    def make(server, **settings):
        ledger = NatsLedger(NatsSettings(tmp_path, servers=(server.url,), timeout=1.0, **settings))
        ledger.start()
        opened.append(ledger)
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


def config_of(ledger):
    kv, remote = ledger._kv, ledger._remote
    return remote.bridge.call(kv.js.stream_info(kv.stream))["config"]


def test_lines_change_by_compare_and_set(run_server, open_ledger):
    server = run_server()
    one, two = open_ledger(server), open_ledger(server)
    assert one.read("1.x") == (0, b"")
    assert one.names("1") == []
    (first,) = one.write({"1.x": LINE}).values()
    assert two.read("1.x") == (first, b"a")
    assert two.write({"1.x": LINE, "1.y": Line(0, b"b")}).keys() == {"1.y"}
    assert two.write({"1.x": Line(first + 5, b"b")}) == {}
    (second,) = two.write({"1.x": Line(first, b"b")}).values()
    assert one.write({"1.x": Line(first, b"c")}) == {}
    one.remove({"1.x": first})
    assert one.read("1.x") == (second, b"b")
    assert sorted(one.names("1")) == ["1.x", "1.y"]
    assert one.names("1.x") == one.names("2") == []
    one.remove({"1.x": second})
    assert two.read("1.x") == (0, b"")
    assert two.names("1") == ["1.y"]
    assert two.write({"1.x": Line(second, b"c")}) == {}
    (third,) = two.write({"1.x": LINE}).values()
    assert third > second


def test_of_racing_writers_one_wins_and_a_line_leaves_no_message(run_server, open_ledger):
    server = run_server()
    ledgers = [open_ledger(server) for _ in range(4)]
    for number in range(20):
        name = f"2.{number}"
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n, name=name: ledgers[n % 4].write({name: LINE}), range(8)))
        (winner,) = [written for written in found if written]
        ledgers[0].remove({name: winner[name]})
    kv, remote = ledgers[0]._kv, ledgers[0]._remote
    assert remote.bridge.call(kv.js.stream_info(kv.stream))["state"]["messages"] == 0


def test_a_thousand_lines_at_once(run_server, open_ledger):
    ledger = open_ledger(run_server())
    names = [f"2.x.{number}" for number in range(1000)]
    written = ledger.write(dict.fromkeys(names, LINE))
    assert sorted(ledger.names("2.x")) == sorted(written) == sorted(names)
    ledger.remove(written)
    assert ledger.names("2.x") == []


def test_the_bucket_is_one_of_key_values_that_forgets_what_nobody_wants(run_server, open_ledger):
    ledger = open_ledger(run_server())
    ledger.write({"1.x": LINE})
    config = config_of(ledger)
    assert (config["name"], config["subjects"]) == ("KV_s3shim_leases", ["$KV.s3shim_leases.>"])
    assert (config["max_msgs_per_subject"], config["storage"], config["num_replicas"]) == (1, "file", 1)
    assert config["max_age"] == 86_400 * 10**9
    assert not config.get("deny_delete")


@pytest.mark.parametrize("operation", ["DEL", "PURGE"])
def test_what_other_programs_delete_is_nothing_and_can_be_written_over(run_server, open_ledger, operation):
    ledger = open_ledger(run_server())
    ledger.write({"1.x": LINE})
    kv, remote = ledger._kv, ledger._remote
    headers = {"KV-Operation": operation}
    remote.bridge.call(kv.js.publish("$KV.s3shim_leases.1.x", b"", headers))
    line = ledger.read("1.x")
    assert line.value == b""
    assert line.revision > 0
    assert ledger.write({"1.x": LINE}) == {}
    assert ledger.write({"1.x": Line(line.revision, b"a")}).keys() == {"1.x"}


def test_lines_outlive_the_server(run_server, open_ledger):
    server = run_server()
    ledger = open_ledger(server)
    written = ledger.write({"1.x": LINE})
    server.kill()
    server.start()
    until(10, lambda: code_of(ledger.check) is None)
    assert ledger.read("1.x") == (written["1.x"], b"a")
    assert ledger.write({"1.x": LINE}) == {}


def test_without_a_server_it_says_so_at_once_and_goes_on_when_it_is_back(run_server, open_ledger):
    server = run_server(start=False)
    ledger = open_ledger(server)
    for call in (ledger.check, lambda: ledger.read("1.x"), lambda: ledger.write({"1.x": LINE})):
        began = time.monotonic()
        assert code_of(call) is Code.ServiceUnavailable
        assert time.monotonic() - began < 0.5
    ledger.remove({"1.x": 1})
    server.start()
    until(10, lambda: code_of(ledger.check) is None)
    written = ledger.write({"1.x": LINE})
    server.stop()
    until(10, lambda: code_of(ledger.check) is Code.ServiceUnavailable)
    assert code_of(ledger.names, "1") is Code.ServiceUnavailable
    server.start()
    until(10, lambda: code_of(ledger.check) is None)
    ledger.remove(written)
    assert ledger.read("1.x") == (0, b"")


def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(run_server, open_ledger):
    server = run_server()
    ledger = open_ledger(server)
    written = ledger.write({"1.x": LINE})
    server.pause()
    try:
        began = time.monotonic()
        assert code_of(ledger.write, {"1.y": LINE}) is Code.ServiceUnavailable
        assert 0.9 < time.monotonic() - began < 2
        ledger.remove(written)
        assert time.monotonic() - began < 4
    finally:
        server.resume()


def test_it_is_closed(run_server, open_ledger):
    ledger = open_ledger(run_server())
    ledger.close()
    assert code_of(ledger.check) is Code.ServiceUnavailable
    assert code_of(ledger.read, "1.x") is Code.ServiceUnavailable
