"""How the NATS storage connects: each way to say who we are, TLS, and several servers."""

import asyncio
import contextlib
import logging
import socket
import threading
import time

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as to

from s3shim.backends.nats import connection
from s3shim.errors import Code
from s3shim.model import ListQuery
from tests.contract.bodies import code_of, get, put
from tests.nats.accounts import Key, Operator
from tests.nats.rig import BUCKET, ready, started, storage, until
from tests.nats_server import free_port


def serve_an_object(path, *servers, **settings):
    """Put, get and list through a storage of its own."""
    with started(path, *servers, **settings) as backend:
        backend.check()
        backend.create_bucket(BUCKET)
        put(backend, "key", b"body")
        assert get(backend, "key") == b"body"
        assert [info.key for info in backend.list_objects("bucket", ListQuery()).items] == ["key"]


def refused(caplog, path, *servers, **settings):
    """Start a storage that cannot connect; return its one line in the log."""
    caplog.set_level(logging.INFO, "s3shim.backends.nats")
    with started(path, *servers, timeout=0.5, **settings) as backend:
        assert code_of(backend.check) is Code.ServiceUnavailable
        assert code_of(backend.head_bucket, "bucket") is Code.ServiceUnavailable
        assert code_of(put, backend, "key", b"body") is Code.ServiceUnavailable
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("s3shim")]
    return line


# -- who we are ---------------------------------------------------------------------------------


def test_anonymous(run_server, tmp_path):
    serve_an_object(tmp_path, run_server().url)


def test_user_and_password(run_server, tmp_path):
    server = run_server(more='authorization { user: "u", password: "secret" }')
    serve_an_object(tmp_path, server.url, user="u", password="secret")


def test_user_and_password_in_the_url(run_server, tmp_path):
    server = run_server(more='authorization { user: "u", password: "secret" }')
    serve_an_object(tmp_path, server.url.replace("//", "//u:secret@"))


def test_token(run_server, tmp_path):
    serve_an_object(tmp_path, run_server(more='authorization { token: "secret" }').url, token="secret")


def test_nkey(run_server, tmp_path):
    key = Key("user")
    (tmp_path / "seed").write_text(key.seed + "\n")
    server = run_server(more=f'authorization {{ users: [ {{ nkey: "{key.public}" }} ] }}')
    serve_an_object(tmp_path, server.url, nkey=tmp_path / "seed")


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_credentials_of_an_operators_user(run_server, tmp_path, end):
    operator = Operator()
    (tmp_path / "creds").write_bytes(operator.creds().replace("\n", end).encode())
    serve_an_object(tmp_path, run_server(more=operator.config).url, creds=tmp_path / "creds")


def test_a_wrong_password_is_told_once_and_not_shown(run_server, tmp_path, caplog):
    server = run_server(more='authorization { user: "u", password: "secret" }')
    line = refused(caplog, tmp_path, server.url, user="u", password="wrong-one")
    assert "Authorization Violation" in line
    assert "wrong-one" not in line


def test_a_wrong_password_in_the_url_is_not_shown(run_server, tmp_path, caplog):
    server = run_server(more='authorization { user: "u", password: "secret" }')
    assert "wrong-one" not in refused(caplog, tmp_path, server.url.replace("//", "//u:wrong-one@"))


def test_a_wrong_token_is_told_once(run_server, tmp_path, caplog):
    server = run_server(more='authorization { token: "secret" }')
    assert "Authorization Violation" in refused(caplog, tmp_path, server.url, token="wrong-one")


def test_another_nkey_is_told_once(run_server, tmp_path, caplog):
    (tmp_path / "seed").write_text(Key("user").seed)
    server = run_server(more=f'authorization {{ users: [ {{ nkey: "{Key("user").public}" }} ] }}')
    assert "Authorization Violation" in refused(caplog, tmp_path, server.url, nkey=tmp_path / "seed")


@pytest.mark.parametrize("text", ["", "SUAXXX", "\xff" * 58], ids=["empty", "short", "no seed"])
def test_what_is_no_seed_is_told_once(run_server, tmp_path, caplog, text):
    (tmp_path / "seed").write_text(text)
    server = run_server(more=f'authorization {{ users: [ {{ nkey: "{Key("user").public}" }} ] }}')
    assert str(tmp_path / "seed") in refused(caplog, tmp_path, server.url, nkey=tmp_path / "seed")


