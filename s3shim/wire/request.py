"""One HTTP request as S3 sees it: a raw target, headers, a query, a body. Nothing is decoded twice.

The raw target and the raw header lines are what a client signed, so they are kept; WSGI's decoded
PATH_INFO and its header names, which cannot tell ``-`` from ``_``, are used only where the server
gives nothing better.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from s3shim.errors import Code, S3Error
from s3shim.metrics import Numbers
from s3shim.model import ANONYMOUS, Identity, ObjectRef, UploadRef
from s3shim.multipart import MAX_PARTS
from s3shim.wire.body import MAX_PUT_SIZE, RequestBody
from s3shim.wire.form import Form
from s3shim.wire.hosts import HOST, Proxies, bucket_of

Environ = dict[str, Any]

_PART_NUMBER = re.compile("[0-9]{1,5}", re.ASCII)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

_MEANINGFUL = ("x-amz-", "if-", "content-range")


class Headers:
    """Header lines by lower-case name; a name that was sent twice has its values joined by a comma.

    ``exact`` tells whether the names are those that the client sent, or WSGI's reading of them.
    """

    __slots__ = ("_values", "counts", "exact")

    def __init__(self, lines: Collection[tuple[str, str]], *, exact: bool) -> None:
        self.exact = exact
        self.counts: dict[str, int] = {}
        self._values = {name.lower(): value.strip(" \t") for name, value in lines}
        if len(self._values) < len(lines):
            self._join(lines)

    def _join(self, lines: Collection[tuple[str, str]]) -> None:
        values: dict[str, str] = {}
        for name, value in lines:
            lower = name.lower()
            value = value.strip(" \t")
            if lower in values:
                values[lower] = f"{values[lower]},{value}"
                self.counts[lower] = self.counts.get(lower, 1) + 1
            else:
                values[lower] = value
        self._values = values

    @property
    def mapping(self) -> Mapping[str, str]:
        """The values by lower-case name."""
        return self._values

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the header ``name`` (lower case)."""
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def items(self) -> Collection[tuple[str, str]]:
        """Return (lower-case name, value) for every header."""
        return self._values.items()

    def names(self) -> Iterable[str]:
        """Return the lower-case names."""
        return self._values.keys()

    def count(self, name: str) -> int:
        """Return how many lines of this name were sent; 1 where the server does not tell."""
        return self.counts.get(name, 1) if name in self._values else 0

    def add(self, name: str, value: str) -> None:
        """Take ``value`` for a header that was not sent as one (x-amz-* in a presigned query)."""
        self._values[name] = value

    def respell(self, names: Iterable[str]) -> None:
        """Give the headers the spelling in ``names``, where WSGI has turned ``_`` into ``-``.

        Raises InvalidRequest where two spellings stand for the same WSGI name, NotImplemented for a
        name that would pass for one with a meaning: ``if_match`` is not If-Match.
        """
        if self.exact:
            return
        seen: set[str] = set()
        for name in names:
            folded = name.replace("_", "-")
            if folded in seen:
                raise S3Error(Code.InvalidRequest, f"The headers spelled like {name} cannot be told apart.")
            seen.add(folded)
            if folded != name and folded in self._values:
                if folded.startswith(_MEANINGFUL) and not name.startswith("x-amz-meta-"):
                    raise S3Error(Code.NotImplemented, Header=name[:100])
                self._values[name] = self._values.pop(folded)


