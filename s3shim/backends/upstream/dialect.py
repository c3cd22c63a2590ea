"""What an upstream honours, and what has to be done for it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from s3shim.errors import Code, S3Error
from s3shim.names import MAX_KEY_BYTES


@dataclass(slots=True, frozen=True)
class Dialect:
    """How an upstream behaves.

    ``tagging``: it keeps tags and counts them in the answers to GET and HEAD. ``checksums``: it keeps the
    checksum of an object and tells it. ``copy_keeps_etag``: the copy of an object of parts has its ETag.
    ``copy_may_lose``: a copy may be dated before what it replaces and then has no effect.
    ``dated_by_begin``: of two uploads of a part the one that began last counts. ``chunked``: it takes a
    body whose length it is not told. ``conditions``: it honours If-Match and If-None-Match of a PUT.
    ``empty_parts``: it takes a part without a byte. ``multi_delete``: it removes many keys in one request.
    ``copy_limit`` is the size of the largest object that it copies in one request, ``unfit`` a pattern
    found in the keys that it alters or cannot address, ``max_key`` the bytes of the longest that it keeps,
    ``max_segment`` those of the longest piece of one between two "/", which is the name of a file for some.
    ``discards_short``: of a body that breaks off it keeps nothing. ``md5_etag``: the ETag of an object that
    was put in one piece is its MD5. ``verifies_sha256``: it refuses a body that has not the SHA-256 that was
    signed.
    """

    name: str
    tagging: bool = False
    checksums: bool = False
    copy_keeps_etag: bool = False
    copy_may_lose: bool = False
    dated_by_begin: bool = False
    chunked: bool = False
    conditions: bool = False
    empty_parts: bool = False
    multi_delete: bool = True
    copy_limit: int = 5 * 1024**3
    unfit: str = ""
    max_key: int = MAX_KEY_BYTES
    max_segment: int = MAX_KEY_BYTES
    discards_short: bool = False
    md5_etag: bool = False
    verifies_sha256: bool = False

    def check_key(self, key: str) -> None:
        """Raise KeyTooLongError, InvalidArgument where the upstream keeps no object by this key as it is."""
        for most, pieces in ((self.max_key, [key]), (self.max_segment, key.split("/"))):
            for piece in pieces:
                if len(piece) * 4 > most and len(piece.encode()) > most:
                    raise S3Error(Code.KeyTooLongError, Size=len(piece.encode()), MaxSizeAllowed=most)
        if self.unfit and re.search(self.unfit, key):
            raise S3Error(
                Code.InvalidArgument, "The storage cannot keep an object by this key.", ArgumentName="key"
            )


PROFILES = {
    profile.name: profile
    for profile in (
        Dialect("generic", copy_may_lose=True, dated_by_begin=True, multi_delete=False),
        Dialect(
            "garage",
            checksums=True,
            copy_keeps_etag=True,
            copy_may_lose=True,
            dated_by_begin=True,
            chunked=True,
            copy_limit=2**63,
            unfit="^/",
            max_key=479,  # of the 511 that its LMDB has for keys, 32 are the bucket's
            discards_short=True,
            md5_etag=True,
            verifies_sha256=True,
        ),
        Dialect(
            "minio",
            tagging=True,
            checksums=True,
            conditions=True,
            unfit=r"^/|//|(^|/)\.\.?(/|$)",
            max_segment=255,
        ),
        Dialect("aws", tagging=True, checksums=True, conditions=True),
        Dialect("ceph", tagging=True, copy_keeps_etag=True),
        Dialect(
            "moto",
            tagging=True,
            chunked=True,
            conditions=True,
            empty_parts=True,
            unfit=r"\n",
            discards_short=True,
            md5_etag=True,
        ),
        Dialect(
            "s3shim",
            tagging=True,
            checksums=True,
            copy_keeps_etag=True,
            chunked=True,
            conditions=True,
            discards_short=True,
            md5_etag=True,
            verifies_sha256=True,
        ),
    )
}

_KEPT = 7 * 86_400
"""Seconds after which an upstream is asked anew: it may be another release by then."""

_SERVERS = {"garage": "garage", "minio": "minio", "amazons3": "aws", "ceph": "ceph", "werkzeug": "moto"}


def profile_of(server: str) -> Dialect:
    """Return the profile of an upstream that calls itself ``server`` in its answers."""
    found = server.lower()
    for start, name in (*_SERVERS.items(), ("s3shim", "s3shim")):
        if found.startswith(start):
            return PROFILES[name]
    return PROFILES["generic"]


def read_dialect(path: Path, asked: list[str]) -> Dialect | None:
    """Return the dialect that was found out of the upstream ``asked`` in the last days; None for none."""
    try:
        if time.time() - path.stat().st_mtime > _KEPT:
            return None
        found = json.loads(path.read_text())
        return Dialect(**found["dialect"]) if found["asked"] == asked else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_dialect(path: Path, asked: list[str], dialect: Dialect) -> None:
    """Keep what was found out; the file is only a memory, and may be removed."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"asked": asked, "dialect": asdict(dialect)}, indent=1))
    new.replace(path)
