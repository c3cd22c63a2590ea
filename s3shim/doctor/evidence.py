"""What is known of a refused request."""

from __future__ import annotations

from dataclasses import dataclass, field

from s3shim import signing
from s3shim.auth import sigv4
from s3shim.doctor.canonical import Canonical, Scope
from s3shim.wire.request import Query


@dataclass(slots=True)
class Message:
    """A request as it was captured: ``headers`` in order, values with the blanks that they came with.

    ``by_client``: it is what the client has sent, before any proxy; else it may have passed one.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    by_client: bool = False

    def value(self, name: str) -> str:
        """Return the values of the header ``name`` (lower case), joined by commas; "" for none."""
        return ",".join(value.strip(" \t") for n, value in self.headers if n.lower() == name)

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as it was sent."""
        return self.target.partition("?")[2]

    def claim(self) -> sigv4.Claim | None:
        """Return what it says of its signature, None where it has none. Raises S3Error."""
        query = Query(self.query)
        if "X-Amz-Signature" in query:
            return sigv4.parse_query(query.items)[0]
        if not self.value("authorization"):
            return None
        claim = sigv4.parse_authorization(self.value("authorization"))
        claim.timestamp = self.value("x-amz-date") or sigv4.timestamp_of_date(self.value("date")) or ""
        return claim

    def canonical(self, claim: sigv4.Claim) -> Canonical:
        """Return the canonical request over this message, as the server makes it. Raises S3Error."""
        query = Query(self.query)
        names = claim.signed_headers.split(";")
        values = {name: self.value(name) for name in names}
        block = sigv4.canonical_headers(claim.signed_headers, values) or sigv4.told_headers(
            claim.signed_headers, values
        )
        lines = [line.partition(":") for line in block.splitlines()]
        payload = query.get("X-Amz-Content-Sha256") or ""
        if "X-Amz-Signature" not in query or "x-amz-content-sha256" in names:
            payload = payload or self.value("x-amz-content-sha256")
        return Canonical(
            self.method,
            sigv4.canonical_path(self.path),
            sigv4.canonical_query(query.items),
            tuple((name, value) for name, _, value in lines),
            claim.signed_headers,
            payload or signing.UNSIGNED_PAYLOAD,
        )


@dataclass(slots=True)
class Evidence:
    """All that was found. ``seen`` is the canonical request of the server, ``signed`` that of the client.

    ``message`` is a captured request.
    ``answer`` has the elements of the error document; ``hosts`` are names that the client may have used.
    """

    answer: dict[str, str] = field(default_factory=dict)
    seen: Canonical | None = None
    seen_scope: Scope | None = None
    signed: Canonical | None = None
    signed_scope: Scope | None = None
    message: Message | None = None
    access_key: str = ""
    signature: str = ""
    signature_sha256: str = ""
    server_date: str = ""
    hosts: list[str] = field(default_factory=list)
