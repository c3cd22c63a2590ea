"""What has become of a path on its way, by comparing it before and after."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import Literal
from urllib.parse import quote, unquote, unquote_to_bytes

from s3shim.auth import sigv4

_SHOWN = 200
_AS_IT_CAME = (
    "let the proxy pass the path on as it came (nginx: proxy_pass without a path or slash after the host)"
)


def compare_paths(signed: str, seen: str) -> tuple[str, str]:
    """Return the short name of what made ``seen`` from ``signed``, and the sentence that says what helps."""
    said = f"The client signed the path {_show(signed)}, the server got {_show(seen)}: "
    for cause, holds, told in _CAUSES:
        if holds(signed, seen):
            return cause, said + told.format(prefix=_show(_prefix(signed, seen)))
    return "path-changed", f"{said}something on the way rewrote it; {_AS_IT_CAME}."


def merged(path: str) -> str:
    """Return ``path`` with runs of slashes made one."""
    return re.sub("/+", "/", path)


def without_dots(path: str) -> str:
    """Return ``path`` with its dot segments removed (RFC 3986, 5.2.4) and its slashes merged."""
    kept = "/" if path.endswith(("/", "/.", "/..")) else ""
    return merged(posixpath.normpath(path) + kept)


def decoded_once(path: str) -> str:
    """Return the canonical form of what a proxy sends that has decoded the path."""
    return sigv4.canonical_path(unquote_to_bytes(path).decode("latin-1"))


def encoded_again(path: str) -> str:
    """Return what a proxy sends, or a client signs, that encodes the path a second time."""
    return path.replace("%", "%25")


def bare(path: str) -> str:
    """Return the path without any difference of encoding."""
    return unquote(unquote(path, "latin-1"), "latin-1")


def normalised(path: str, form: Literal["NFC", "NFD"]) -> str:
    """Return the canonical path whose text is in the Unicode normalisation ``form``."""
    return quote(unicodedata.normalize(form, unquote(path)), safe="/~")


def _prefix(signed: str, seen: str) -> str:
    longer, shorter = (signed, seen) if len(signed) > len(seen) else (seen, signed)
    return longer.removesuffix(shorter)


def _stripped(signed: str, seen: str) -> bool:
    return signed != seen and (signed.endswith(seen) or (seen == "/" and not signed.endswith("//")))


_CAUSES = (
    (
        "path-slashes-merged",
        lambda signed, seen: merged(signed) == seen,
        "a proxy merged slashes, which are part of a key; switch that off (nginx: merge_slashes off;) and "
        + _AS_IT_CAME
        + ".",
    ),
    (
        "path-dots-removed",
        lambda signed, seen: without_dots(signed) == seen,
        "a proxy removed dot segments, which are part of a key; " + _AS_IT_CAME + ".",
    ),
    (
        "path-normalised-by-client",
        lambda signed, seen: without_dots(seen) == signed,
        "the client signed a normalised path, which S3 unlike other services does not; switch the "
        "normalising of paths off in its signer.",
    ),
    (
        "path-decoded",
        lambda signed, seen: re.sub("(?i)%2f", "/", signed) == seen,
        "a proxy decoded %2F into a slash, which names another key; " + _AS_IT_CAME + ".",
    ),
    (
        "path-plus",
        lambda signed, seen: signed.replace("%2B", "%20") == seen or signed.replace("+", "%20") == seen,
        "a proxy turned a plus sign into a blank, which holds for queries and not for paths; "
        + _AS_IT_CAME
        + ".",
    ),
    (
        "path-plus",
        lambda signed, seen: signed.replace("%20", "%2B") == seen,
        "a blank is sent as a plus sign, which S3 takes for one; send it as %20.",
    ),
    (
        "path-decoded",
        lambda signed, seen: decoded_once(signed) == seen,
        "a proxy decoded the path, or the client signed it encoded twice as for other services than S3; "
        + _AS_IT_CAME
        + ", and encode it once.",
    ),
    (
        "path-encoded-twice",
        lambda signed, seen: encoded_again(signed) == seen,
        "a proxy or the client encoded it a second time; " + _AS_IT_CAME + ".",
    ),
    (
        "path-encoding",
        lambda signed, seen: bare(signed) == bare(seen),
        "it is signed in another encoding than S3's, in which all but A-Z a-z 0-9 - . _ ~ / are %XX with "
        "capital letters, or a proxy encoded it anew; " + _AS_IT_CAME + ".",
    ),
    (
        "path-decoded",
        lambda signed, seen: merged(bare(signed)) == merged(bare(seen)),
        "a proxy decoded it and merged its slashes; "
        + _AS_IT_CAME
        + " and do not merge (nginx: merge_slashes "
        "off;).",
    ),
    (
        "path-unicode",
        lambda signed, seen: normalised(signed, "NFC") == normalised(seen, "NFC"),
        "the same text in another Unicode normalisation; send the bytes that are signed.",
    ),
    (
        "path-slash-at-end",
        lambda signed, seen: signed.rstrip("/") == seen.rstrip("/"),
        "a slash at its end was added or removed; " + _AS_IT_CAME + ".",
    ),
    (
        "path-prefix-removed",
        _stripped,
        "a proxy took the prefix {prefix} away; tell the server the URL that clients use with "
        "--external-url, its path included.",
    ),
    (
        "path-prefix-added",
        lambda signed, seen: seen.endswith(signed),
        "a proxy added {prefix} in front; take it out of its configuration (nginx: no path after the host in "
        "proxy_pass).",
    ),
)


def _show(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
