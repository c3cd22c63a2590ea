"""A body in aws-chunked framing as a client makes it; it shares no code with the server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.wire.signing import Draft, Signer

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
PAYLOADS = (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER)

EMPTY = hashlib.sha256(b"").hexdigest()


def crc32(data: bytes) -> str:
    """Return the CRC-32 as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def cut(data: bytes, size: int) -> list[bytes]:
    """Return ``data`` in chunks of ``size`` bytes and a last one."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@dataclass
class Framed:
    """A body of chunks and trailers. Tests change its parts before ``encode`` or its bytes after."""

    payload: str
    chunks: list[bytes]
    trailers: list[tuple[str, str]] = field(default_factory=list)
    newline: str = "\r\n"
    final: bool = True
    sizes: Callable[[int, int], str] = lambda number, size: f"{size:x}"

    def encode(self, signer: Signer, stamp: str, seed: str) -> bytes:
        """Return the bytes that are sent; ``seed`` is the signature of the request."""
        signed = self.payload != UNSIGNED_TRAILER
        chain = Chain(signer, stamp, seed)
        out = []
        for number, chunk in enumerate([*self.chunks, b""] if self.final else self.chunks):
            head = self.sizes(number, len(chunk))
            if signed:
                head += f";chunk-signature={chain.chunk(chunk)}"
            out.append(f"{head}\r\n".encode() + chunk + (b"\r\n" if chunk else b""))
        lines = [f"{name}:{value}" for name, value in self.trailers]
        if signed and self.payload == SIGNED_TRAILER:
            canonical = "".join(f"{line}\n" for line in lines)
            lines.append(f"x-amz-trailer-signature:{chain.trailer(canonical)}")
        tail = "".join(f"{line}{self.newline}" for line in lines) + "\r\n" if self.final else ""
        return b"".join(out) + tail.encode()


class Chain:
    """The signatures of a body, one after the other."""

    def __init__(self, signer: Signer, stamp: str, seed: str) -> None:
        self.last = seed
        self.stem = f"{stamp}\n{signer.scope(stamp)}\n"
        self.key = ("AWS4" + signer.secret_key).encode()
        for part in (stamp[:8], signer.region, signer.service, "aws4_request"):
            self.key = hmac.new(self.key, part.encode(), hashlib.sha256).digest()

    def chunk(self, data: bytes) -> str:
        """Return the signature of the next chunk."""
        return self._next("PAYLOAD", f"{EMPTY}\n{hashlib.sha256(data).hexdigest()}")

    def trailer(self, canonical: str) -> str:
        """Return the signature of the trailers."""
        return self._next("TRAILER", hashlib.sha256(canonical.encode()).hexdigest())

    def _next(self, kind: str, what: str) -> str:
        text = f"AWS4-HMAC-SHA256-{kind}\n{self.stem}{self.last}\n{what}"
        self.last = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return self.last


def framed(client, target, body: Framed, *, method="PUT", headers=(), decoded=None, length=None) -> Draft:
    """Return a request with ``body``, signed, with the headers that SDKs send."""
    data = b"".join(body.chunks)
    lines = [("Content-Encoding", "aws-chunked"), *dict(headers).items()]
    lines.append(("x-amz-decoded-content-length", str(len(data)) if decoded is None else decoded))
    lines = [(name, value) for name, value in lines if value != ""]
    if body.trailers:
        lines.append(("x-amz-trailer", ",".join(name for name, _ in body.trailers)))
    draft = client.draft(method, target, lines, payload=body.payload)
    seed = draft.header("Authorization").rpartition("Signature=")[2]
    draft.body = body.encode(client.signer, draft.header("x-amz-date"), seed)
    draft.set("Content-Length", str(len(draft.body) if length is None else length))
    return draft
