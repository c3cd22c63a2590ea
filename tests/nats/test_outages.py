"""NATS that is not there, stops and comes back, and credentials and certificates that change under load."""

import logging
import threading
import time

from s3shim.errors import Code, S3Error
from tests.contract.bodies import code_of, get, pattern, put
from tests.nats.accounts import Operator
from tests.nats.rig import BUCKET, ready, started, until
from tests.nats.test_connection import Authority

TIMEOUT = 1.0
SLACK = 3.0  # the machine may be busy with other things


def timed(call, *args, **kwargs):
    """Return the code of the S3Error of a call, and its seconds."""
    began = time.monotonic()
    return code_of(call, *args, **kwargs), time.monotonic() - began


class Load:
    """Threads that put and get in a storage until the end of the block, and what happened to them."""

    def __init__(self, backend, threads=3, size=200_000, bucket="bucket", name="load"):
        self.backend = backend
        self.bucket = bucket
        self.name = name
        self.kept = {}
        self.done = 0
        self.failures = []
        self._size = size
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _work(self, number):
        turn = 0
        while not self._end.is_set():
            key, turn = f"{self.name}/{number}/{turn}", turn + 1
            data = pattern(self._size + turn, turn)
            try:
                put(self.backend, key, data, bucket=self.bucket)
                self.kept[key] = data
                assert get(self.backend, key, bucket=self.bucket) == data
                self.done += 1
            except S3Error as error:
                self.failures.append((time.monotonic(), error.code))
            except AssertionError:
                self.failures.append((time.monotonic(), f"{key} is torn"))

    def check(self):
        """Every object that was acknowledged is there, and no failure was another than "not now"."""
        assert {code for _, code in self.failures} <= {Code.ServiceUnavailable}
        for key, data in self.kept.items():
            assert get(self.backend, key, bucket=self.bucket) == data


# -- not there ----------------------------------------------------------------------------------


def test_nats_comes_after_the_start(run_server, tmp_path):
    server = run_server(start=False)
    began = time.monotonic()
    with started(tmp_path, server.url, timeout=TIMEOUT) as backend:
        assert time.monotonic() - began < 3
        code, took = timed(backend.check)
        assert (code, took < 0.5) == (Code.ServiceUnavailable, True)
        code, took = timed(put, backend, "key", b"body")
        assert (code, took < TIMEOUT + SLACK) == (Code.ServiceUnavailable, True)
        server.start()
        assert until(5, lambda: ready(backend)) < 5
        backend.create_bucket(BUCKET)
        put(backend, "key", b"body")
        assert get(backend, "key") == b"body"


def test_a_stopped_server_is_answered_for_in_time(run_server, tmp_path):
    server = run_server()
    datas = [pattern(size) for size in (10, 300_000, 5_000_000)]
    with started(tmp_path, server.url, timeout=TIMEOUT) as backend:
        backend.create_bucket(BUCKET)
        for data in datas:
            put(backend, f"old {len(data)}", data)
        server.pause()
        try:
            late = time.monotonic() + 5
            while time.monotonic() < late:
                for data in datas:
                    for call in (
                        lambda data=data: put(backend, f"new {len(data)}", data),
                        lambda data=data: get(backend, f"old {len(data)}"),
                        lambda: backend.head_bucket("bucket"),
                    ):
                        code, took = timed(call)
                        assert code is Code.ServiceUnavailable
                        assert took < TIMEOUT + SLACK
            assert code_of(backend.check) is Code.ServiceUnavailable
        finally:
            server.resume()
        until(5, lambda: ready(backend))
        time.sleep(0.5)
        for data in datas:
            assert get(backend, f"old {len(data)}") == data
            # What was refused does not come later.
            assert code_of(get, backend, f"new {len(data)}") is Code.NoSuchKey
            put(backend, f"new {len(data)}", data)
            assert get(backend, f"new {len(data)}") == data


def test_the_server_is_killed_and_started_under_load(run_server, tmp_path):
    server = run_server(sync='"always"')
    with started(tmp_path, server.url, timeout=TIMEOUT) as backend:
        backend.create_bucket(BUCKET)
        with Load(backend) as load:
            for _ in range(3):
                time.sleep(0.4)
                server.kill()
                time.sleep(0.3)
                server.start()
                until(5, lambda: ready(backend))
                done = load.done
                until(5, lambda done=done: load.done > done + 3)
        load.check()
        assert backend.store.remote.connection.connections == 4


def test_a_request_waits_for_a_short_restart(run_server, tmp_path):
    server = run_server()
    with started(tmp_path, server.url, timeout=5) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "key", b"body")
        server.stop()
        threading.Timer(0.5, server.start).start()
        assert get(backend, "key") == b"body"


# -- other credentials and certificates ---------------------------------------------------------


def swap(directory, files):
    """Exchange what the links in ``directory`` point to, as Kubernetes does with a mounted secret."""
    fresh = directory / f"..{time.monotonic_ns()}"
    fresh.mkdir(parents=True)
    for name, data in files.items():
        (fresh / name).write_bytes(data)
    link = directory / "..data.new"
    link.symlink_to(fresh.name)
    link.rename(directory / "..data")
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")


