"""Identities of NATS for tests: nkeys, and the JWTs of an operator, its accounts and their users.

Source: "JWTs" of the NATS documentation, and nats-io/jwt, version 2 of the claims.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from base64 import b32encode, urlsafe_b64encode

import nkeys

_ANY = {"subs": -1, "data": -1, "payload": -1}
_STORE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
_ACCOUNT = {**_ANY, **_STORE, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": True}


class Key:
    """A new pair of keys; ``kind`` is "operator", "account" or "user"."""

    def __init__(self, kind: str) -> None:
        prefix = getattr(nkeys, f"PREFIX_BYTE_{kind.upper()}")
        self.kind = kind
        self.seed = nkeys.encode_seed(os.urandom(32), prefix).decode()
        self._pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._pair.public_key.decode()

    def certify(self, subject: Key, seconds: int = 0, **claims) -> str:
        """Return the JWT in which this key says ``claims`` of ``subject``, for ``seconds`` where given."""
        now = int(time.time())
        body = {"iss": self.public, "sub": subject.public, "name": subject.kind, "iat": now}
        if seconds:
            body["exp"] = now + seconds
        body["nats"] = {"type": subject.kind, "version": 2, **claims}
        body["jti"] = b32encode(hashlib.sha256(_json(body)).digest()).decode().rstrip("=")
        signed = f"{_coded(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_coded(_json(body))}"
        return f"{signed}.{_coded(self._pair.sign(signed.encode()))}"


class Operator:
    """An operator with a system account and an account "A" with JetStream."""

    def __init__(self) -> None:
        self._operator = Key("operator")
        self._system = Key("account")
        self._account = Key("account")

    @property
    def config(self) -> str:
        """The lines of a server's configuration."""
        system = self._operator.certify(
            self._system, limits={**_ACCOUNT, "disk_storage": 0, "mem_storage": 0}
        )
        account = self._operator.certify(self._account, limits=_ACCOUNT)
        operator = self._operator.certify(self._operator, system_account=self._system.public)
        known = f'"{self._system.public}": "{system}"\n"{self._account.public}": "{account}"'
        return (
            f'operator: "{operator}"\nsystem_account: "{self._system.public}"\n'
            f"resolver: MEMORY\nresolver_preload {{\n{known}\n}}"
        )

    def creds(self, seconds: int = 0) -> str:
        """Return a file of credentials of a new user of the account."""
        user = Key("user")
        jwt = self._account.certify(user, seconds, **_ANY)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def _json(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _coded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
