"""What an upstream honours, and what has to be done for it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Dialect:
    """How an upstream behaves.

    ``tagging``: it keeps tags and counts them in the answers to GET and HEAD. ``checksums``: it keeps the
    checksum of an object and tells it. ``copy_keeps_etag``: the copy of an object of parts has its ETag.
    ``copy_may_lose``: a copy may be dated before what it replaces and then has no effect.
    ``dated_by_begin``: of two uploads of a part the one that began last counts. ``chunked``: it takes a
    body whose length it is not told. ``conditions``: it honours If-Match and If-None-Match of a PUT.
    ``empty_parts``: it takes a part without a byte. ``multi_delete``: it removes many keys in one request. ``unfit`` is a pattern that is found in the
    keys which it alters or cannot address.
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
    unfit: str = ""

    def keeps(self, key: str) -> bool:
        """Whether the upstream keeps an object by this key as it is."""
        return not self.unfit or re.search(self.unfit, key) is None


PROFILES = {
    profile.name: profile
    for profile in (
        Dialect("generic"),
        Dialect(
            "garage",
            checksums=True,
            copy_keeps_etag=True,
            copy_may_lose=True,
            dated_by_begin=True,
            chunked=True,
        ),
        Dialect("minio", tagging=True, checksums=True, conditions=True),
        Dialect("aws", tagging=True, checksums=True, conditions=True),
        Dialect("ceph", tagging=True, copy_keeps_etag=True),
        Dialect("moto", tagging=True, chunked=True, empty_parts=True, unfit=r"\n"),
        Dialect(
            "s3shim",
            empty_parts=True,
            tagging=True,
            checksums=True,
            copy_keeps_etag=True,
            chunked=True,
            conditions=True,
        ),
    )
}

_SERVERS = {"garage": "garage", "minio": "minio", "amazons3": "aws", "ceph": "ceph", "werkzeug": "moto"}


def profile_of(server: str) -> Dialect:
    """Return the profile of an upstream that calls itself ``server`` in its answers."""
    found = server.lower()
    for start, name in (*_SERVERS.items(), ("s3shim", "s3shim")):
        if found.startswith(start):
            return PROFILES[name]
    return PROFILES["generic"]
