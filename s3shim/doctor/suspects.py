"""What the client may have signed, where what has arrived is known: one thing or two changed on the way.

Each suspect is a canonical request to be tried with the secret key; which change it stands for is found by
comparing it with what has arrived.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from urllib.parse import quote, unquote, urlsplit

from s3shim import signing
from s3shim.auth import sigv4
from s3shim.doctor import paths
from s3shim.doctor.canonical import Canonical
from s3shim.doctor.evidence import Message

_MOST = 24  # places in a path, or items of a query, that are tried
_PORTS = 65_536
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_USUAL_PORTS = (80, 443, 8000, 8080, 8443, 9000)
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_METHODS = {"HEAD": ("GET",), "GET": ("HEAD",), "POST": ("PUT",), "PUT": ("POST",)}

# What clients send of their own, by header: a proxy may have changed it to anything.
_USUAL_VALUES = {
    "accept": ("*/*", "application/xml"),
    "accept-encoding": (
        "identity",
        "gzip",
        "gzip, deflate",
        "gzip,deflate",
        "gzip, deflate, br",
        "gzip, deflate, br, zstd",
        "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
        "deflate, gzip",
        "*",
    ),
    "connection": ("keep-alive", "Keep-Alive", "close", "TE, close"),
    "content-length": ("0",),
    "content-type": (
        "application/octet-stream",
        "binary/octet-stream",
        "application/xml",
        "text/plain",
        "application/x-www-form-urlencoded",
    ),
    "expect": ("100-continue",),
    "te": ("trailers",),
    "transfer-encoding": ("chunked",),
}
_OPERATION_ITEMS = (
    "GetObject",
    "PutObject",
    "DeleteObject",
    "UploadPart",
    "ListObjects",
    "ListObjectsV2",
    "ListBuckets",
    "CopyObject",
)
# Whole queries of clients, for one that was dropped.
_USUAL_QUERIES = (
    "encoding-type=url&list-type=2",
    "list-type=2",
    "list-type=2&prefix=",
    "delimiter=%2F&encoding-type=url&list-type=2",
    "delimiter=%2F&encoding-type=url&list-type=2&prefix=",
    "delimiter=&encoding-type=url&fetch-owner=true&list-type=2&prefix=",
    "encoding-type=url",
    "encoding-type=url&prefix=",
    "delimiter=%2F&encoding-type=url&prefix=",
    *(f"{name}=" for name in ("acl", "cors", "delete", "lifecycle", "location", "policy", "tagging")),
    *(f"{name}=" for name in ("uploads", "versioning", "versions")),
)


def suspects(
    seen: Canonical, message: Message | None, hosts: Iterable[str], prefixes: Iterable[str]
) -> Iterator[Canonical]:
    """Yield what may have been signed, the likely before the others. ``hosts`` and ``prefixes`` are hints."""
    kinds = [
        list(dict.fromkeys(_hosts(seen, hosts))),
        list(dict.fromkeys(_paths(seen, message, prefixes))),
        list(dict.fromkeys(_queries(seen, message))),
        *[list(dict.fromkeys(values)) for values in _headers(seen, message)],
        [replace(seen, method=method) for method in _METHODS.get(seen.method, ())],
        [replace(seen, payload=payload) for payload in _payloads(seen)],
    ]
    for kind in kinds:
        yield from kind
    for first, second in combinations(kinds, 2):
        for one in first:
            for other in second:
                yield _both(seen, one, other)
    yield from _any_port(seen, hosts)


def _both(seen: Canonical, one: Canonical, other: Canonical) -> Canonical:
    """Return ``seen`` with the changes of both, which are of different kinds."""
    changed = {
        name: getattr(one if getattr(one, name) != getattr(seen, name) else other, name)
        for name in ("method", "path", "query", "signed", "payload")
    }
    headers = [a if a != s else b for s, a, b in zip(seen.headers, one.headers, other.headers, strict=True)]
    return Canonical(**changed, headers=tuple(headers))


def _hosts(seen: Canonical, hosts: Iterable[str]) -> Iterator[Canonical]:
    name = re.sub(r":[0-9]*$", "", seen.host)
    bucket = seen.path.split("/")[1]
    names = [*hosts, name]
    names += [f"{bucket}.{host}" for host in names if bucket]
    names += [host.lower() for host in names]
    names += [re.sub(r":[0-9]*$", "", host) for host in names]
    names += [f"{host}:{port}" for host in (name, *_LOCAL) for port in _USUAL_PORTS]
    for host in names:
        if host and host != seen.host:
            yield seen.having("host", host)


def _any_port(seen: Canonical, hosts: Iterable[str]) -> Iterator[Canonical]:
    names = {re.sub(r":[0-9]*$", "", host): None for host in (seen.host, *hosts, *_LOCAL)}
    for name in names:
        for port in range(1, _PORTS):
            yield seen.having("host", f"{name}:{port}")


def _paths(seen: Canonical, message: Message | None, prefixes: Iterable[str]) -> Iterator[Canonical]:
    path = seen.path
    for prefix in prefixes:
        yield replace(seen, path=prefix.rstrip("/") + path)
        if path == "/":
            yield replace(seen, path=prefix)
    if message is not None:
        yield replace(seen, path=message.path)
    slashes = [place.start() for place in re.finditer("/", path)][:_MOST]
    made = [
        paths.encoded_again(path),
        paths.decoded_once(path),
        path.replace("%25", "%"),
        paths.without_dots(path),
        paths.merged(path),
        path.replace("%20", "%2B"),
        path.replace("%20", "+"),
        path.replace("%2B", "%20"),
        path.rstrip("/") or "/",
        path + "/",
        unquote(path),
        re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), path),
        paths.normalised(path, "NFC"),
        paths.normalised(path, "NFD"),
        "/" + quote(unquote(path)[1:], safe=""),
    ]
    made += [quote(unquote(path), safe=safe) for safe in ("/~:@!$&'()*+,;=", "/~+", "/~'()*!", "/")]
    for size in (1, 2):
        made += [_with("/", path, places) for places in combinations(slashes, size)]
    made += [_with("//", path, [place]) for place in slashes]
    made += [_with("/.", path, [place]) for place in slashes]
    # Of a bucket and a key, the slash between them was one.
    inner = slashes[2:]
    made += [_encoding_slashes(path, places) for size in (1, 2) for places in combinations(inner, size)]
    made.append(_encoding_slashes(path, inner))
    made += [path[place:] for place in slashes[1:]]
    # A path that was decoded had escapes that are gone: of a percent sign, of a plus sign.
    made += [path[: place.start()] + "%25" + path[place.start() + 1 :] for place in re.finditer("%", path)]
    for one in made[: 40 * _MOST]:
        if one.startswith("/") and one != path:
            yield replace(seen, path=one)


def _with(what: str, path: str, places: Iterable[int]) -> str:
    """Return ``path`` with ``what`` put before the slashes at ``places``."""
    for place in sorted(places, reverse=True):
        path = path[:place] + what + path[place:]
    return path


def _encoding_slashes(path: str, places: Iterable[int]) -> str:
    for place in sorted(places, reverse=True):
        path = path[:place] + "%2F" + path[place + 1 :]
    return path


def _queries(seen: Canonical, message: Message | None) -> Iterator[Canonical]:
    query = seen.query
    items = query.split("&") if query else []
    made = ["&".join(sorted([*items, f"x-id={name}"])) for name in _OPERATION_ITEMS]
    if not items:
        made += _USUAL_QUERIES
    else:
        made += ["", paths.encoded_again(query), query.replace("%25", "%"), unquote(query)]
        made += [query.replace("%20", "+"), query.replace("%20", "%2B"), query.replace("%2B", "%20")]
        made.append(query.replace("%2F", "/"))
        made.append(re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), query))
        made.append(re.sub("=(?=&|$)", "", query))
        for number, item in list(enumerate(items))[:_MOST]:
            made.append("&".join(items[:number] + items[number + 1 :]))
            if item.endswith("="):
                made.append("&".join([*items[:number], item[:-1], *items[number + 1 :]]))
    if message is not None:
        without = "&".join(
            item for item in message.query.split("&") if not item.startswith("X-Amz-Signature=")
        )
        made += [without, sigv4.canonical_query(_pairs(without))]
    for one in made:
        if one != query:
            yield replace(seen, query=one)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Return the items as a form has them, where a plus sign is a blank."""
    items = [item.partition("=") for item in query.split("&") if item]
    return [(unquote(name.replace("+", " ")), unquote(value.replace("+", " "))) for name, _, value in items]


def _headers(seen: Canonical, message: Message | None) -> Iterator[list[Canonical]]:
    """Yield the suspects of each header."""
    for name, value in seen.headers:
        if name == "host":
            continue
        values = [*_USUAL_VALUES.get(name, ()), "", value.partition(";")[0], value.lower()]
        values += [value.replace(",", ", "), value.replace(", ", ","), f"{value} ", f" {value}"]
        if message is not None:
            sent = [v for n, v in message.headers if n.lower() == name]
            values += [",".join(sent), ", ".join(sent), *sent]
            values += [re.sub(r"\s+", " ", one) for one in sent]
        yield [seen.having(name, one) for one in values if one != value]


def _payloads(seen: Canonical) -> list[str]:
    stated = dict(seen.headers).get("x-amz-content-sha256", "")
    made = (stated, signing.UNSIGNED_PAYLOAD, _EMPTY, seen.payload.lower())
    return [payload for payload in dict.fromkeys(made) if payload and payload != seen.payload]


def addressed(endpoint: str) -> tuple[str, str]:
    """Return host and path prefix of the URL that a client was given. Raises ValueError."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    if not parts.netloc:
        raise ValueError("a URL")
    return parts.netloc.rpartition("@")[2], parts.path
