"""What differs between what the client signed and what has arrived, and what usually makes it so."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from s3shim.auth.mismatch import HIDDEN, SECRET_HEADERS
from s3shim.doctor.canonical import Canonical
from s3shim.doctor.paths import compare_paths

_SHOWN = 200
_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"})
_HOST_FIX = (
    "let the proxy pass Host on as it came (nginx: proxy_set_header Host $http_host;), or tell the server "
    "where clients reach it: --external-url {scheme}://{host}"
)


class Finding(NamedTuple):
    """One cause. ``cause`` is its short name, ``sentence`` what has happened and what helps."""

    cause: str
    sentence: str


def compare(signed: Canonical, seen: Canonical) -> list[Finding]:
    """Return what differs, the likeliest cause first; nothing where all is the same."""
    dates = [dict(side.headers).get("x-amz-date", "") for side in (signed, seen)]
    if all(dates) and dates[0] != dates[1]:
        return [
            Finding(
                "date",
                f"The client signed at {dates[0]}, and the server was told {dates[1]}: these are two "
                "requests, or a proxy changed x-amz-date; give both sides of the same request.",
            )
        ]
    found = []
    if signed.method != seen.method:
        found.append(
            Finding(
                "method",
                f"The client signed the method {signed.method}, the server got {seen.method}: a proxy "
                "changed it; switch that off (nginx: proxy_cache_convert_head off;).",
            )
        )
    if signed.host != seen.host:
        found.append(_host(signed.host, seen.host))
    if signed.path != seen.path:
        cause, sentence = compare_paths(signed.path, seen.path)
        found.append(Finding(cause, sentence))
    if signed.query != seen.query:
        found.append(_query(signed.query, seen.query))
    if signed.signed != seen.signed:
        found.append(
            Finding(
                "signed-headers",
                f"The client signed the headers {_show(signed.signed)}, the server was told "
                f"{_show(seen.signed)}: let no proxy change the Authorization header or the query.",
            )
        )
    theirs = dict(seen.headers)
    for name, value in signed.headers:
        arrived = theirs.get(name, "")
        if name != "host" and value != arrived and HIDDEN not in (value, arrived):
            found.append(_header(name, value, arrived))
    if signed.payload != seen.payload:
        found.append(
            Finding(
                "payload-hash",
                f"The client signed the payload hash {_show(signed.payload)}, the server was told "
                f"{_show(seen.payload)}: let nothing on the way change x-amz-content-sha256 or the body.",
            )
        )
    return found


def absent(seen: Canonical) -> list[Finding]:
    """Return the signed headers that have not arrived; one that was sent without a value looks the same."""
    return [_header(name, "", "") for name, value in seen.headers if not value and name != "host"]


def _host(signed: str, seen: str) -> Finding:
    scheme = "https" if signed.endswith(":443") else "http" if re.search(r":(80|9000)$", signed) else "https"
    fix = _HOST_FIX.format(scheme=scheme, host=signed)
    said = f"The client signed Host {_show(signed)}, the server got {_show(seen)}: "
    if not seen:
        return Finding("host-missing", f"{said}the header was lost on the way; {fix}.")
    if _name(signed) == _name(seen) and signed != seen:
        if signed == seen.partition(":")[0]:
            return Finding("host-port-added", f"{said}a proxy added the port; {fix}.")
        if seen == _name(signed):
            return Finding("host-port-dropped", f"{said}a proxy dropped the port; {fix}.")
        return Finding("host-port-changed", f"{said}a proxy changed the port; {fix}.")
    if signed.lower() == seen.lower():
        return Finding("host-case", f"{said}a proxy changed its case; use the name in lower case.")
    return Finding("host-rewritten", f"{said}a proxy wrote a host of its own; {fix}.")


def _name(host: str) -> str:
    return re.sub(r":[0-9]*$", "", host)


def _query(signed: str, seen: str) -> Finding:
    mine, theirs = signed.split("&") if signed else [], seen.split("&") if seen else []
    missing = list((Counter(mine) - Counter(theirs)).elements())
    added = list((Counter(theirs) - Counter(mine)).elements())
    if not missing and not added:
        return Finding(
            "query-order",
            "The client signed the query in an order of its own: sort the encoded items by name for the "
            "canonical request.",
        )
    names = {item.partition("=")[0] for item in missing} & {item.partition("=")[0] for item in added}
    if len(missing) == len(added) == 1 and (names or _plain(missing[0]) == _plain(added[0])):
        return _query_item(missing[0], added[0])
    if missing and not added:
        return Finding(
            "query-removed",
            f"The client signed the query item {_show('&'.join(missing))}, and the server did not get it: "
            "let the proxy pass the query on as it came (nginx: proxy_pass without a path, no rewrite).",
        )
    if added and not missing:
        return Finding(
            "query-added",
            f"The server got the query item {_show('&'.join(added))}, which the client did not sign: "
            "something on the way added it, or the client adds it after signing; nothing may.",
        )
    if sorted(map(_plain, mine)) == sorted(map(_plain, theirs)):
        return _query_item("&".join(missing), "&".join(added))
    return Finding(
        "query-changed",
        f"The client signed the query {_show(signed)}, the server got {_show(seen)}: let the proxy pass it "
        "on as it came.",
    )


def _query_item(signed: str, seen: str) -> Finding:
    said = f"The client signed the query item {_show(signed)}, the server got {_show(seen)}: "
    if signed.replace("%20", "%2B") == seen or signed.replace("%20", "+") == seen:
        return Finding(
            "query-plus",
            f"{said}a blank is sent as a plus sign, which S3 takes for one; send it as %20.",
        )
    if signed.replace("%2B", "%20") == seen:
        return Finding(
            "query-plus", f"{said}a proxy turned a plus sign into a blank; pass the query on as it is."
        )
    if _plain(signed) == _plain(seen):
        return Finding(
            "query-encoding",
            f"{said}it was encoded again, decoded, or is signed in another encoding than S3's, in which all "
            "but A-Z a-z 0-9 - . _ ~ are %XX with capital letters.",
        )
    return Finding("query-changed", f"{said}something on the way changed it; pass the query on as it came.")


def _plain(text: str) -> str:
    """Return the text without any difference of encoding."""
    for _ in range(2):
        text = re.sub("%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
    return text.replace("+", " ").rstrip("=")


def _header(name: str, signed: str, seen: str) -> Finding:
    if name in SECRET_HEADERS and seen:
        return Finding(
            "header-changed", f"The client signed another value of the header {name} than the server got."
        )
    said = f"The client signed the header {name} as {_show(signed)}, the server got {_show(seen)}: "
    if not seen:
        value = f" ({_show(signed)})" if signed and name not in SECRET_HEADERS else ""
        said = f"The client signed the header {name}{value}, and the server did not get it: "
    if seen and " ".join(signed.split()) == " ".join(seen.split()):
        return Finding(
            "header-blanks",
            f"{said}only blanks differ; sign the value without blanks at its ends, and with single ones "
            "within.",
        )
    if seen and re.sub(r"\s*,\s*", ",", signed) == re.sub(r"\s*,\s*", ",", seen):
        return Finding(
            "header-joined", f"{said}lines of the same name were joined in another way; send one line."
        )
    cause = "header-changed" if seen else "header-removed"
    if name in _HOP:
        return Finding(
            cause,
            f"{said}it belongs to one connection and no proxy passes it on; let the client not sign it.",
        )
    variable = "$http_" + name.replace("-", "_")
    if name == "content-length":
        return Finding(cause, f"{said}a proxy sends the body in another framing; let the client not sign it.")
    return Finding(
        cause,
        f"{said}a proxy {'changed' if seen else 'removed'} it; let it pass (nginx: proxy_set_header {name} "
        f"{variable};), or let the client not sign it.",
    )


def _show(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
