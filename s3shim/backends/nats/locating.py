"""Where an object is: its entry as the leader has it, through links; and what is small is read."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from s3shim.backends.nats.catalog import entry_in
from s3shim.backends.nats.failures import MESSAGE_NOT_FOUND
from s3shim.backends.nats.format import Entry, chunk_subject, meta_subject, stream_of
from s3shim.backends.nats.jetstream import Stored, direct, headers_in, stored_in
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.wires import Unanswered
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, ObjectRef

_LINKS = 8


class Place:
    """Where an object is: a link of another client's leads to another store or key."""

    __slots__ = ("bucket", "entry", "key")

    def __init__(self, bucket: str, key: str, entry: Entry) -> None:
        self.bucket = bucket
        self.key = key
        self.entry = entry


async def locate(store: Store, ref: ObjectRef) -> Place:
    """Return the place of the object. Raises NoSuchKey, NoSuchVersion, NoSuchBucket, ServiceUnavailable."""
    if ref.version_id not in (None, NULL_VERSION):
        raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
    bucket, key = ref.bucket, ref.key
    for _ in range(_LINKS):
        entry = await store.catalog.live(bucket, key)
        link = entry.link
        if link is None:
            return Place(bucket, key, entry)
        bucket, key = link
        if not key:
            break
    raise S3Error(Code.NoSuchKey, Key=ref.key)


def located(store: Store, ref: ObjectRef) -> Place:
    """Return what ``locate`` does, for the thread of a request, which mostly asks by itself."""
    if ref.version_id in (None, NULL_VERSION):
        try:
            entry = _asked(store, ref.bucket, ref.key)
        except Unanswered:
            pass
        else:
            if entry is None or entry.deleted:
                raise S3Error(Code.NoSuchKey, Key=ref.key)
            if entry.link is None:
                return Place(ref.bucket, ref.key, entry)
    return store.call(locate(store, ref))


def _asked(store: Store, bucket: str, key: str) -> Entry | None:
    known = store.buckets.remembered(bucket)
    if known is not None and known.direct and known.replicas == 1:
        entry = _asked_directly(store, bucket, key)
        if entry is not None:
            return entry
    query = b'{"last_by_subj":"%b"}' % meta_subject(bucket, key).encode()
    answered = store.remote.ask(f"STREAM.MSG.GET.{stream_of(bucket)}", query)
    try:
        [(_, data)] = answered
        answer = msgspec.json.decode(data, type=dict[str, Any])
    except ValueError:
        raise Unanswered from None
    error = answer.get("error")
    if error is None:
        return entry_in(stored_in(answer, bare=True))
    if error.get("err_code") == MESSAGE_NOT_FOUND:
        return None
    raise Unanswered


def _asked_directly(store: Store, bucket: str, key: str) -> Entry | None:
    """Return the entry in the only copy of a stream, None where the leader is to be asked after all.

    A mirror of the stream may answer too, and names itself; what it does not find it may not have yet.
    """
    stream = stream_of(bucket)
    found = store.remote.ask(f"DIRECT.GET.{stream}.{meta_subject(bucket, key)}", b"", batch=False)
    if not found:
        return None
    [(head, data)] = found
    headers = headers_in(head)
    if headers.get("Nats-Stream") != stream:
        return None
    return entry_in(direct(headers, data))


def only_chunk(store: Store, place: Place) -> list[Stored] | None:
    """Return the chunk of an object of ours that has one, [] where it is gone, None to ask the loop."""
    entry = place.entry
    if entry.chunks != 1 or not entry.chunk_size:
        return None
    subject = chunk_subject(place.bucket, entry.nuid)
    query = {"batch": 1, "seq": entry.record.get("first", 1), "next_by_subj": subject}
    try:
        found = store.remote.ask(f"DIRECT.GET.{stream_of(place.bucket)}", json.dumps(query).encode())
    except Unanswered:
        return None
    return [direct(headers_in(head), data) for head, data in found]
