"""GetObject and HeadObject: the entry from the leader, the conditions, the bytes."""

from __future__ import annotations

import time
from typing import NamedTuple

from s3shim.backends.nats.chunks import read_parts
from s3shim.backends.nats.locating import Place, located
from s3shim.backends.nats.pieces import LAGS, Damaged, open_pieces
from s3shim.backends.nats.store import Calls, Store
from s3shim.conditions import Conditions, check_read, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectPart, ObjectRef, ObjectStream
from s3shim.ranges import ByteRange

_ATTEMPTS = 5


class Opened(NamedTuple):
    """An object, and the bytes of it that were asked for."""

    place: Place
    stream: ObjectStream


def info_at(store: Store, ref: ObjectRef) -> ObjectInfo:
    """Return what S3 knows of an object. Raises as ``locate``."""
    return located(store, ref).entry.info(ref.key)


def open_object(store: Store, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions) -> Opened:
    """Return where the object is, and its bytes as Backend.get_object does.

    An object that is replaced before its first chunk is read is read anew, and so is one whose chunks have
    not come to the replica that was asked.
    """
    missed = 0
    pauses = iter(LAGS)
    for _ in range(_ATTEMPTS):
        place = located(store, ref)
        info = place.entry.info(ref.key)
        check_read(conditions, info)
        start, length = 0, info.size
        if byte_range is not None and range_applies(conditions, info):
            start, length = byte_range.resolve(info.size)
        try:
            pieces = open_pieces(store, place, start, length)
            return Opened(place, ObjectStream(info, start, length, pieces))
        except Damaged as damage:
            if place.entry.seq == missed:
                pause = next(pauses, None)
                if pause is None:
                    raise S3Error(Code.InternalError, f"The stored object is damaged: {damage}") from None
                time.sleep(pause)
            missed = place.entry.seq
    raise S3Error(Code.ServiceUnavailable)


async def parts_at(store: Store, place: Place) -> list[ObjectPart]:
    """Return the parts of an object. Raises InternalError, ServiceUnavailable."""
    return await read_parts(store.js, place.bucket, place.entry)


class Reading(Calls):
    """HeadObject, GetObject."""

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        info = info_at(self.store, ref)
        check_read(conditions, info)
        return info

    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """See Backend."""
        return open_object(self.store, ref, byte_range, conditions).stream

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        place = located(self.store, ref)
        info = place.entry.info(ref.key)
        check_read(conditions, info)
        return info, self.store.call(parts_at(self.store, place))
