"""Requests that are nearly right, made from the service model by chance; whether a signature holds."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from urllib.parse import quote

from s3shim.routes.model import load
from tests.wire.chunks import PAYLOADS, SIGNED, Framed, crc32, cut, framed
from tests.wire.client import BaseClient
from tests.wire.fenced import OPERATIONS, WRITES, Fenced
from tests.wire.signing import Draft, Signer

MODEL = load()
NAMES = sorted(OPERATIONS)
QUERY_NAMES = sorted(MODEL.query_names | {"X-Amz-Signature", "X-Amz-Expires", "x-id", "list-type", "fnord"})
HEADER_NAMES = sorted(
    {
        member.wire
        for operation in OPERATIONS.values()
        for member in operation.members.values()
        if member.place == "header" and member.wire != "content-length"
    }
    | {"content-range", "if-range", "origin", "x-amz-meta-a", "x-amz-trailer", "x-amz-fnord", "te", "cookie"}
)
VALUES = [
    "", "0", "1", "-1", "2", "10000", "10001", "9" * 25, "1e3", "true", "null", "*", "a", "a,b", '"a"',
    "W/\"a\"",
    "é", "\xff", "a b", "a=b", "a=b&a=c", "A" * 3000, "%00", "%", "%zz", "../..", "/full-bucket/large",
    "full-bucket/large?versionId=null", "/kept-bucket/key", "bytes=0-0", "bytes=-1", "bytes=5-2",
    "bytes=0-1,3-4",
    "Fri, 24 May 2013 00:00:00 GMT", "2013-05-24T00:00:00Z", "99999999999999999999", "AAAAAA==", "CRC32",
    "COPY", "REPLACE", "ENABLED", "STANDARD", "private", "public-read", "ON", "url", "gzip,aws-chunked",
    "100-continue", "x-amz-checksum-crc32", "\t", "'; --", "<x>", "\x7f",
]  # fmt: skip
PATHS = [
    "/", "//", "/.", "/..", "/../kept-bucket/key", "/full-bucket/../kept-bucket/key", "/full-bucket%2Fkey",
    "/%00",
    "/full-bucket/%00", "/full-bucket/%", "/full-bucket/%zz", "/full-bucket/%ff", "/full-bucket/\xff", "*",
    "/full-bucket//", "/full-bucket/a//b", "/full-bucket/small/", "/FULL-BUCKET/small",
    "/full-bucket/" + "k" * 1025,
    "/" + "b" * 64, "/b", "http://s3.example:9000/full-bucket/small", "/full-bucket/%F0%9F%92%A9", "/healthz",
    "/full-bucket/small#x", "/full-bucket/small?", "/full-bucket?", "/kept-bucket/key",
    "/kept-bucket", "", "x",
]  # fmt: skip
METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "LOCK", "get", "TRACE", "CONNECT"]
TEXTS = [
    b"", b"<", b"<a/>", b"<a>" * 300, b"\x00" * 10, b"\xef\xbb\xbf<Tagging/>", b"\xff\xfe<\x00", b"{}" * 9,
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<?xml version='1.0' encoding='fnord'?><a/>", b"a" * 70_000,
    b"<Delete>" + b"<Object><Key>kept</Key></Object>" * 1001 + b"</Delete>",
    b"<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber></Part></CompleteMultipartUpload>",
]  # fmt: skip
WRONG_HASH = hashlib.sha256(b"x").hexdigest()

Lines = list[tuple[str, str]]

KINDS = ("right", "presigned", "altered", "presigned and altered", "forged", "nobody", "other")
WEIGHTS = (30, 12, 20, 8, 10, 8, 12)


class Maker:
    """Makes requests to the store of ``fenced``: ``other`` is another account's signer, ``seed`` chooses."""

    def __init__(self, fenced: Fenced, other: Signer, seed: int) -> None:
        self.fenced = fenced
        self.client: BaseClient = fenced.client
        self.other = other
        self.seed = seed

    def make(self, number: int) -> tuple[Draft, str]:
        """Return request ``number`` and what its signature is, one of ``KINDS``."""
        chance = random.Random(self.seed << 32 | number)
        [kind] = chance.choices(KINDS, WEIGHTS)
        name = chance.choice(WRITES if chance.random() < 0.6 else NAMES)
        method, target, headers, body = self.fenced.request_for(name)
        if kind not in ("right", "presigned") and chance.random() < 0.4:
            target = target.replace("full-bucket/small", "kept-bucket/key").replace(
                "full-bucket", "kept-bucket"
            )
        headers = list(headers)
        for change in chance.sample(CHANGES, chance.choice((0, 0, 1, 1, 1, 2, 3))):
            method, target, body = change(chance, method, target, headers, body)
        if kind in ("right", "presigned", "other"):
            target = target.replace("kept-bucket", "full-bucket")
            headers = [(header, value.replace("kept-bucket", "full-bucket")) for header, value in headers]
        draft = self._signed(chance, kind, method, target, headers, body)
        if kind.endswith("altered"):
            _alter(chance, draft)
        return draft, kind

    def _signed(
        self,
        chance: random.Random,
        kind: str,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> Draft:
        if kind == "nobody":
            return self.client.draft(method, target, headers, body, sign=False)
        signer = {"other": self.other, "forged": Signer("MAINACCESSKEY", "guess")}.get(
            kind, self.client.signer
        )
        if kind.startswith("presigned"):
            signed = self.client.presign(method, target.partition("#")[0], headers)
            return self.client.draft(method, signed, headers, body, sign=False)
        if body and kind in ("right", "altered") and chance.random() < 0.25:
            return self._framed(chance, method, target, headers, body)
        payload = chance.choice(
            ["sign", "sign", "sign", "unsigned", hashlib.sha256(b"x").hexdigest(), "fnord"]
        )
        return self.client.draft(method, target, headers, body, payload=payload, signer=signer)

    def _framed(self, chance: random.Random, method: str, target: str, headers: Lines, body: bytes) -> Draft:
        payload = chance.choice(PAYLOADS)
        trailers = [] if payload == SIGNED else [("x-amz-checksum-crc32", crc32(body))]
        chunks = cut(body, chance.choice((3, 8192, 8192)))
        draft = framed(self.client, target, Framed(payload, chunks, trailers), method=method, headers=headers)
        if chance.random() < 0.4:
            draft.body = _flipped(chance, draft.body)
        return draft


def holds(draft: Draft, signer: Signer, *, body: bool) -> bool:
    """Whether ``draft`` as it stands has a signature of ``signer``.

    Where it states a hash of the body, and ``body`` says that the body counts, that has to be right too.
    """
    headers = {name.lower(): value for name, value in draft.headers}
    target = draft.target.partition("#")[0]
    if match := re.search(r"X-Amz-SignedHeaders=([^&]*).*&X-Amz-Signature=([^&]*)&*$", target):
        names, signature = match[1].replace("%3B", ";"), match[2]
        date = re.search(r"X-Amz-Date=([^&]*)", target)
        payload, stamp = "UNSIGNED-PAYLOAD", date[1] if date else ""
    elif match := re.search(r"SignedHeaders=([^,]*), Signature=(.*)", headers.get("authorization", "")):
        names, signature = match[1], match[2]
        payload, stamp = headers.get("x-amz-content-sha256", ""), headers.get("x-amz-date", "")
    else:
        return False
    if body and re.fullmatch("[0-9a-f]{64}", payload) and payload != hashlib.sha256(draft.body).hexdigest():
        return False
    plain = Draft(draft.method, target, draft.headers, draft.body)
    return signer.signature(plain, stamp, payload, names.split(";")) == signature


def _method(chance, method, target, headers, body):
    return chance.choice(METHODS), target, body


def _path(chance, method, target, headers, body):
    path, mark, query = target.partition("?")
    if chance.random() < 0.5:
        return method, chance.choice(PATHS) + mark + query, body
    place = chance.randrange(len(path) + 1)
    more = chance.choice(
        ["/", "%2F", "%2e%2e/", "%00", "%", "\xe9", "%C3%A9", "+", "%20", ";", "~", "'", "\\", "#", "&"]
    )
    return method, f"{path[:place]}{more}{path[place:]}{mark}{query}", body


def _query(chance, method, target, headers, body):
    name, value = chance.choice(QUERY_NAMES), chance.choice(VALUES)
    item = chance.choice(
        [name, f"{name}=", f"{name}={quote(value, safe='', encoding='latin-1')}", f"{name}=%zz", "&&"]
    )
    if chance.random() < 0.2:
        item = f"{item}&{item}"
    return method, f"{target}{'&' if '?' in target else '?'}{item}", body


def _header(chance, method, target, headers, body):
    headers.append((chance.choice(HEADER_NAMES), chance.choice(VALUES)))
    return method, target, body


def _body(chance, method, target, headers, body):
    if chance.random() < 0.5 or not body:
        return method, target, chance.choice(TEXTS)
    if chance.random() < 0.5:
        return method, target, _flipped(chance, body)
    return method, target, body[: chance.randrange(len(body))]


CHANGES: list[Callable[..., tuple[str, str, bytes]]] = [
    _method,
    _path,
    _query,
    _header,
    _header,
    _body,
    _body,
]


def _flipped(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _alter(chance: random.Random, draft: Draft) -> None:
    """Change what was signed."""
    what = chance.choice(["target", "header", "more", "body", "method", "signature"])
    if what == "target":
        place = chance.randrange(len(draft.target) + 1)
        draft.target = draft.target[:place] + chance.choice("aZ0%&=/.~") + draft.target[place:]
    elif what == "header":
        index = chance.randrange(len(draft.headers))
        name, value = draft.headers[index]
        if name.lower() not in ("content-length", "host"):
            draft.headers[index] = (name, value[:-1] + chance.choice("aZ0 "))
    elif what == "more":
        draft.headers.append((chance.choice(HEADER_NAMES), chance.choice(VALUES)))
    elif what == "body" and draft.body:
        draft.body = _flipped(chance, draft.body)
    elif what == "method":
        draft.method = chance.choice(METHODS)
    else:
        draft.headers = [
            (name, value[:-1] + ("0" if value[-1:] != "0" else "1"))
            if name == "Authorization"
            else (name, value)
            for name, value in draft.headers
        ]
