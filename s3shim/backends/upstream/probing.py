"""The probe: what an upstream does with what is asked of it, found out in a scratch place of our own.

Nothing outside of that place is read or written, and nothing is left in it.
"""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256

from s3shim.backends.upstream.bodies import md5_of
from s3shim.backends.upstream.client import Reply, Request
from s3shim.backends.upstream.dialect import PROFILES, Dialect, profile_of
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.remote import Remote, Slot
from s3shim.errors import Code, S3Error
from s3shim.names import MAX_KEY_BYTES

_DATA = b"what the probe of s3shim wrote"
_UNUSUAL = "keys with control characters, U+FFFE or U+FFFF"
_OTHER = '"00000000000000000000000000000000"'


@dataclass(slots=True)
class Finding:
    """What was found out: ``name`` of the ability, whether it is there, and what s3shim does about it."""

    name: str
    holds: bool
    note: str


class Probe:
    """Asks one upstream. Raises what the first request raises where the upstream cannot be used at all."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._send = remote.client.send
        self._stem = f"probe/{os.urandom(8).hex()}/"

    def run(self) -> tuple[Dialect, list[Finding]]:
        """Return how the upstream behaves, and the same as a table."""
        try:
            # The answer to a HEAD says nothing of why it is refused.
            self._remote.list_page(self._place(""), most=1)
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                raise
        self._remote.ensure_own_bucket()
        self._remote.client.logs = False
        reply = self._put("first", _DATA)
        known = profile_of(reply.headers.get("Server"))
        try:
            findings = [Finding(name, bool(ask()), note) for name, note, ask in self._questions()]
            return self._dialect(known, {finding.name: finding.holds for finding in findings}), findings
        finally:
            # Last of all: a PUT that is refused may leave a directory, which goes with its last object.
            self._clean()

    def _questions(self) -> list[tuple[str, str, Callable[[], bool]]]:
        return [
            ("If-None-Match on PUT", "checked under a lock", self._if_none_match),
            ("If-Match on PUT", "checked under a lock", self._if_match),
            ("If-Match on DELETE", "checked under a lock", self._if_match_delete),
            ("If-Match on the source of a copy", "the source is locked besides", self._if_match_copy),
            ("a wrong checksum is refused", "s3shim verifies bodies itself", self._wrong_checksum),
            ("a wrong Content-MD5 is refused", "the ETag is compared besides", self._wrong_md5),
            ("checksums are kept", "kept in x-amz-meta-s3shim", self._checksums),
            ("tags are kept and counted", "kept in x-amz-meta-s3shim", self._tags),
            ("a body of unknown length", "sent as parts", self._unknown_length),
            ("a part without a byte", "kept as a record alone", self._empty_part),
            ("a copy keeps the ETag of parts", "kept in x-amz-meta-s3shim", self._copy_keeps_etag),
            ("dated by the end of an upload", "copied to the key at its end", self._dated_by_end),
            ("a body that breaks off is discarded", "sent to a place of its own", self._short_body),
            ("the ETag is the MD5", "sent to a place of its own", self._md5_etag),
            ("a wrong SHA-256 is refused", "s3shim verifies bodies itself", self._wrong_sha256),
            ("many deletes in one request", "one request each", self._multi_delete),
            ("keys of 1,024 bytes", "longer keys are refused", lambda: self._keeps(_path(self._room()))),
            ("keys of 1,024 bytes without /", "refused", lambda: self._keeps("k" * self._room())),
            ("keys that begin with /", "refused", lambda: self._keeps_bare("/")),
            ("keys with //", "refused", lambda: self._keeps("a//b")),
            ("keys with line feeds", "refused", lambda: self._keeps("a\nb")),
            (_UNUSUAL, "refused", lambda: self._keeps("a\x01\x1f\x7f\ufffe\uffffb")),
            ("keys with . and .. as segments", "refused", lambda: self._keeps("a/../b/./c")),
            ("keys below the key of an object", "it refuses them, or does not list them", self._nested),
        ]

    def _dialect(self, known: Dialect, holds: dict[str, bool]) -> Dialect:
        unfit = [
            pattern
            for name, pattern in (
                ("keys that begin with /", "^/"),
                ("keys with //", "//"),
                ("keys with line feeds", "\\n"),
                (_UNUSUAL, "[\\x01-\\x1f\\x7f\ufffe\uffff]"),
                ("keys with . and .. as segments", "(^|/)\\.\\.?(/|$)"),
            )
            if not holds[name]
        ]
        by_begin = not holds["dated by the end of an upload"]
        max_key, max_segment = self._longest(holds)
        return replace(
            # It does not say its name, but no other dates an object by the beginning of its upload.
            PROFILES["garage"] if by_begin and known.name == "generic" else known,
            tagging=holds["tags are kept and counted"],
            checksums=holds["checksums are kept"],
            copy_keeps_etag=holds["a copy keeps the ETag of parts"],
            copy_may_lose=by_begin,
            dated_by_begin=by_begin,
            chunked=holds["a body of unknown length"],
            conditions=holds["If-None-Match on PUT"] and holds["If-Match on PUT"],
            empty_parts=holds["a part without a byte"],
            multi_delete=holds["many deletes in one request"],
            unfit="|".join(unfit),
            max_key=max_key,
            max_segment=max_segment,
            discards_short=holds["a body that breaks off is discarded"],
            md5_etag=holds["the ETag is the MD5"],
            verifies_sha256=holds["a wrong SHA-256 is refused"],
        )

    # -- one question each --------------------------------------------------------------------

    def _place(self, name: str) -> Place:
        return self._remote.places.own(f"{self._stem}{name}")

    def _put(self, name: str, data: bytes, **headers: str) -> Reply:
        place = self._place(name)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self._send(Request("PUT", place.bucket, place.key, headers=named, body=data))

    def _read(self, place: Place) -> bytes | None:
        with suppress(S3Error):
            return self._send(Request("GET", place.bucket, place.key)).data
        return None

    def _refused(self, call: Callable[[], object], name: str) -> bool:
        """Whether a call is refused and leaves the object as it was."""
        try:
            call()
        except S3Error:
            return self._read(self._place(name)) == _DATA
        return False

    def _if_none_match(self) -> bool:
        self._put("a", _DATA)
        return self._refused(lambda: self._put("a", b"new", If_None_Match="*"), "a")

    def _if_match(self) -> bool:
        self._put("b", _DATA)
        return self._refused(lambda: self._put("b", b"new", If_Match=_OTHER), "b")

    def _if_match_delete(self) -> bool:
        self._put("c", _DATA)
        place = self._place("c")
        request = Request("DELETE", place.bucket, place.key, headers={"If-Match": _OTHER})
        return self._refused(lambda: self._send(request), "c")

    def _if_match_copy(self) -> bool:
        self._put("d", _DATA)
        source = self._place("first")
        return self._refused(lambda: self._copy(source, _OTHER.strip('"'), "d"), "d")

    def _wrong_checksum(self) -> bool:
        self._put("e", _DATA)
        return self._refused(lambda: self._put("e", b"new", x_amz_checksum_crc32="AAAAAA=="), "e")

    def _wrong_md5(self) -> bool:
        self._put("f", _DATA)
        wrong = b64encode(bytes.fromhex(md5_of(b"other"))).decode()
        return self._refused(lambda: self._put("f", b"new", Content_MD5=wrong), "f")

    def _checksums(self) -> bool:
        value = b64encode(zlib.crc32(_DATA).to_bytes(4, "big")).decode()
        place = self._place("g")
        with suppress(S3Error):
            self._put("g", _DATA, x_amz_checksum_crc32=value)
            asked = {"x-amz-checksum-mode": "ENABLED"}
            reply = self._send(Request("HEAD", place.bucket, place.key, headers=asked))
            return reply.headers.get("x-amz-checksum-crc32") == value
        return False

    def _tags(self) -> bool:
        place = self._place("h")
        with suppress(S3Error):
            self._put("h", _DATA, x_amz_tagging="a=1")
            self._remote.tag_upstream(place, {"a": "2", "b": "3"})
            reply = self._send(Request("HEAD", place.bucket, place.key))
            counted = reply.headers.get("x-amz-tagging-count") == "2"
            return counted and self._remote.tags_upstream(place) == {"a": "2", "b": "3"}
        return False

    def _unknown_length(self) -> bool:
        place = self._place("i")
        with suppress(S3Error):
            self._remote.stream_upstream(place, iter([_DATA, _DATA]), None)
            return self._read(place) == _DATA * 2
        return False

    def _empty_part(self) -> bool:
        place = self._place("j")
        with suppress(S3Error):
            self._upload(place, [b"", _DATA])
            return self._read(place) == _DATA
        return False

    def _upload(self, place: Place, datas: list[bytes], between: Callable[[], object] = lambda: None) -> str:
        upstream_id = self._remote.begin_upstream(place)
        try:
            parts = [
                (number, self._remote.send_part(Slot(place, upstream_id, number), data))
                for number, data in enumerate(datas, 1)
            ]
            between()
            size = sum(map(len, datas))
            return self._remote.complete_upstream(place, upstream_id, size, parts)
        except S3Error:
            self._remote.abort_upstream(place, upstream_id)
            raise

    def _copy(self, source: Place, etag: str, name: str) -> str:
        return self._remote.copy_upstream(source, etag, len(_DATA), self._place(name), {})

    def _copy_keeps_etag(self) -> bool:
        with suppress(S3Error):
            etag = self._upload(self._place("k"), [_DATA])
            return self._copy(self._place("k"), etag, "l") == etag
        return False

    def _dated_by_end(self) -> bool:
        place = self._place("m")
        with suppress(S3Error):
            self._upload(place, [_DATA], lambda: self._put("m", b"put meanwhile"))
            return self._read(place) == _DATA
        return False

    def _short_body(self) -> bool:
        place = self._place("n")

        def broken() -> Iterator[bytes]:
            yield _DATA
            raise S3Error(Code.IncompleteBody)

        request = Request("PUT", place.bucket, place.key, chunks=broken(), length=2 * len(_DATA))
        with suppress(S3Error):
            self._send(request)
        return self._read(place) is None

    def _md5_etag(self) -> bool:
        return self._put("p", _DATA).headers.get("ETag").strip('"') == md5_of(_DATA)

    def _wrong_sha256(self) -> bool:
        self._put("q", _DATA)
        place = self._place("q")
        request = Request("PUT", place.bucket, place.key, chunks=[b"new"], length=3)
        request.hashed = sha256(b"other").hexdigest()
        return self._refused(lambda: self._send(request), "q")

    def _multi_delete(self) -> bool:
        self._put("o", _DATA)
        with suppress(S3Error):
            place = self._place("o")
            self._remote.delete_many_upstream(place.bucket, [place.key])
            return self._read(place) is None
        return False

    def _room(self, size: int = MAX_KEY_BYTES) -> int:
        return max(1, size - len(self._place("").key.encode()))

    def _keeps(self, name: str) -> bool:
        return self._keeps_at(self._place(name))

    def _keeps_bare(self, start: str) -> bool:
        """Ask for a key that begins so, where ours have nothing before them."""
        remote = self._remote
        if remote.places.own("").key != ".s3shim/":
            return True
        return self._keeps_at(Place(remote.places.own_bucket, f"{start}.s3shim-{os.urandom(4).hex()}"))

    def _keeps_at(self, place: Place) -> bool:
        with suppress(S3Error):
            self._send(Request("PUT", place.bucket, place.key, body=_DATA))
            try:
                keys = [item.key for item in self._remote.list_page(place).items]
                return keys == [place.key] and self._read(place) == _DATA
            finally:
                self._remote.drop(place)
        return False

    def _nested(self) -> bool:
        with suppress(S3Error):
            self._put("p", _DATA)
            self._put("p/q", _DATA)
            listed = [item.key for item in self._remote.list_page(self._place("p")).items]
            return listed == [self._place("p").key, self._place("p/q").key]
        return False

    def _longest(self, holds: dict[str, bool]) -> tuple[int, int]:
        """Return the bytes of the longest key that is kept, and of the longest piece of one without "/"."""
        max_key = MAX_KEY_BYTES
        if not holds["keys of 1,024 bytes"]:
            max_key += self._most(self._room(), _path) - self._room()
        if holds["keys of 1,024 bytes without /"]:
            return max_key, MAX_KEY_BYTES
        room = self._room(max_key)
        found = self._most(room, lambda size: "k" * size)
        return max_key, MAX_KEY_BYTES if found == room else found

    def _most(self, most: int, name: Callable[[int], str]) -> int:
        """Return the greatest size, up to ``most``, of which a name is kept."""
        low, high = 0, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._keeps(name(middle)) else (low, middle)
        return low

    def _clean(self) -> None:
        with suppress(S3Error):
            for name, _ in list(self._remote.names_own(self._stem)):
                self._remote.drop(self._place(name))


def _path(size: int) -> str:
    """Return a name of so many bytes that has a "/" here and there."""
    return (f"{'k' * 199}/" * 6)[: size - 1] + "k"