def test_changed_credentials_are_taken_up_under_load(run_server, tmp_path, caplog):
    operator = Operator()
    server = run_server(more=operator.config)
    swap(tmp_path / "secret", {"creds": operator.creds().encode()})
    with started(tmp_path, server.url, creds=tmp_path / "secret" / "creds") as backend:
        backend.create_bucket(BUCKET)
        first = backend.store.remote.connection.server["client_id"]
        with Load(backend) as load:
            time.sleep(0.3)
            swap(tmp_path / "secret", {"creds": operator.creds().encode()})
            until(5, lambda: backend.store.remote.connection.server["client_id"] != first)
            second = backend.store.remote.connection.server["client_id"]
            done = load.done
            until(5, lambda: load.done > done + 3)
            swap(tmp_path / "secret", {"creds": b"-----BEGIN NATS USER JWT-----\nbroken"})
            until(5, lambda: "the old one stays" in caplog.text)
            assert backend.store.remote.connection.server["client_id"] == second
            done = load.done
            until(5, lambda: load.done > done + 3)
            swap(tmp_path / "secret", {"creds": operator.creds().encode()})
            until(5, lambda: backend.store.remote.connection.server["client_id"] != second)
            time.sleep(0.3)
        assert load.failures == []
        load.check()


def test_credentials_that_expire_are_replaced_in_time(run_server, tmp_path):
    operator = Operator()
    server = run_server(more=operator.config)
    creds = tmp_path / "creds"
    creds.write_text(operator.creds(3))
    with started(tmp_path, server.url, creds=creds) as backend:
        backend.create_bucket(BUCKET)
        with Load(backend) as load:
            time.sleep(1)
            creds.with_suffix(".new").write_text(operator.creds())
            creds.with_suffix(".new").rename(creds)
            time.sleep(4)
        assert load.failures == []
        load.check()


def test_expired_credentials_end_the_connection_until_there_are_others(run_server, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "s3shim.backends.nats")
    operator = Operator()
    server = run_server(more=operator.config)
    creds = tmp_path / "creds"
    creds.write_text(operator.creds(2))
    with started(tmp_path, server.url, creds=creds, timeout=TIMEOUT) as backend:
        backend.create_bucket(BUCKET)
        until(5, lambda: not ready(backend))
        code, took = timed(put, backend, "key", b"body")
        assert (code, took < TIMEOUT + SLACK) == (Code.ServiceUnavailable, True)
        creds.write_text(operator.creds())
        until(5, lambda: ready(backend))
        put(backend, "key", b"body")
    said = [record.getMessage() for record in caplog.records]
    assert "was lost" in said[0]
    assert "authentication expired" in said[0]
    # Whether they are tried once more before there are others depends on the moment.
    assert all("no connection to NATS" in each or "was lost" in each for each in said[1:])


def test_changed_certificates_are_taken_up_under_load(run_server, tmp_path, caplog):
    authority = Authority(tmp_path)
    server = run_server(more=authority.config("127.0.0.1", verify=True))
    mount = tmp_path / "secret"

    def fresh(name):
        cert, key = authority.issue("client", name)
        return {"cert": cert.read_bytes(), "key": key.read_bytes(), "ca": authority.ca.read_bytes()}

    swap(mount, fresh("a@example.org"))
    files = {"tls_ca": mount / "ca", "tls_cert": mount / "cert", "tls_key": mount / "key"}
    with started(tmp_path, server.url, **files) as backend:
        backend.create_bucket(BUCKET)
        first = backend.store.remote.connection.server["client_id"]
        with Load(backend) as load:
            time.sleep(0.3)
            swap(mount, fresh("b@example.org"))
            until(5, lambda: backend.store.remote.connection.server["client_id"] != first)
            second = backend.store.remote.connection.server["client_id"]
            swap(mount, fresh("c@example.org") | {"key": fresh("d@example.org")["key"]})
            until(5, lambda: "the old one stays" in caplog.text)
            done = load.done
            until(5, lambda: load.done > done + 3)
            assert backend.store.remote.connection.server["client_id"] == second
        assert load.failures == []
        load.check()


# -- how a server and a connection end ----------------------------------------------------------


def test_a_permission_that_is_taken_away_is_told(run_server, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "s3shim.backends.nats")
    users = 'authorization {{ users: [ {{ user: "u", password: "x"{} }} ] }}'
    server = run_server(more=users.format(""))
    with started(tmp_path, server.url, user="u", password="x", timeout=TIMEOUT) as backend:
        backend.create_bucket(BUCKET)
        server.reload(more=users.format(', permissions: { publish: { deny: "$O.>" } }'))
        time.sleep(0.3)
        for _ in range(3):
            code, took = timed(put, backend, "key", b"body")
            assert (code, took < TIMEOUT + SLACK) == (Code.ServiceUnavailable, True)
    assert len([record for record in caplog.records if "permissions violation" in record.getMessage()]) == 1
