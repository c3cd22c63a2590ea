"""The steps of the machine on multipart uploads."""

from __future__ import annotations

import re
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from crash.machine_base import ALPHA, BODIES, BUCKETS, HEADERS, KEYS, MIN_PART, TAGS, path_of, step, texts
from crash.machine_lists import Lists
from crash.machine_objects import RANGES, WRITE_CONDITIONS, WRONG, Objects
from crash.model import Refused, Upload, md5_of

NUMBERS = st.sampled_from((1, 2, 3, 10_000))
CHOICES = st.integers(0, 99)
FLAWS = st.sampled_from(("", "", "", "", "etag", "order", "missing", "again"))


class Machine(Objects, Lists):
    """All operations."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Upload] = []

    def upload(self, choice: int) -> Upload:
        """Return an upload: one under way, or now and then any that was ever begun."""
        going = [one for bucket in self.model.buckets.values() for one in bucket.uploads.values()]
        among = going if going and choice < 80 else self.begun
        return among[choice % len(among)]

    @staticmethod
    def target(upload: Upload, query: str = "") -> str:
        """Return the target of a request on an upload."""
        return f"{path_of(upload.bucket, upload.key)}?{query}uploadId={upload.upload_id}"

    @step(bucket=BUCKETS, number=KEYS, headers=HEADERS, tags=TAGS)
    def create_upload(self, bucket: str, number: int, headers: dict[str, str], tags: dict[str, str]) -> None:
        """CreateMultipartUpload."""
        key = self.key(bucket, number)
        meta, sent = self.meta(headers, tags)
        expected = self.foretell(self.model.bucket, bucket)
        answer = self.ask("POST", f"{path_of(bucket, key)}?uploads", sent)
        if self.accepted(answer, expected):
            upload_id = texts(answer, "UploadId")[0]
            upload = Upload(bucket, key, upload_id, meta)
            assert all(upload_id != one.upload_id for one in self.begun)
            self.model.buckets[bucket].uploads[upload_id] = upload
            self.begun.append(upload)

    @step(
        number=KEYS,
        datas=st.lists(BODIES.filter(lambda data: len(data) >= MIN_PART), min_size=1, max_size=4),
        kind=WRITE_CONDITIONS,
    )
    def put_in_parts(self, number: int, datas: list[bytes], kind: str) -> None:
        """A whole upload."""
        known = len(self.begun)
        self.create_upload(ALPHA, number, {}, {})
        for upload in self.begun[known:]:
            for part_number, data in enumerate(datas, 1):
                answer = self.ask("PUT", self.target(upload, f"partNumber={part_number}&"), {}, data)
                assert answer.status == 200
                upload.parts[part_number] = md5_of(data), data
            listed = [(part_number, etag) for part_number, (etag, _) in upload.parts.items()]
            conditions = self.write_conditions(kind, ALPHA, upload.key)
            self.finish(upload, listed, conditions)
            self.read(ALPHA, upload.key, {}, {})

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES, number=NUMBERS, data=BODIES, right=st.booleans() | st.just(True))
    def upload_part(self, choice: int, number: int, data: bytes, right: bool) -> None:
        """New or over another; one with a wrong digest changes nothing."""
        upload = self.upload(choice)
        expected = self.foretell(self.model.upload, upload)
        headers = {} if right else {"x-amz-checksum-crc32": "AAAAAQ=="}
        answer = self.ask("PUT", self.target(upload, f"partNumber={number}&"), headers, data)
        if not right and not isinstance(expected, Refused):
            expected = Refused("BadDigest")
        if self.accepted(answer, expected):
            assert answer.headers["etag"] == f'"{md5_of(data)}"'
            expected.parts[number] = md5_of(data), data

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES, number=NUMBERS, bucket=BUCKETS, key_number=KEYS, wanted=st.none() | RANGES)
    def copy_part(self, choice: int, number: int, bucket: str, key_number: int, wanted: str | None) -> None:
        """UploadPartCopy, of the whole or of a range that must lie within it."""
        if wanted is not None and not re.fullmatch(r"bytes=(0-0|1-2|999-1000|4095-4096|8190-99999)", wanted):
            return
        upload = self.upload(choice)
        source = bucket, self.key(bucket, key_number)
        expected = self.foretell(self.model.source_of_part, upload, source, wanted)
        headers = {"x-amz-copy-source": quote("/".join(source), safe="/")}
        if wanted is not None:
            headers["x-amz-copy-source-range"] = wanted
        answer = self.ask("PUT", self.target(upload, f"partNumber={number}&"), headers)
        if self.accepted(answer, expected):
            etag = texts(answer, "ETag")[0].strip('"')
            assert expected.etag in ("", etag)
            assert re.fullmatch("[0-9a-f]{32}", etag)
            self.model.upload(upload).parts[number] = etag, expected.data

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES, limit=st.sampled_from((1, 2, 1000)))
    def list_parts(self, choice: int, limit: int) -> None:
        """Page after page."""
        upload = self.upload(choice)
        expected = self.foretell(self.model.upload, upload)
        listed: list[tuple[str, str, str]] = []
        marker = "0"
        while True:
            query = f"max-parts={limit}&part-number-marker={marker}&"
            answer = self.ask("GET", self.target(upload, query))
            if not self.accepted(answer, expected):
                return
            found = [texts(answer, f"Part/{name}") for name in ("PartNumber", "ETag", "Size")]
            assert len(found[0]) <= limit
            listed += zip(*found, strict=True)
            if texts(answer, "IsTruncated") == ["false"]:
                break
            marker = texts(answer, "NextPartNumberMarker")[0]
        parts = sorted(expected.parts.items())
        assert listed == [(str(number), f'"{etag}"', str(len(data))) for number, (etag, data) in parts]

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES, most=st.integers(1, 4), flaw=FLAWS, kind=WRITE_CONDITIONS)
    def complete(self, choice: int, most: int, flaw: str, kind: str) -> None:
        """The first parts, or a list that is wrong; a failed one changes nothing."""
        upload = self.upload(choice)
        parts = sorted(upload.parts.items())
        big = [(number, etag) for number, (etag, data) in parts if len(data) >= MIN_PART]
        listed = [(number, etag) for number, (etag, _) in parts] if choice % 4 == 0 else big
        listed = self.flawed(listed[:most], flaw)
        conditions = self.write_conditions(kind, upload.bucket, upload.key)
        self.finish(upload, listed, conditions)

    def finish(self, upload: Upload, listed: list[tuple[int, str]], conditions: dict[str, str]) -> None:
        """CompleteMultipartUpload, and what it answers."""
        expected = self.foretell(self.model.complete, upload, listed, conditions)
        document = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
            for number, etag in listed
        )
        body = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode()
        answer = self.ask("POST", self.target(upload), conditions, body)
        if self.accepted(answer, expected):
            assert texts(answer, "ETag") == [f'"{expected}"']

    @staticmethod
    def flawed(listed: list[tuple[int, str]], flaw: str) -> list[tuple[int, str]]:
        """Return a list of parts with a flaw; never an empty one."""
        if flaw == "missing" or not listed:
            return [*listed, (10_000, WRONG)]
        if flaw == "etag":
            return [*listed[:-1], (listed[-1][0], WRONG)]
        if flaw == "order":
            return listed[::-1]
        return [*listed, listed[-1]] if flaw == "again" else listed

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES)
    def complete_again(self, choice: int) -> None:
        """What was completed is answered as before, and nothing happens."""
        done = [
            (name, upload_id, *completed)
            for name, bucket in self.model.buckets.items()
            for upload_id, completed in bucket.completed.items()
        ]
        if done:
            name, upload_id, key, listed, etag = done[choice % len(done)]
            document = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{one}</ETag></Part>" for number, one in listed
            )
            body = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode()
            answer = self.ask("POST", f"{path_of(name, key)}?uploadId={upload_id}", {}, body)
            assert (answer.status, texts(answer, "ETag")) == (200, [f'"{etag}"'])

    @precondition(lambda self: self.begun)
    @step(choice=CHOICES)
    def abort(self, choice: int) -> None:
        """AbortMultipartUpload."""
        upload = self.upload(choice)
        self.accepted(self.ask("DELETE", self.target(upload)), self.foretell(self.model.abort, upload), 204)
