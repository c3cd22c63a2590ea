"""How a listing is cut into pages, rolled up by a delimiter, and resumed.

One rule for every backend that can seek in its keys: ``list_page``.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac_new
from typing import TypeVar

from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery, Page, UploadQuery

T = TypeVar("T")

Seek = Callable[[str], Iterable[tuple[str, Callable[[str], T]]]]

_MAC_BYTES = 16
_LAST = "\U0010ffff"


def successor(key: str) -> str:
    """Return the least str above ``key``."""
    return key + "\0"


def after_prefix(prefix: str) -> str | None:
    """Return the least str that is above every str that begins with ``prefix``; None where none is."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters and have no UTF-8
        following = 0xE000
    return stem[:-1] + chr(following)


def common_prefix(key: str, query: ListQuery) -> str | None:
    """Return the common prefix that ``key`` is rolled up into, or None.

    What follows a NUL is no longer the key (``upload_position``) and is not rolled up.
    """
    if not query.delimiter:
        return None
    end = key.find(query.delimiter, len(query.prefix))
    if end < 0:
        return None
    group = key[: end + len(query.delimiter)]
    return None if "\0" in group else group


def list_page(seek: Seek[T], query: ListQuery) -> Page[T]:
    """Return one page of what ``seek`` finds.

    ``seek(start)`` yields (key, make) for the keys from ``start`` on, in order; ``make(key)`` gives the
    record and is called only for the keys that are shown. Common prefixes are not walked but jumped
    over, so a page costs its own length and not that of the bucket.
    """
    page: Page[T] = Page([], [])
    if query.max_keys <= 0:
        return page
    start: str | None = query.prefix
    if query.marker and query.marker >= query.prefix:
        whole = common_prefix(query.marker, query)
        rolled = whole == query.marker and query.marker.startswith(query.prefix)
        start = after_prefix(query.marker) if rolled else successor(query.marker)
    last = ""
    left = query.max_keys
    prefix, rolls_up = query.prefix, bool(query.delimiter)
    while start is not None:
        following: str | None = None
        for key, make in seek(start):
            if not key.startswith(prefix):
                break
            if not left:
                page.next_marker = last
                break
            left -= 1
            group = common_prefix(key, query) if rolls_up else None
            if group is None:
                page.items.append(make(key))
                last = key
                continue
            page.common_prefixes.append(group)
            last = group
            following = after_prefix(group)
            break
        start = following
    return page


def upload_position(key: str, upload_id: str) -> str:
    """Return what sorts uploads by key, then by initiation; no key holds a NUL."""
    return f"{key}\0{upload_id}"


def list_uploads_page(seek: Seek[T], query: UploadQuery) -> Page[T]:
    """Return one page of multipart uploads; ``seek`` yields their ``upload_position`` in order.

    ``next_marker`` is the key of the last upload, or the last common prefix.
    """
    marker, nul, _ = query.key_marker.partition("\0")
    plain = ListQuery(query.prefix, query.delimiter, marker, query.max_uploads)
    if "\0" in query.prefix:
        return Page([], [])
    if marker and common_prefix(marker, plain) != marker:
        upload_id = _LAST if nul else query.upload_id_marker or _LAST
        plain.marker = upload_position(marker, upload_id)
    page = list_page(seek, plain)
    if page.next_marker is not None:
        page.next_marker = page.next_marker.partition("\0")[0]
    return page


def seal_token(secret: bytes, context: tuple[str, ...], marker: str) -> str:
    """Return ``marker`` as an opaque token that only ``open_token`` with the same context accepts."""
    payload = marker.encode()
    return urlsafe_b64encode(_mac(secret, context, payload) + payload).decode()


def open_token(secret: bytes, context: tuple[str, ...], token: str) -> str:
    """Return the marker in ``token``; raise InvalidArgument where we did not make it for this context."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
    except (ValueError, Base64Error):
        raw = b""
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    canonical = urlsafe_b64encode(raw).decode() == token
    if not canonical or not compare_digest(mac, _mac(secret, context, payload)):
        raise S3Error(
            Code.InvalidArgument,
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        )
    return payload.decode()


def _mac(secret: bytes, context: tuple[str, ...], payload: bytes) -> bytes:
    message = b"".join(
        len(part).to_bytes(4, "big") + part for part in (*(c.encode() for c in context), payload)
    )
    return hmac_new(secret, message, sha256).digest()[:_MAC_BYTES]
