"""Gateways on several hosts over one S3 that ignores conditions: leases in NATS make their winners exact."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

import pytest

from s3shim.backends.nats.ledger import NatsLedger
from s3shim.backends.nats.link import Link
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.cli.main import main
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery, ObjectInfo, ObjectRef
from tests.contract import upstreams
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.test_contract_races import race
from tests.contract.uploads import begin, complete, upload
from tests.nats_server import free_port, shared_server

NEW_ONLY = Conditions(if_none_match=ETagList(any=True))
BUCKET = BucketInfo("bucket", "main", 1)


def only(etag):
    return Conditions(if_match=ETagList(frozenset({etag})))


@pytest.fixture
def host(tmp_path):
    """Return a function that makes a gateway with a state directory of its own, over one s3shim."""
    # Of what it can do it is believed nothing, so conditions are not sent on.
    settings = replace(upstreams.over_s3shim(tmp_path).settings, dialect="generic", deadline=30.0)
    made = []

    def make(*, leases=True, **more):
        ledger = NatsLedger(NatsSettings(tmp_path, servers=(shared_server().url,))) if leases else None
        state = tmp_path / f"host{len(made)}"
        backend = UpstreamBackend(replace(settings, state=state, leases=leases, **more), ledger)
        backend.start()
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def hosts(host):
    """Two gateways with leases, and a bucket."""
    found = [host(), host()]
    found[0].create_bucket(BUCKET)
    return found


def winners_of_20(hosts, key, size=20):
    outcomes = race(
        [
            lambda n=n: put(hosts[n % len(hosts)], key, pattern(size, n), conditions=NEW_ONLY)
            for n in range(20)
        ]
    )
    winners = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
    assert outcomes.count(Code.PreconditionFailed) == 20 - len(winners)
    return winners


def test_of_20_writers_on_two_hosts_one_makes_each_key(hosts):
    for number in range(25):
        key, size = f"key{number}", 20 if number % 5 else 50_000
        (winner,) = winners_of_20(hosts, key, size)
        assert get(hosts[0], key) == pattern(size, winner)


def test_without_leases_there_are_several_winners(host):
    """The test before this one can fail."""
    hosts = [host(leases=False), host(leases=False)]
    hosts[0].create_bucket(BUCKET)
    assert any(len(winners_of_20(hosts, f"key{number}")) > 1 for number in range(25))


def test_a_counter_over_two_hosts_loses_nothing(hosts):
    put(hosts[0], "counter", b"0")

    def increment(backend, same):
        data = get(backend, "counter", conditions=same)
        put(backend, "counter", b"%d" % (int(data) + 1), conditions=same)

    def count(backend):
        counted = 0
        while counted < 10:
            info = backend.head_object(ObjectRef("bucket", "counter"), NO_CONDITIONS)
            same = only(info.etag)
            if code_of(increment, backend, same) is None:
                counted += 1
        return counted

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(count, hosts * 3)) == 60
    assert get(hosts[0], "counter") == b"60"


def test_of_completions_on_two_hosts_one_makes_the_key(hosts):
    for number in range(3):
        key = f"key{number}"
        refs = [begin(hosts[0], key) for _ in range(6)]
        parts = [upload(hosts[n % 2], ref, 1, pattern(2000, n)) for n, ref in enumerate(refs)]
        outcomes = race(
            [
                lambda n=n, ref=ref, part=parts[n]: complete(hosts[n % 2], ref, [part], conditions=NEW_ONLY)
                for n, ref in enumerate(refs)
            ]
        )
        (winner,) = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
        assert outcomes.count(Code.PreconditionFailed) == 5
        assert get(hosts[1], key) == pattern(2000, winner)


def test_completions_and_aborts_of_one_upload_on_two_hosts_have_one_outcome(hosts):
    for number in range(6):
        ref = begin(hosts[0], f"key{number}")
        parts = [upload(hosts[n % 2], ref, n, pattern(2000, n)) for n in (1, 2)]
        calls = [
            lambda ref=ref, parts=parts: complete(hosts[0], ref, parts),
            lambda ref=ref: hosts[1].abort_multipart_upload(ref),
            lambda ref=ref, parts=parts: complete(hosts[1], ref, parts),
        ]
        first, aborted, second = race(calls)
        if aborted is None:
            assert first is second is Code.NoSuchUpload
            assert code_of(get, hosts[0], f"key{number}") is Code.NoSuchKey
        else:
            assert aborted is Code.NoSuchUpload
            assert first == second
            assert get(hosts[0], f"key{number}") == pattern(2000, 1) + pattern(2000, 2)


def test_of_deletions_and_copies_under_a_condition_one_wins(hosts):
    for number in range(5):
        key = f"key{number}"
        etag = put(hosts[0], key, b"old").etag
        ref = ObjectRef("bucket", key)
        put(hosts[0], "source", b"source")
        calls = [
            lambda ref=ref, etag=etag: hosts[0].delete_object(ref, only(etag)),
            lambda ref=ref, etag=etag: hosts[1].delete_object(ref, only(etag)),
            lambda ref=ref, etag=etag: hosts[1].copy_object(
                Copy(ObjectRef("bucket", "source")), ref, only(etag)
            ),
        ]
        outcomes = race(calls)
        lost = [outcome for outcome in outcomes if outcome in (Code.PreconditionFailed, Code.NoSuchKey)]
        assert len(lost) == 2, outcomes


def test_many_deletions_at_once_take_all_their_leases(host):
    hosts = [host(dialect="garage"), host(dialect="garage")]
    hosts[0].create_bucket(BUCKET)
    keys = [f"key{number}" for number in range(40)]
    refs = [ObjectRef("bucket", key) for key in keys]
    for key in keys:
        put(hosts[0], key)
    with ThreadPoolExecutor(1) as pool:
        with hosts[0].committing(hosts[0].bucket("bucket"), "key20"):
            done = pool.submit(hosts[1].delete_objects, "bucket", refs)
            time.sleep(0.3)
            assert get(hosts[0], "key0") == get(hosts[0], "key20") == b""
            assert not done.done()
        assert len(done.result()) == 40
    assert hosts[0].list_objects("bucket", ListQuery()).items == []
    outcomes = race([lambda n=n: hosts[n].delete_objects("bucket", refs[:: 1 - 2 * n]) for n in (0, 1)])
    assert [len(outcome) for outcome in outcomes] == [40, 40]


# -- buckets -----------------------------------------------------------------------------------


def test_of_hosts_that_make_a_bucket_one_makes_it(hosts):
    for number in range(5):
        info = BucketInfo(f"bucket{number}", "main", 1)
        outcomes = race([lambda n=n, info=info: hosts[n % 2].create_bucket(info) for n in range(6)])
        assert sorted(map(str, outcomes)) == sorted(map(str, [None] + [Code.BucketAlreadyOwnedByYou] * 5))


@pytest.fixture
def one_bucket(hosts, host):
    """Two gateways whose buckets are prefixes of one: what is behind would not refuse to remove them."""
    hosts[0].create_upstream_bucket("everything")
    found = [host(bucket="everything"), host(bucket="everything")]
    found[0].create_bucket(BUCKET)
    return found


def held_back(backend, monkeypatch, method):
    """Hold back what a gateway sends by ``method``; return what tells that it waits, and what lets it go."""
    waits, go = Event(), Event()
    connected = backend.client.connected

    def slow(request):
        if request.method == method:
            waits.set()
            assert go.wait(20)
        return connected(request)

    monkeypatch.setattr(backend.client, "connected", slow)
    return waits, go


def write_key(backend):
    put(backend, "key")


def write_document(backend):
    backend.put_document("bucket", "policy", b"{}")


@pytest.mark.parametrize(
    ("write", "outcome"), [(write_key, Code.BucketNotEmpty), (write_document, None), (begin, None)]
)
def test_a_bucket_is_removed_after_what_another_host_has_begun_in_it(one_bucket, monkeypatch, write, outcome):
    writer, remover = one_bucket
    waits, go = held_back(writer, monkeypatch, "POST" if write is begin else "PUT")
    with ThreadPoolExecutor(2) as pool:
        written = pool.submit(code_of, write, writer)
        assert waits.wait(20)
        if write is begin:  # the record comes after the upload behind
            waits, go_on = held_back(writer, monkeypatch, "PUT")
            go.set()
            assert waits.wait(20)
            go = go_on
        removed = pool.submit(code_of, remover.delete_bucket, "bucket")
        time.sleep(1.5)
        assert not removed.done()
        go.set()
        assert written.result() is None
        assert removed.result() is outcome
    if outcome is None:
        remover.create_bucket(BUCKET)
        assert remover.get_document("bucket", "policy") is None
        assert [name for name, _ in remover.names_own("uploads/")] == []


@pytest.mark.parametrize("leases", [True, False])
def test_who_has_seen_a_bucket_does_not_write_into_it_after_it_was_removed(
    one_bucket, host, monkeypatch, leases
):
    """Without leases it does: one of its prefixes then has an object of no bucket."""
    writer, remover = [host(bucket="everything", leases=leases) for _ in range(2)]
    waits, go = held_back(remover, monkeypatch, "DELETE")
    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(remover.delete_bucket, "bucket")
        assert waits.wait(20)
        assert get_code(writer) is Code.NoSuchKey  # the bucket is remembered
        assert code_of(put, writer, "key") is (Code.SlowDown if leases else None)
        go.set()
        removed.result()
    assert code_of(put, writer, "key") is (Code.NoSuchBucket if leases else None)
    items = remover.list_page(remover.places.base("bucket")).items
    assert [item.key for item in items] == ([] if leases else ["bucket/key"])


def test_a_bucket_whose_removal_ends_while_a_writer_looks_is_gone_for_him(one_bucket, monkeypatch):
    writer, remover = one_bucket
    waits, go = held_back(remover, monkeypatch, "DELETE")
    look = writer.locks.look
    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(remover.delete_bucket, "bucket")
        assert waits.wait(20)

        def slow(bucket):
            go.set()
            removed.result()
            look(bucket)

        monkeypatch.setattr(writer.locks, "look", slow)
        assert code_of(put, writer, "key") is Code.NoSuchBucket
    assert remover.list_page(remover.places.base("bucket")).items == []


def test_a_bucket_that_was_removed_while_a_body_came_is_gone(one_bucket):
    writer, remover = one_bucket
    put(writer, "key")
    writer.delete_object(ObjectRef("bucket", "key"), NO_CONDITIONS)
    seen = writer.bucket("bucket")
    remover.delete_bucket("bucket")

    def commit():
        with writer.committing(seen, "key"):
            pass

    assert code_of(commit) is Code.NoSuchBucket


def get_code(backend):
    return code_of(get, backend, "absent")


# -- what it costs, and where it is ------------------------------------------------------------


def test_a_write_without_contention_costs_two_round_trips(hosts, monkeypatch):
    put(hosts[0], "first")
    asked = []
    request = Link.request

    def counted(link, subject, *rest, **named):
        asked.append(subject)
        return request(link, subject, *rest, **named)

    monkeypatch.setattr(Link, "request", counted)
    began = time.monotonic()
    for number in range(10):
        put(hosts[0], "first", b"%d" % number)
    assert time.monotonic() - began < 1
    looks = [subject for subject in asked if "MSG.GET" in subject]
    assert len(looks) <= 1
    assert len(asked) - len(looks) == 20
    get(hosts[0], "first")
    hosts[0].list_objects("bucket", ListQuery())
    assert len(asked) - len(looks) == 20


def test_gateways_with_places_of_their_own_are_not_in_each_others_way(hosts, host):
    hosts[0].create_upstream_bucket("everything")
    kinds = [{}, {"bucket": "everything"}, {"bucket": "everything", "prefix": "a"}, {"prefix": "a"}]
    with ExitStack() as stack:
        for kind in kinds:
            backend = host(deadline=0.3, **kind)
            if "bucket" in kind:
                backend.create_bucket(BUCKET)
            stack.enter_context(backend.committing(backend.bucket("bucket"), "key"))
            same = host(deadline=0.3, **kind)
            assert code_of(put, same, "key") is Code.SlowDown
            assert code_of(put, same, "another") is None


def test_leases_and_a_ledger_belong_together(host, tmp_path):
    settings = replace(host(leases=False).settings, state=tmp_path / "none")
    with pytest.raises(ValueError, match="leases need a ledger"):
        UpstreamBackend(replace(settings, leases=True))
    with pytest.raises(ValueError, match="leases need a ledger"):
        UpstreamBackend(settings, NatsLedger(NatsSettings(tmp_path)))


def test_what_is_promised_is_told(host):
    assert host().conditional_writes() == (
        "exact across machines, while no gateway pauses for longer than its lease of 5 s"
    )
    assert host(leases=False).conditional_writes() == "exact on one machine"
    over_aws = host(leases=False, dialect="aws", block_size=5)
    assert over_aws.dialect.conditions
    assert over_aws.conditional_writes() == "exact on one machine, and across machines up to 5 bytes"


def test_the_doctor_tells_it_and_whether_the_leases_can_be_reached(tmp_path, capsys):
    backend = upstreams.over_s3shim(tmp_path)
    flags = [
        "--data", str(tmp_path), "--upstream-endpoint", backend.settings.endpoint,
        "--upstream-access-key", upstreams.ACCESS, "--upstream-secret-key", upstreams.SECRET,
        "--upstream-leases", "--upstream-lease-time", "7.5", "--nats-servers",
    ]  # fmt: skip
    assert main(["doctor", "--upstream", *flags, shared_server().url]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("for longer than its lease of 7.5 s")
    assert main(["doctor", "--upstream", *flags, f"127.0.0.1:{free_port()}"]) == 1
    assert capsys.readouterr().err == "s3shim: The leases of the storage cannot be reached.\n"
