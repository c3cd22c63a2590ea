"""What every part of the backend stands on: the connection, the places, the locks, and our own things."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.client import Begun, Client, Request
from s3shim.backends.upstream.dialect import PROFILES, Dialect
from s3shim.backends.upstream.locks import Locks
from s3shim.backends.upstream.markup import Listing, read_listing
from s3shim.backends.upstream.places import Place, Places
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error

_SILENT = 1.0
"""Seconds for which an upstream that does not say what it is is not asked again."""

_PAGE = 1000


class Own:
    """The base of UpstreamBackend."""

    def __init__(self, settings: UpstreamSettings, ledger: Ledger | None = None) -> None:
        settings.check()
        if settings.leases != (ledger is not None):
            raise ValueError("leases need a ledger, and a ledger is for leases")
        self.settings = settings
        self.places = Places(settings)
        self.locks = Locks(settings, self.places, ledger)
        self.client = Client(settings, self.locks.leases)
        self._dialect: Dialect | None = None
        self._own_bucket_known = False
        self._silent_until = 0.0
        self._open = False

    def start(self) -> None:
        """See Backend. The upstream need not be there yet."""
        self.locks.start()
        self.client.start()
        self._open = True

    def close(self) -> None:
        """See Backend."""
        self._open = False
        self.client.close()
        self.locks.close()

    @staticmethod
    def now() -> int:
        """Return the time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def opened(self) -> None:
        """Raise ServiceUnavailable unless started."""
        if not self._open:
            raise S3Error(Code.ServiceUnavailable)

    # -- the upstream -------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """How this upstream behaves. Raises S3Error where that must be asked of it and it does not answer."""
        if self._dialect is None:
            # While it does not answer, not every request has to find that out.
            if time.monotonic() < self._silent_until:
                raise S3Error(Code.ServiceUnavailable, "The storage cannot be reached.")
            try:
                self._dialect = PROFILES.get(self.settings.dialect) or self.find_dialect()
            except S3Error:
                self._silent_until = time.monotonic() + _SILENT
                raise
        return self._dialect

    def find_dialect(self) -> Dialect:
        """Return the dialect of an upstream that the settings do not name."""
        raise NotImplementedError

    def list_page(self, place: Place, after: str = "", delimiter: str = "", most: int = _PAGE) -> Listing:
        """Return one page of the keys that begin with the place's, after ``after``."""
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "prefix": place.key,
            "max-keys": str(most),
        }
        if after:
            query["start-after"] = after
        if delimiter:
            query["delimiter"] = delimiter
        return read_listing(self.client.send(Request("GET", place.bucket, query=query)).data)

    # -- what s3shim keeps of its own ---------------------------------------------------------

    def read_own(self, name: str) -> bytes | None:
        """Return a thing of our own, or None."""
        place = self.places.own(name)
        try:
            return self.client.send(Request("GET", place.bucket, place.key)).data
        except S3Error as error:
            if self._is_absent(error):
                return None
            raise

    def write_own(self, name: str, data: bytes) -> None:
        """Keep a thing of our own."""
        try:
            self.begin_own(name, data).finish()
        except S3Error as error:
            raise self._in_doubt(error) from None

    def begin_own(self, name: str, data: bytes) -> Begun:
        """Begin to keep a thing of our own; it is kept once that is finished."""
        self.ensure_own_bucket()
        place = self.places.own(name)
        headers = {"Content-Type": "application/octet-stream"}
        return self.client.begin(Request("PUT", place.bucket, place.key, headers=headers, body=data))

    def ensure_own_bucket(self) -> None:
        """Make the upstream bucket of our own things, unless it is known to be there."""
        if self._own_bucket_known or self.places.single:
            return
        try:
            self.client.send(Request("HEAD", self.places.own_bucket))
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                raise
            with suppress(S3Error):  # another worker may be making it
                self.create_upstream_bucket(self.places.own_bucket)
        self._own_bucket_known = True

    def create_upstream_bucket(self, name: str) -> None:
        """Make a bucket in the upstream."""
        body = b""
        if self.settings.region != "us-east-1":
            region = self.settings.region
            body = (
                "<CreateBucketConfiguration><LocationConstraint>"
                f"{region}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        self.client.send(Request("PUT", name, body=body))

    def delete_own(self, name: str) -> None:
        """Remove a thing of our own; nothing where it is not there."""
        place = self.places.own(name)
        try:
            self.client.send(Request("DELETE", place.bucket, place.key))
        except S3Error as error:
            if not self._is_absent(error):
                raise

    def names_own(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield what of our own things' names follows ``prefix``, in byte order, and their times (ms)."""
        place = self.places.own(prefix)
        after = ""
        while True:
            try:
                page = self.list_page(place, after)
            except S3Error as error:
                if self._is_absent(error):
                    return
                raise
            for item in page.items:
                yield item.key[len(place.key) :], item.modified
            if not page.truncated or not page.items:
                return
            after = page.items[-1].key

    def _is_absent(self, error: S3Error) -> bool:
        if error.code is Code.NoSuchKey:
            return True
        if error.code is Code.NoSuchBucket:
            if self.places.single:
                raise self._in_doubt(error) from None
            return True
        return False

    def _in_doubt(self, error: S3Error) -> S3Error:
        """Return the error; that our own bucket is missing says nothing of the client's."""
        if error.code is Code.NoSuchBucket:
            return S3Error(Code.ServiceUnavailable, f"The storage has no bucket {self.places.own_bucket!r}.")
        return error

    def forget(self, kind: str, bucket: str, name: str) -> None:
        """Remove what is kept of a bucket that is gone."""
        self.delete_own(f"{kind}/{bucket}/{name}")