def test_credentials_of_another_operators_user_are_told_once(run_server, tmp_path, caplog):
    (tmp_path / "creds").write_text(Operator().creds())
    server = run_server(more=Operator().config)
    assert "Authorization Violation" in refused(caplog, tmp_path, server.url, creds=tmp_path / "creds")


@pytest.mark.parametrize(
    "cut", [lambda text: "", lambda text: text[:40], lambda text: text.split("*")[0]], ids=["0", "40", "half"]
)
def test_what_are_no_credentials_is_told_once(run_server, tmp_path, caplog, cut):
    operator = Operator()
    (tmp_path / "creds").write_text(cut(operator.creds()))
    server = run_server(more=operator.config)
    assert str(tmp_path / "creds") in refused(caplog, tmp_path, server.url, creds=tmp_path / "creds")


# -- TLS ----------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test, whose certificates lie in ``path``."""

    def __init__(self, path):
        self.path = path
        self._authority = trustme.CA()
        self.ca = path / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name, *hosts):
        """Return the paths of a certificate and its key."""
        issued = self._authority.issue_cert(*hosts)
        cert, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return cert, key

    def config(self, *hosts, verify=False):
        """The lines of the configuration of a server with TLS."""
        cert, key = self.issue("server", *hosts)
        more = f', ca_file: "{self.ca}", verify: true' if verify else ""
        return f'tls {{ cert_file: "{cert}", key_file: "{key}"{more} }}'


@pytest.fixture
def authority(tmp_path):
    """A certificate authority."""
    return Authority(tmp_path)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_tls_with_a_ca(run_server, tmp_path, authority, scheme):
    server = run_server(more=authority.config("127.0.0.1"))
    serve_an_object(tmp_path, server.url.replace("nats:", f"{scheme}:"), tls_ca=authority.ca)


def test_a_client_certificate(run_server, tmp_path, authority):
    server = run_server(more=authority.config("127.0.0.1", verify=True))
    cert, key = authority.issue("client", "s3shim@example.org")
    serve_an_object(tmp_path, server.url, tls_ca=authority.ca, tls_cert=cert, tls_key=key)


def test_the_name_of_the_server(run_server, tmp_path, authority):
    server = run_server(more=authority.config("nats.example.org"))
    serve_an_object(tmp_path, server.url, tls_ca=authority.ca, tls_server_name="nats.example.org")


def test_a_certificate_of_an_unknown_authority_is_told_once(run_server, tmp_path, authority, caplog):
    server = run_server(more=authority.config("127.0.0.1"))
    assert "certificate verify failed" in refused(caplog, tmp_path, server.url.replace("nats:", "tls:"))


def test_a_server_of_another_name_is_told_once(run_server, tmp_path, authority, caplog):
    server = run_server(more=authority.config("nats.example.org"))
    assert "127.0.0.1" in refused(caplog, tmp_path, server.url, tls_ca=authority.ca)


def test_a_missing_client_certificate_is_told_once(run_server, tmp_path, authority, caplog):
    server = run_server(more=authority.config("127.0.0.1", verify=True))
    assert "certificate" in refused(caplog, tmp_path, server.url, tls_ca=authority.ca)


def test_a_certificate_and_another_ones_key_are_told_once(run_server, tmp_path, authority, caplog):
    server = run_server(more=authority.config("127.0.0.1", verify=True))
    cert, _ = authority.issue("client", "a@example.org")
    _, key = authority.issue("other", "b@example.org")
    assert "KEY_VALUES_MISMATCH" in refused(
        caplog, tmp_path, server.url, tls_ca=authority.ca, tls_cert=cert, tls_key=key
    )


@pytest.mark.parametrize("settings", [{"scheme": "tls"}, {"scheme": "nats", "ca": True}], ids=["tls", "ca"])
def test_nothing_is_sent_in_clear_where_tls_is_asked_for(run_server, tmp_path, authority, caplog, settings):
    server = run_server(more='authorization { user: "u", password: "secret" }')
    more = {"tls_ca": authority.ca} if "ca" in settings else {}
    url = server.url.replace("nats:", f"{settings['scheme']}:")
    assert "TLS" in refused(caplog, tmp_path, url, user="u", password="secret", **more)


def test_a_key_with_a_passphrase_does_not_ask_for_it(run_server, tmp_path, authority, caplog):
    server = run_server(more=authority.config("127.0.0.1", verify=True))
    cert, key = authority.issue("client", "a@example.org")
    secret = to.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        secret.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.BestAvailableEncryption(b"secret"))
    )
    assert str(key) in refused(caplog, tmp_path, server.url, tls_ca=authority.ca, tls_cert=cert, tls_key=key)


