"""The key indexes of two hosts against a dict, whatever happens to the bucket, in any order."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from s3shim.backends.nats import mirror as mirrors
from s3shim.backends.nats.buckets import BucketStreams
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.format import meta_subject, new_nuid, read_entry, tombstone
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Source
from s3shim.backends.nats.sweep import compact
from s3shim.model import BucketInfo, ListQuery
from s3shim.paging import list_page

BUCKET = "machine"
STREAM = f"OBJ_{BUCKET}"
ROLLUP = {"Nats-Rollup": "sub"}

characters = st.sampled_from(["a", "b", "/", "é", "\U00010000"])
keys = st.text(characters, min_size=1, max_size=4)
hosts = st.sampled_from([0, 1])


class Machine(RuleBasedStateMachine):
    """``client`` is set by the test."""

    client = None

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.caches = [Cache(self.directory / name) for name in ("here", "there")]
        self.hosts = [
            Index(Source(cache, self.client.bridge, self.client.jetstream)) for cache in self.caches
        ]
        self.buckets = BucketStreams(self.client.jetstream, 1, "main")
        self.sizes = {}
        self.messages = {}

    def call(self, work):
        return self.client.call(work)

    @initialize()
    def make(self):
        self.call(self.buckets.create(BucketInfo(BUCKET, "main", 1)))

    def remove(self):
        self.call(self.buckets.remove(BUCKET))

    @rule(key=keys, size=st.integers(0, 9))
    def put(self, key, size):
        data = json.dumps({"name": key, "nuid": new_nuid(), "size": size, "chunks": 0}).encode()
        self.call(self.client.jetstream.publish(meta_subject(BUCKET, key), data, ROLLUP))
        self.sizes[key] = size
        self.messages[key] = data

    @rule(key=keys)
    def put_many(self, key):
        for number in range(6):
            self.put(f"{key}{number}", number)

    @rule(choice=st.randoms(use_true_random=False))
    def delete(self, choice):
        if self.sizes:
            key = choice.choice(sorted(self.sizes))
            data = tombstone(read_entry(self.messages[key], 1, 1))
            self.call(self.client.jetstream.publish(meta_subject(BUCKET, key), data, ROLLUP))
            del self.sizes[key]

    @rule()
    def chunk(self):
        self.call(self.client.jetstream.publish(f"$O.{BUCKET}.C.{new_nuid()}", b"data"))

    @rule()
    def make_again(self):
        self.remove()
        self.make()
        self.sizes.clear()

    @rule()
    def purge(self):
        self.call(self.client.jetstream.do(f"STREAM.PURGE.{STREAM}", {}))
        self.sizes.clear()

    @rule(host=hosts)
    def clean(self, host):
        # All hosts have seen the removals by then.
        for each in self.hosts:
            each.count(BUCKET)
        compact(self.hosts[host].mirror(BUCKET), 0)

    @rule(host=hosts)
    def lose(self, host):
        shutil.rmtree(self.caches[host].path, ignore_errors=True)

    @rule(host=hosts)
    def count(self, host):
        assert self.hosts[host].mirror(BUCKET).count().live == len(self.sizes)

    @rule(
        host=hosts,
        prefix=st.text(characters, max_size=2),
        delimiter=st.sampled_from(["", "/", "a"]),
        marker=st.text(characters, max_size=3),
        max_keys=st.integers(0, 8),
    )
    def list(self, host, prefix, delimiter, marker, max_keys):
        query = ListQuery(prefix, delimiter, marker, max_keys)
        page = self.hosts[host].list_objects(BUCKET, query)
        found = [(info.key, info.size) for info in page.items]
        expected = list_page(self.seek, query)
        assert (found, page.common_prefixes) == (expected.items, expected.common_prefixes)
        assert page.next_marker == expected.next_marker

    def seek(self, start):
        for key in sorted(self.sizes):
            if key >= start:
                yield key, lambda key: (key, self.sizes[key])

    @rule(host=hosts)
    def list_all(self, host):
        page = self.hosts[host].list_objects(BUCKET, ListQuery())
        assert {info.key: info.size for info in page.items} == self.sizes

    @invariant()
    def numbers(self):
        state = self.hosts[0].mirror(BUCKET)._state()
        assert state is None or min(state.live, state.dead, state.odd) >= 0

    def teardown(self):
        self.remove()
        for cache in self.caches:
            cache.close()
        shutil.rmtree(self.directory)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_indexes_of_two_hosts_against_a_dict(client, monkeypatch, batch):
    monkeypatch.setattr(mirrors, "_BATCH", batch)
    monkeypatch.setattr(mirrors, "_TAIL", max(batch // 2, 1))
    monkeypatch.setattr(Machine, "client", client)
    limits = settings(max_examples=20, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(Machine, settings=limits)
