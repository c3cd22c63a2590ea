"""What s3shim keeps of an object, in headers that every S3 stores.

What the upstream keeps itself stays where other clients of it look for it: Content-Type, the other
standard headers, x-amz-meta-*. The rest (times in ms, checksums, values that headers do not carry
unharmed) is JSON in the one entry x-amz-meta-s3shim, which is hidden again on the way back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from s3shim.checksums import SIZES
from s3shim.model import ObjectInfo, ObjectMeta, ObjectPart
from s3shim.multipart import COMPOSITE, FULL_OBJECT

_PREFIX = "x-amz-meta-"
_ENTRY = f"{_PREFIX}s3shim"
_SYSTEM = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")

_PLAIN_NAME = re.compile(r"[a-z0-9-]+", re.ASCII)
_PLAIN_VALUE = re.compile(r"[!-~]+(?: [!-~]+)*", re.ASCII)
_PARTS_ETAG = re.compile(r"[0-9a-f]{32}-([0-9]+)", re.ASCII)

MAX_INLINE = 700
"""Characters of a table of parts that lies in the entry; S3 has 2,048 bytes for all metadata."""


@dataclass(slots=True)
class Entry:
    """What is kept of an object beside its metadata.

    ``etag`` is empty where it is the upstream's. ``aside`` is the name of our own record that
    has the checksums, which were not known when the write began.
    ``blind``: the write asked for nothing of what was there before it. ``parts`` is its table of parts,
    ``manifest`` the name of the one that lies elsewhere. ``mark`` tells the writes of one key apart.
    """

    modified: int
    checksums: dict[str, str] = field(default_factory=dict)
    checksum_type: str = FULL_OBJECT
    parts_count: int = 0
    etag: str = ""
    parts: list[ObjectPart] = field(default_factory=list)
    manifest: str = ""
    mark: str = ""
    aside: str = ""
    blind: bool = False


@dataclass(slots=True)
class Found:
    """An object as the upstream answered: its record, what is kept beside it, the upstream's own ETag."""

    info: ObjectInfo
    entry: Entry
    upstream_etag: str
    tag_count: int = 0
    tags_kept: bool = False


def headers_of(meta: ObjectMeta, entry: Entry, *, keep_tags: bool) -> dict[str, str]:
    """Return the headers that store ``meta`` and ``entry``; tags only where they are kept in the entry."""
    odd: dict[str, Any] = {"t": entry.modified}
    headers: dict[str, str] = {}
    if meta.content_type is None or not _PLAIN_VALUE.fullmatch(meta.content_type):
        odd["y"] = meta.content_type
    else:
        headers["Content-Type"] = meta.content_type
    for name, value in meta.system.items():
        if _PLAIN_VALUE.fullmatch(value):
            headers[name] = value
        else:
            odd.setdefault("s", {})[name] = value
    for name, value in meta.user.items():
        if _PLAIN_NAME.fullmatch(name) and name != "s3shim" and _PLAIN_VALUE.fullmatch(value):
            headers[f"{_PREFIX}{name}"] = value
        else:
            odd.setdefault("u", {})[name] = value
    if keep_tags and meta.tags:
        odd["g"] = meta.tags
    kept: tuple[tuple[str, object], ...] = (
        ("c", {} if entry.aside else entry.checksums),
        ("k", entry.checksum_type if entry.checksum_type != FULL_OBJECT else ""),
        ("n", entry.parts_count),
        ("e", entry.etag),
        ("p", [[part.part_number, part.size, part.checksums] for part in entry.parts]),
        ("m", entry.manifest),
        ("i", entry.mark),
        ("a", entry.aside),
        ("b", entry.blind),
    )
    odd |= {short: kept_value for short, kept_value in kept if kept_value}
    # A blank within a header may be taken for several or for none on its way.
    packed = json.dumps(odd, separators=(",", ":"))
    headers[_ENTRY] = packed.replace(" ", "\\u0020").replace("\x7f", "\\u007f")
    return headers


def read_object(key: str, headers: Mapping[str, str], size: int) -> Found:
    """Return what the headers of an upstream's answer say of an object of ``size`` bytes."""
    names = {name.lower(): value for name, value in headers.items()}
    etag = names.get("etag", "").removeprefix("W/").strip('"')
    kept = _read_entry(names.pop(_ENTRY, None))
    entry = _entry(kept) if kept else _foreign(names, etag)
    kept = kept or _Kept(0)
    meta = ObjectMeta(
        names.get("content-type") if kept.y is msgspec.UNSET else kept.y,
        {name: names[name] for name in _SYSTEM if name in names} | kept.s,
        {name[len(_PREFIX) :]: value for name, value in names.items() if name.startswith(_PREFIX)} | kept.u,
        kept.g,
    )
    info = ObjectInfo(
        key,
        size,
        entry.etag or etag,
        entry.modified,
        meta,
        entry.checksums,
        checksum_type=entry.checksum_type,
        parts_count=entry.parts_count,
    )
    count = names.get("x-amz-tagging-count", "0")
    return Found(info, entry, etag, int(count) if count.isdigit() else 0, bool(kept.g))


class _Kept(msgspec.Struct):
    """The JSON in the entry; ``y`` is a Content-Type that no header carries, null for none."""

    t: int
    y: str | msgspec.UnsetType | None = msgspec.UNSET
    s: dict[str, str] = {}
    u: dict[str, str] = {}
    g: dict[str, str] = {}
    c: dict[str, str] = {}
    k: str = FULL_OBJECT
    n: int = 0
    e: str = ""
    p: list[tuple[int, int, dict[str, str]]] = []
    m: str = ""
    i: str = ""
    a: str = ""
    b: bool = False


_DECODER = msgspec.json.Decoder(_Kept)


def _read_entry(text: str | None) -> _Kept | None:
    """Return what an entry says; None where there is none, or where somebody else wrote it."""
    if text is None:
        return None
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError:
        return None


def _entry(kept: _Kept) -> Entry:
    parts = [ObjectPart(*row) for row in kept.p]
    return Entry(kept.t, kept.c, kept.k, kept.n, kept.e, parts, kept.m, kept.i, kept.a, kept.b)


def _foreign(names: Mapping[str, str], etag: str) -> Entry:
    """Return what can be known of an object that did not come through s3shim."""
    checksums = {name: names[f"x-amz-checksum-{name}"] for name in SIZES if f"x-amz-checksum-{name}" in names}
    parts = _PARTS_ETAG.fullmatch(etag)
    kind = names.get("x-amz-checksum-type", FULL_OBJECT)
    return Entry(
        http_time(names.get("last-modified", "")),
        checksums,
        COMPOSITE if kind == COMPOSITE else FULL_OBJECT,
        int(parts[1]) if parts else 0,
        blind=True,
    )


def http_time(value: str) -> int:
    """Return an HTTP date as ms since the epoch, 0 for what is none."""
    try:
        return int(parsedate_to_datetime(value).timestamp() * 1000)
    except (ValueError, TypeError):
        return 0