# -- where JetStream is -------------------------------------------------------------------------


def test_a_domain(run_server, tmp_path):
    server = run_server(limits='domain: "hub"')
    serve_an_object(tmp_path, server.url, domain="hub")


def test_a_domain_through_a_leaf_node(run_server, tmp_path):
    port = free_port()
    run_server("hub", limits='domain: "hub"', more=f'leafnodes {{ listen: "127.0.0.1:{port}" }}')
    leaf = run_server(
        "leaf",
        limits='domain: "leaf"',
        more=f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{port}" }} ] }}',
    )
    with started(tmp_path, leaf.url, domain="hub") as backend:
        until(10, lambda: ready(backend))
        backend.create_bucket(BUCKET)
        put(backend, "key", b"body")
        assert get(backend, "key") == b"body"
    with started(tmp_path / "leaf", leaf.url, domain="leaf") as backend:
        assert backend.list_buckets() == []


ACCOUNTS = """
accounts {
  STORE {
    jetstream: enabled
    users: [ { user: "store", password: "x" } ]
    exports: [ { service: "$JS.API.>", response: stream }, { service: "$O.>", response: stream },
               { service: "$KV.>", response: stream } ]
  }
  GATE {
    users: [ { user: "gate", password: "x" } ]
    imports: [ { service: { account: STORE, subject: "$JS.API.>" }, to: "far.api.>" },
               { service: { account: STORE, subject: "$O.>" } },
               { service: { account: STORE, subject: "$KV.>" } } ]
  }
}
"""


def test_an_api_prefix_of_another_accounts_jetstream(run_server, tmp_path):
    server = run_server(more=ACCOUNTS)
    serve_an_object(tmp_path, server.url, user="gate", password="x", api_prefix="far.api")
    with started(tmp_path / "own", server.url, user="store", password="x") as backend:
        assert get(backend, "key") == b"body"


@pytest.mark.parametrize("where", [{"domain": "nowhere"}, {"api_prefix": "no.where"}], ids=str)
def test_a_jetstream_that_is_not_there_is_told_once(run_server, tmp_path, caplog, where):
    caplog.set_level(logging.WARNING, "s3shim.backends.nats")
    with started(tmp_path, run_server().url, timeout=0.5, **where) as backend:
        for _ in range(3):
            assert code_of(backend.check) is Code.ServiceUnavailable
        assert code_of(put, backend, "key", b"body") is Code.ServiceUnavailable
        assert code_of(backend.create_bucket, BUCKET) is Code.ServiceUnavailable
    (line,) = [record.getMessage() for record in caplog.records]
    assert "JetStream" in line


def test_an_account_without_jetstream_is_told_once(run_server, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "s3shim.backends.nats")
    server = run_server(more='accounts { A { users: [ { user: "u", password: "x" } ] } }')
    with started(tmp_path, server.url, user="u", password="x", timeout=0.5) as backend:
        assert code_of(backend.check) is Code.ServiceUnavailable
        assert code_of(backend.create_bucket, BUCKET) is Code.ServiceUnavailable
    (line,) = [record.getMessage() for record in caplog.records]
    assert "JetStream does not answer" in line


# -- several servers ----------------------------------------------------------------------------


def test_one_of_two_servers_is_dead(run_server, tmp_path):
    server = run_server()
    dead = f"nats://127.0.0.1:{free_port()}"
    for number in range(3):
        with started(tmp_path / str(number), dead, server.url) as backend:
            backend.check()


def test_a_server_that_says_nothing_is_passed_over(run_server, tmp_path):
    server = run_server()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        with started(tmp_path, mute, server.url) as backend:
            until(5, lambda: ready(backend))


def test_a_close_amid_an_attempt_to_connect_ends(tmp_path, monkeypatch):
    """A cancellation may be lost in the client's library."""
    begun = []

    async def dial(*_):
        begun.append(True)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        raise OSError("not this one")

    monkeypatch.setattr(connection, "dial", dial)
    backend = storage(tmp_path, "nats://127.0.0.1:1")
    threading.Thread(target=code_of, args=(backend.start,), daemon=True).start()
    until(5, lambda: begun and backend._store is not None)
    began = time.monotonic()
    backend.close()
    assert time.monotonic() - began < 2
