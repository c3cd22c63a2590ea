"""The steps of the machine on buckets and objects."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from crash.machine_base import (
    BODIES,
    BUCKETS,
    HEADERS,
    KEYS,
    NAMESPACE,
    TAGS,
    Base,
    escape,
    path_of,
    step,
    tagging_document,
    texts,
)
from crash.model import Object, Refused

WRITE_CONDITIONS = st.sampled_from(("", "", "", "none", "right", "any", "wrong"))
READ_CONDITIONS = st.sampled_from(
    (
        *("if-match right", "if-match wrong", "if-match any", "if-none-match right", "if-none-match wrong"),
        *("if-modified-since -3600", "if-modified-since 0", "if-unmodified-since -3600"),
        *("if-unmodified-since 0", "if-unmodified-since 3600", "if-none-match any"),
    )
)
RANGES = st.sampled_from(
    (
        *("bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=1-2", "bytes=999-1000", "bytes=4095-4096"),
        *("bytes=4096-", "bytes=-5000", "bytes=8190-99999", "bytes=300-299", "bytes=a-b", "bytes=99999-"),
    )
)
WRONG = "0" * 32


class Objects(Base):
    """Buckets, and whole objects in them."""

    # -- buckets

    @step(bucket=BUCKETS)
    def create_bucket(self, bucket: str) -> None:
        """Now and then a second time."""
        expected = self.foretell(self.model.create_bucket, bucket)
        answer = self.ask("PUT", path_of(bucket))
        if self.accepted(answer, expected):
            assert answer.headers["location"] == f"/{bucket}"

    @step(bucket=BUCKETS)
    def delete_bucket(self, bucket: str) -> None:
        """Refused while it has objects."""
        expected = self.foretell(self.model.delete_bucket, bucket)
        self.accepted(self.ask("DELETE", path_of(bucket)), expected, 204)

    @step(bucket=BUCKETS, location=st.booleans())
    def look_at_bucket(self, bucket: str, location: bool) -> None:
        """HeadBucket, GetBucketLocation."""
        expected = self.foretell(self.model.bucket, bucket)
        answer = self.ask("GET" if location else "HEAD", path_of(bucket) + ("?location" if location else ""))
        if self.accepted(answer, expected) and location:
            root = answer.xml()
            assert (root.tag, root.text) == (f"{NAMESPACE}LocationConstraint", None)

    @step()
    def list_buckets(self) -> None:
        """By name."""
        answer = self.ask("GET", "/")
        assert texts(answer, "Buckets/Bucket/Name") == sorted(self.model.buckets)

    @step(bucket=BUCKETS, method=st.sampled_from(("PUT", "GET", "DELETE")))
    def come_as_a_stranger(self, bucket: str, method: str) -> None:
        """Another account may not even create what is there."""
        if method != "PUT" or bucket in self.model.buckets:
            answer = self.service.stranger.request(method, path_of(bucket))
            code = "BucketAlreadyExists" if method == "PUT" else "AccessDenied"
            self.accepted(answer, Refused(code if bucket in self.model.buckets else "NoSuchBucket"))

    # -- writes

    def write_conditions(self, kind: str, bucket: str, key: str) -> dict[str, str]:
        """Return the condition headers of a write."""
        if not kind:
            return {}
        if kind == "none":
            return {"if-none-match": "*"}
        found = self.model.buckets.get(bucket)
        current = found.objects.get(key) if found else None
        etag = current.etag if current and kind == "right" else WRONG
        return {"if-match": "*" if kind == "any" else f'"{etag}"'}

    def put(self, bucket: str, key: str, data: bytes, given: Any, conditions: dict[str, str]) -> None:
        """PutObject, and what it answers."""
        meta, headers = self.meta(*given)
        expected = self.foretell(self.model.put, bucket, key, data, meta, conditions)
        answer = self.ask("PUT", path_of(bucket, key), {**headers, **conditions}, data)
        if self.accepted(answer, expected):
            assert answer.headers["etag"] == f'"{expected.etag}"'

    @step(bucket=BUCKETS, number=KEYS, data=BODIES, headers=HEADERS, tags=TAGS)
    def put_object(
        self, bucket: str, number: int, data: bytes, headers: dict[str, str], tags: dict[str, str]
    ) -> None:
        """New or over another."""
        self.put(bucket, self.key(bucket, number), data, (headers, tags), {})

    @step(number=KEYS, data=BODIES)
    def put_plain(self, number: int, data: bytes) -> None:
        """So that there is something."""
        self.put("alpha-bucket", self.key("", number), data, ({}, {}), {})

    @step(bucket=BUCKETS, number=KEYS, data=BODIES, kind=WRITE_CONDITIONS)
    def put_if(self, bucket: str, number: int, data: bytes, kind: str) -> None:
        """If-Match and If-None-Match."""
        key = self.key(bucket, number)
        self.put(bucket, key, data, ({}, {}), self.write_conditions(kind, bucket, key))

    @step(bucket=BUCKETS, number=KEYS, data=BODIES)
    def put_with_a_wrong_digest(self, bucket: str, number: int, data: bytes) -> None:
        """Changes nothing."""
        md5 = b64encode(hashlib.md5(data + b"x", usedforsecurity=False).digest()).decode()
        there = isinstance(self.foretell(self.model.bucket, bucket), Refused)
        answer = self.ask("PUT", path_of(bucket, self.key(bucket, number)), {"content-md5": md5}, data)
        self.accepted(answer, Refused("NoSuchBucket" if there else "BadDigest"))

    @step(bucket=BUCKETS, number=KEYS, kind=WRITE_CONDITIONS)
    def delete_object(self, bucket: str, number: int, kind: str) -> None:
        """Whether it is there or not."""
        key = self.key(bucket, number)
        conditions = {} if kind == "none" else self.write_conditions(kind, bucket, key)
        expected = self.foretell(self.model.delete, bucket, key, conditions)
        self.accepted(self.ask("DELETE", path_of(bucket, key), conditions), expected, 204)

    @step(
        bucket=BUCKETS,
        wishes=st.lists(st.tuples(KEYS, st.sampled_from(("", "", "right", "wrong"))), min_size=1, max_size=4),
        quiet=st.booleans(),
    )
    def delete_objects(self, bucket: str, wishes: list[tuple[int, str]], quiet: bool) -> None:
        """Each for itself; no key that XML cannot hold, and no key twice with a condition."""
        wanted: dict[str, str | None] = {}
        for number, kind in wishes:
            key = self.key(bucket, number)
            if key not in ("a\x01", "a\uffff"):
                condition = self.write_conditions(kind, bucket, key).get("if-match")
                wanted[key] = condition.strip('"') if condition else None
        if not wanted:
            return
        document = "".join(
            f"<Object><Key>{escape(key)}</Key>{'' if etag is None else f'<ETag>{etag}</ETag>'}</Object>"
            for key, etag in wanted.items()
        )
        body = f"<Delete><Quiet>{str(quiet).lower()}</Quiet>{document}</Delete>".encode()
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        expected = self.foretell(self.model.delete_many, bucket, list(wanted.items()))
        answer = self.ask("POST", f"{path_of(bucket)}?delete", {"content-md5": md5}, body)
        if self.accepted(answer, expected):
            outcomes = dict(zip(wanted, expected, strict=True))
            deleted = [key for key, code in outcomes.items() if code is None and not quiet]
            assert texts(answer, "Deleted/Key") == deleted
            failed = [key for key, code in outcomes.items() if code is not None]
            assert texts(answer, "Error/Key") == failed
            assert texts(answer, "Error/Code") == [outcomes[key] for key in failed]

    # -- reads

    def read(self, bucket: str, key: str, headers: dict[str, str], conditions: dict[str, Any]) -> None:
        """GetObject and HeadObject; ``conditions`` are what ``headers`` say to the model."""
        wanted = headers.get("range")
        expected = self.foretell(self.model.read, bucket, key, conditions, wanted)
        for method in ("HEAD", "GET"):
            answer = self.ask(method, path_of(bucket, key), headers)
            whole = isinstance(expected, Refused) or expected[1] is None
            if self.accepted(answer, expected, 200 if whole else 206):
                found, part = expected
                self.check_headers(answer, found)
                data = self.check_part(answer, found, part)
                assert answer.body == (data if method == "GET" else b"")

    @step(bucket=BUCKETS, number=KEYS)
    def get_object(self, bucket: str, number: int) -> None:
        """The whole."""
        self.read(bucket, self.key(bucket, number), {}, {})

    @step(bucket=BUCKETS, number=KEYS, wanted=RANGES)
    def get_range(self, bucket: str, number: int, wanted: str) -> None:
        """A part."""
        self.read(bucket, self.key(bucket, number), {"range": wanted}, {})

    @step(bucket=BUCKETS, number=KEYS, kind=READ_CONDITIONS, ranged=st.booleans())
    def get_if(self, bucket: str, number: int, kind: str, ranged: bool) -> None:
        """Conditions, before the range."""
        key = self.key(bucket, number)
        conditions, headers = self.read_conditions(bucket, key, kind)
        self.read(bucket, key, {**headers, **({"range": "bytes=1-300"} if ranged else {})}, conditions)

    def read_conditions(self, bucket: str, key: str, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a condition as the model reads it, and as a header."""
        name, _, what = kind.partition(" ")
        found = self.foretell(self.model.find, bucket, key)
        if name.endswith("since"):
            if isinstance(found, Object) and found.second is None:
                self.read(bucket, key, {}, {})
            second = (found.second or 0) if isinstance(found, Object) else 0
            moment = max(second + int(what), 0)
            return {name: moment}, {name: formatdate(moment, usegmt=True)}
        etag = found.etag if isinstance(found, Object) and what == "right" else WRONG
        value = "*" if what == "any" else f'"{etag}"'
        return {name: value}, {name: value}

    # -- tags and copies

    @step(bucket=BUCKETS, number=KEYS, tags=TAGS, delete=st.booleans())
    def tag(self, bucket: str, number: int, tags: dict[str, str], delete: bool) -> None:
        """PutObjectTagging or DeleteObjectTagging, then GetObjectTagging."""
        target = path_of(bucket, self.key(bucket, number))
        kept = {} if delete else dict(tags)
        expected = self.foretell(self.model.tag, bucket, self.key(bucket, number), kept)
        if delete:
            answer = self.ask("DELETE", f"{target}?tagging")
        else:
            answer = self.ask("PUT", f"{target}?tagging", {}, tagging_document(tags))
        if self.accepted(answer, expected, 204 if delete else 200):
            found = self.ask("GET", f"{target}?tagging")
            pairs = zip(texts(found, "TagSet/Tag/Key"), texts(found, "TagSet/Tag/Value"), strict=True)
            assert list(pairs) == sorted(kept.items())

    @step(
        buckets=st.tuples(BUCKETS, BUCKETS),
        numbers=st.tuples(KEYS, KEYS),
        headers=st.none() | HEADERS,
        tags=st.none() | TAGS,
        condition=st.none() | READ_CONDITIONS,
        kind=WRITE_CONDITIONS,
    )
    def copy_object(
        self,
        buckets: tuple[str, str],
        numbers: tuple[int, int],
        headers: dict[str, str] | None,
        tags: dict[str, str] | None,
        condition: str | None,
        kind: str,
    ) -> None:
        """With directives, and with conditions on the source or on the target."""
        source, target = (
            (bucket, self.key(bucket, number)) for bucket, number in zip(buckets, numbers, strict=True)
        )
        wanted, sent = self.read_conditions(*source, condition) if condition else ({}, {})
        writing = {} if condition else self.write_conditions(kind, *target)
        asked = {f"x-amz-copy-source-{name}": value for name, value in sent.items()} | writing
        asked["x-amz-copy-source"] = quote("/".join(source), safe="/")
        if headers is not None:
            asked |= {"x-amz-metadata-directive": "REPLACE", **headers}
        if tags is not None:
            asked |= {"x-amz-tagging-directive": "REPLACE", **self.meta({}, tags)[1]}
        expected = self.foretell(self.model.copy, source, target, (headers, tags), wanted, writing)
        answer = self.ask("PUT", path_of(*target), asked)
        if self.accepted(answer, expected):
            assert texts(answer, "ETag") == [f'"{expected.etag}"']
            self.read(*target, {}, {})

    # -- the operator

    @step()
    def restart(self) -> None:
        """Nothing changes."""
        self.service.restart()

    @step(number=st.integers(0, (1 << 128) - 1))
    def crash(self, number: int) -> None:
        """A file without a record is removed, and nothing else."""
        self.service.crash(f"{number:032x}")

    @step()
    def reclaim(self) -> None:
        """Nothing changes."""
        self.service.reclaim()

    @step(bucket=BUCKETS)
    def read_all(self, bucket: str) -> None:
        """Every object at once."""
        for key in list(self.model.buckets[bucket].objects) if bucket in self.model.buckets else []:
            self.read(bucket, key, {}, {})
