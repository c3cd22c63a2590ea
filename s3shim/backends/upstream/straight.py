"""Large bodies that go straight to their key, in one request.

Only where the probe has shown that the upstream discards a body that breaks off: the last bytes leave once
all was verified and the lock of the key is held, and the connection is closed short where it is not to be.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from s3shim.backends.upstream.bodies import READ, Counted, hold_back
from s3shim.backends.upstream.entries import Entry, read_object
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.reading import Reading
from s3shim.backends.upstream.store import Bucket
from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.errors import Code, S3Error
from s3shim.model import Body, ObjectInfo, ObjectMeta, ObjectRef


class Straight(Reading):
    """The part of UpstreamBackend that puts large objects in one request."""

    def headers(self, meta: ObjectMeta, entry: Entry) -> dict[str, str]:
        """Return the headers that store an object's record in this upstream."""
        raise NotImplementedError

    def goes_straight(self, body: Body, conditions: Conditions) -> bool:
        """Whether a large body goes to its key in one request that is broken off where it is not to be.

        Conditions are checked before the write has its time, which over Garage is that of its beginning. And
        no lease is held for as long as a body takes.
        """
        fit = self.dialect.discards_short and self.dialect.md5_etag and conditions is NO_CONDITIONS
        fit = fit and not self.locks.across_hosts
        return fit and body.length is not None and body.length > self.settings.block_size

    def put_straight(self, seen: Bucket, ref: ObjectRef, body: Body, meta: ObjectMeta) -> ObjectInfo:
        """Put an object in one request whose last bytes leave only once all was verified.

        What the client signed the upstream verifies itself, else our MD5 is held against its ETag. The
        checksums are kept aside: what is in the head of the request was known before its body.
        """
        sha256 = body.hand_on() if self.dialect.verifies_sha256 else None
        entry = Entry(self.now(), mark=os.urandom(6).hex(), aside=os.urandom(16).hex(), blind=True)
        place, length = self.at(ref), body.length or 0
        with ExitStack() as held:

            def verified() -> None:
                # It is on its way while the upstream makes the end of the object durable.
                held.push(self.begin_aside(ref, entry.aside, body.digests.checksums))
                held.enter_context(self.committing(seen, ref.key))

            sent = hold_back(Counted(iter(lambda: body.read(READ), b""), body), verified)
            etag = self.stream_object(place, self.headers(meta, entry), sent, length, sha256)
            if body.digests.md5:
                self.verify(place, etag, body.digests.md5)
            if self.dialect.dated_by_begin and not self._counts(place, entry.mark):
                raise S3Error(Code.SlowDown)
        entry.checksums = body.digests.checksums
        return info_of(ref.key, length, etag, meta, entry)

    def _counts(self, place: Place, mark: str) -> bool:
        """Whether a write that may have been overtaken while it went up is there, or was before another one.

        It was before one that did not ask what it replaces. One that did has not seen it: it was not.
        """
        try:
            entry = read_object("", *self.head_upstream(place)).entry
        except S3Error as error:
            if error.code is not Code.NoSuchKey:
                raise
            return False
        return entry.mark == mark or entry.blind


def info_of(key: str, size: int, etag: str, meta: ObjectMeta, entry: Entry) -> ObjectInfo:
    """Return an object that was just written."""
    return ObjectInfo(key, size, etag, entry.modified, meta, entry.checksums)
