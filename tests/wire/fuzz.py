"""Requests that are nearly right against the whole service: ``python -m tests.wire.fuzz``.

Of each request: it ends without an internal error and is answered as WSGI and HTTP have it; what it changes
lies in the bucket and the key that it names, and only where the signature of the bucket's owner holds over it
as it stands. Over sockets: no internal error, nothing of the kind in the log, and the bucket that no right
request names keeps its bytes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from s3shim.config import load
from s3shim.wsgi import create_app
from tests.server.process import serve
from tests.wire.client import Client, LiveClient
from tests.wire.fenced import Fenced
from tests.wire.mutants import Maker, holds
from tests.wire.signing import Draft, Signer
from tests.wire.watched import Change, WatchedBackend

REQUESTS = 1_000_000
SOCKETS = 50_000
MAIN = ("MAINACCESSKEY", "main-secret-main-secret")
OTHER = ("OTHERACCESSKEY", "other-secret-other-secret")

_STORE_LIFE = 1000  # requests, until everything begins anew
_WITHOUT_BODY = ("create_multipart_upload", "copy_object", "upload_part_copy")
_WORST = 10  # failures that are shown
_KEPT = ("/kept-bucket/key", b"kept" * 100)


class Wrong(Exception):
    """A promise that was not kept."""


class _Log(logging.Handler):
    """Keeps what is logged as an error by anything but a served answer."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.exc_info}")


def credentials(directory: Path) -> Path:
    """Write the file with the accounts ``main`` and ``other`` and return it."""
    path = directory / "credentials.json"
    path.touch(0o600)
    pairs = zip(("main", "other"), (MAIN, OTHER), strict=True)
    entries = [{"account": name, "accessKey": key, "secretKey": secret} for name, (key, secret) in pairs]
    path.write_text(json.dumps({"credentials": entries}))
    return path


class Service:
    """A fresh service on a backend that tells what was changed."""

    def __init__(self, directory: Path, seed: int) -> None:
        config = load(["--data", str(directory), "--credentials", str(directory / "credentials.json")], {})
        self.backend = WatchedBackend()
        app = create_app(config, self.backend)
        self.client = Client(app, *MAIN)
        self.maker = Maker(_prepared(Fenced, self.client, self.backend), Signer(*OTHER), seed)

    def try_one(self, number: int) -> int:
        """Send request ``number`` and return the status of the answer. Raises Wrong."""
        draft, kind = self.maker.make(number)
        self.backend.changes.clear()
        try:
            answer = self.client.send(draft)
        except Exception as error:
            raise Wrong(f"{kind}: {draft}: {type(error).__name__}: {error}") from error
        if answer.status >= 500 and answer.status != 501:
            raise Wrong(f"{kind}: {draft}: {answer}")
        for change in self.backend.changes:
            self._check(change, draft, kind)
        if self.backend.changes and answer.status >= 300:
            raise Wrong(f"{kind}: {draft}: {answer.status} and yet {self.backend.changes}")
        return answer.status

    def _check(self, change: Change, draft: Draft, kind: str) -> None:
        signer = self.client.signer if change.owner == "main" else Signer(*OTHER)
        bucket, key = addressed(draft.target)
        listed = change.operation.startswith("delete_object") and draft.method == "POST"
        body = draft.method in ("PUT", "POST") and change.operation not in _WITHOUT_BODY
        if (
            change.bucket != bucket
            or not (listed or change.keys <= {key})
            or not holds(draft, signer, body=body)
        ):
            raise Wrong(f"{kind}: {draft}: {change}")


def _prepared(store: type[Fenced], client: Any, backend: Any) -> Fenced:
    fenced = store(backend, client)
    assert client.request("PUT", "/kept-bucket").status == 200
    assert client.request("PUT", _KEPT[0], body=_KEPT[1]).status == 200
    return fenced


def addressed(target: str) -> tuple[str, str]:
    """Return the bucket and the key that a raw target names."""
    path = re.sub(r"^[A-Za-z]+://[^/?#]*", "", target).partition("#")[0].partition("?")[0]
    bucket, _, key = path.removeprefix("/").partition("/")
    return (unquote_to_bytes(bucket.encode("latin-1")).decode("utf-8", "replace"),
            unquote_to_bytes(key.encode("latin-1")).decode("utf-8", "replace"))  # fmt: skip


def in_process(directory: Path, seed: int, first: int, count: int) -> Iterator[int | Wrong]:
    """Yield the status of each request, or what was wrong."""
    credentials(directory)
    log = _Log()
    logger = logging.getLogger("s3shim")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(log)
    try:
        for number in range(first, first + count):
            if (number - first) % _STORE_LIFE == 0:
                service = Service(directory, seed)
            log.lines.clear()
            try:
                status = service.try_one(number)
                if log.lines:
                    raise Wrong(f"{service.maker.make(number)}: {log.lines}")
                yield status
            except Wrong as wrong:
                yield Wrong(f"request {number}: {wrong}")
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagate


class _Remote(Fenced):
    """A store that cannot be looked into."""

    def digest(self) -> str:
        return ""


def over_sockets(directory: Path, seed: int, first: int, count: int) -> Iterator[int | Wrong]:
    """Yield the status of each request, 0 for a closed connection, or what was wrong; at the end the log."""
    flags = ["--credentials", str(credentials(directory)), "--idle-timeout", "2", "--header-timeout", "2"]
    server = serve(directory, *flags)
    try:
        client = LiveClient(server.host, server.port, *MAIN, timeout=20)
        maker = Maker(_prepared(_Remote, client, None), Signer(*OTHER), seed)
        for number in range(first, first + count):
            draft, kind = maker.make(number)
            if "kept-bucket" in addressed(draft.target) and holds(draft, client.signer, body=False):
                # What was altered is not signed: a right request after all.
                continue
            try:
                status = client.send(draft).status
            except (ConnectionError, http.client.HTTPException):
                status = 0
            except OSError as error:
                yield Wrong(f"request {number}: {kind}: {draft}: {error!r}")
                continue
            wrong = status >= 500 and status != 501
            yield Wrong(f"request {number}: {kind}: {draft}: {status}") if wrong else status
            if number % _STORE_LIFE == 0:
                if client.request("GET", _KEPT[0]).body != _KEPT[1]:
                    yield Wrong(f"before request {number}: the kept object has changed")
                for target in ("/full-bucket", "/full-bucket/small", "/full-bucket/large"):
                    client.request("PUT", target)
        if client.request("GET", _KEPT[0]).body != _KEPT[1]:
            yield Wrong("the kept object has changed")
    finally:
        code = server.stop()
    if code or "Traceback" in server.stderr or " status=500" in server.stderr:
        yield Wrong(f"the server ended with {code}: {server.stderr[-3000:]}")


def main() -> int:
    """Return 1 where a promise was broken, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="how many in process")
    parser.add_argument("--sockets", type=int, default=SOCKETS, help="how many to a server of its own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    arguments = parser.parse_args()
    failures = 0
    for run, count in ((in_process, arguments.requests), (over_sockets, arguments.sockets)):
        began = time.monotonic()
        statuses: Counter[int] = Counter()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
            for found in run(Path(directory), arguments.seed, arguments.first, count):
                if isinstance(found, Wrong):
                    failures += 1
                    print(found if failures <= _WORST else "", flush=True)
                else:
                    statuses[found] += 1
        name = run.__name__.replace("_", " ")
        print(f"{name}: {count} requests in {time.monotonic() - began:.0f} s: {dict(statuses.most_common())}")
    print(f"seed {arguments.seed}: {failures} broken promises")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