class Query:
    """The query string: ``raw`` pairs as sent, and the same decoded once. ``+`` is a plus sign."""

    __slots__ = ("_values", "items", "raw", "repeated")

    def __init__(self, text: str) -> None:
        self.raw: list[tuple[str, str]] = []
        self.items: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        self.repeated: str | None = None
        for part in text.split("&") if text else ():
            if not part:
                continue
            raw_name, _, raw_value = part.partition("=")
            name, value = _decode(raw_name), _decode(raw_value)
            self.raw.append((raw_name, raw_value))
            self.items.append((name, value))
            if name in self._values and self.repeated is None:
                self.repeated = name
            self._values[name] = value

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the decoded value of the parameter ``name``."""
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> Iterable[str]:
        """Return the decoded names."""
        return self._values.keys()


@dataclass(slots=True)
class Service:
    """What the service tells of itself in its answers, the same for every request.

    ``region`` is the one it reports; ``any_region`` lets a LocationConstraint name any other.
    ``token_key`` seals continuation tokens. ``max_put_size`` bounds one request body and
    ``min_part_size`` is the least size of a part but the last, in bytes. ``domains`` are the host names,
    in lower case, below which a host name is that of a bucket. ``proxies``: what is known of those in front.
    ``titled_metadata``: x-amz-meta-* are answered as X-Amz-Meta-*.
    After ``patience`` seconds an answer to lengthy work begins, with a blank every ``blank_every`` seconds.
    ``numbers`` are counted for those who watch the service. ``closed`` are end points that it does not have.
    """

    region: str = "us-east-1"
    any_region: bool = False
    token_key: bytes = b""
    max_put_size: int = MAX_PUT_SIZE
    min_part_size: int = 5 * 1024**2
    domains: tuple[str, ...] = ()
    proxies: Proxies | None = None
    titled_metadata: bool = False
    patience: float = 5.0
    blank_every: float = 5.0
    numbers: Numbers = field(default_factory=Numbers)
    closed: frozenset[str] = frozenset()


def _nothing_else(action: str, bucket: str) -> None:
    raise S3Error(Code.AccessDenied)


class S3Request:
    """A request on its way. Making it never fails; ``parse`` may.

    ``authorize(action, bucket)`` asks for a second permission, as the source of a copy needs; it raises
    AccessDenied or NoSuchBucket, and AccessDenied for everything until the request is authorised itself.

    ``bucket`` and ``key`` are empty where the target names none; the router sets them. ``sent`` are
    the headers as sent, ``headers`` are those plus the x-amz-* items of a presigned query.
    ``host_bucket`` is the bucket that the host name names (virtual-host addressing), or empty. ``path`` is
    as it arrived; ``host`` and ``signed_path`` are as the client sent them, before any proxy. ``form`` are
    the fields of a form by which the request was authenticated, None for any other request.
    """

    __slots__ = (
        "authorize",
        "body",
        "bucket",
        "environ",
        "form",
        "headers",
        "host",
        "host_bucket",
        "id",
        "identity",
        "key",
        "method",
        "path",
        "query",
        "query_string",
        "scheme",
        "sent",
        "service",
        "signed_path",
        "started",
    )

    def __init__(self, environ: Environ, service: Service) -> None:
        self.environ = environ
        self.service = service
        self.id = f"{getrandbits(64):016X}"  # tells requests apart, guards nothing
        self.started = time.perf_counter()
        self.method: str = environ["REQUEST_METHOD"]
        self.identity: Identity = ANONYMOUS
        self.authorize = _nothing_else
        self.form: Form | None = None
        self.bucket = ""
        self.key = ""
        self.host = ""
        self.host_bucket = ""
        self.query = _NO_QUERY
        self.sent = _headers(environ)
        self.headers = self.sent
        target = _target(environ)
        absolute = _ABSOLUTE.match(target)
        if absolute:
            self.host = absolute[1]
            target = target[absolute.end() :] or "/"
        self.path, _, self.query_string = target.partition("?")
        self.signed_path = self.path
        self.scheme: str = environ.get("wsgi.url_scheme", "http")
        self.body = RequestBody(environ, self.sent.get("content-length"), self.sent.get("transfer-encoding"))
        self.body.limit = service.max_put_size

    @property
    def ref(self) -> ObjectRef:
        """The object version that the request names."""
        return ObjectRef(self.bucket, self.key, self.query.get("versionId"))

    @property
    def upload(self) -> UploadRef:
        """The multipart upload that the request names."""
        return UploadRef(self.bucket, self.key, self.query.get("uploadId") or "")

    @property
    def part_number(self) -> int:
        """The part number that the request names. Raises InvalidArgument unless it is 1 to 10,000."""
        value = self.query.get("partNumber") or ""
        if _PART_NUMBER.fullmatch(value) and 1 <= int(value) <= MAX_PARTS:
            return int(value)
        raise S3Error(
            Code.InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=value[:100],
        )

    @property
    def presigned(self) -> bool:
        """Whether the query carries the signature."""
        query = self.query
        return "X-Amz-Signature" in query or "X-Amz-Algorithm" in query or "X-Amz-Credential" in query

    @property
    def url(self) -> str:
        """The URL that the client has asked for, without the query."""
        return f"{self.scheme}://{self.host}{self.signed_path}"

    @property
    def remote_ip(self) -> str:
        """The address of the client, as far as it is known; "" for a Unix socket."""
        peer: str = self.environ.get("REMOTE_ADDR", "")
        proxies = self.service.proxies
        return peer if proxies is None else proxies.remote_ip(peer, self.sent.get)

    def parse(self) -> None:
        """Read target, query and host. Raises InvalidURI, or BadRequest without a host."""
        if "#" in self.path or "#" in self.query_string:
            raise S3Error(Code.InvalidURI, "A request target has no fragment.")
        if not self.path.startswith("/"):
            raise S3Error(Code.InvalidURI)
        self.query = Query(self.query_string)
        if not self.host:
            self.host = self.sent.get("host", "") or ""
        if not self.host:
            raise S3Error(Code.BadRequest, "The Host header is missing.")
        if not HOST.fullmatch(self.host):
            raise S3Error(Code.InvalidURI, "The Host header is not valid.")
        if self.service.proxies is not None:
            self._look_from_outside(self.service.proxies)
        if self.service.domains:
            self.host_bucket = bucket_of(self.host, self.service.domains)
        if self.path.startswith("//") and not self.host_bucket:
            raise S3Error(Code.InvalidURI)
        if self.presigned:
            self._take_headers_from_query()

    def _look_from_outside(self, proxies: Proxies) -> None:
        peer = self.environ.get("REMOTE_ADDR", "")
        self.scheme, self.host, self.signed_path = proxies.seen(
            peer, self.sent.get, self.scheme, self.host, self.path, self.service.domains
        )

    def _take_headers_from_query(self) -> None:
        """Let an x-amz-* item of a presigned query count as the header of that name."""
        hoisted = [
            (name.lower(), value)
            for name, value in self.query.items
            if name.lower().startswith("x-amz-") and name.lower() not in PRESIGN_ITEMS
        ]
        if not hoisted:
            return
        headers = Headers(self.sent.items(), exact=self.sent.exact)
        for name, value in hoisted:
            held = headers.get(name)
            if held is not None and held != value:
                raise S3Error(
                    Code.InvalidRequest,
                    f"The header and the query parameter {name} differ.",
                    ParameterName=name,
                )
            headers.add(name, value)
        self.headers = headers


PRESIGN_ITEMS = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    }
)


def decode_path_segment(raw: str, what: str) -> str:
    """Return a percent-encoded part of the path as text; raise InvalidURI where it is not UTF-8."""
    return _decode(raw, what)


def _decode(raw: str, what: str = "query") -> str:
    if "%" not in raw and raw.isascii():
        return raw
    if _BAD_PERCENT.search(raw):
        raise S3Error(Code.InvalidURI)
    try:
        return unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise S3Error(Code.InvalidURI, f"The {what} is not valid UTF-8.") from None


def _target(environ: Environ) -> str:
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    path = quote(environ.get("PATH_INFO", "").encode("latin-1"), safe="/") or "/"
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _headers(environ: Environ) -> Headers:
    raw: list[tuple[str, str]] | None = environ.get("s3shim.headers")
    if raw is not None:
        return Headers(raw, exact=True)
    lines = [(k[5:].replace("_", "-"), v) for k, v in environ.items() if k.startswith("HTTP_")]
    lines += [
        (name.replace("_", "-"), environ[name])
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if environ.get(name)
    ]
    return Headers(lines, exact=False)


_NO_QUERY = Query("")
