"""The steps of the machine on listings: of objects, and of multipart uploads."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from hypothesis import strategies as st

from crash.machine_base import BUCKETS, KEY_NAMES, Base, is_unfit, names, path_of, step, texts
from crash.model import Bucket, Listed, Upload, in_order, page
from tests.wire.answer import Answer

PREFIXES = st.sampled_from(("", "", "a", "a/", "a//", "k" * 1000, "\U0001f600", "z"))
DELIMITERS = st.sampled_from(("", "", "/", "/", "b", "\U0001f600", "//"))
MARKERS = st.sampled_from(("", "", "", *KEY_NAMES, "a/\uff21x", "zzz"))
LIMITS = st.sampled_from((0, 1, 2, 3, 7, 1000, 5000))


class Lists(Base):
    """Listings, by the page and page after page."""

    def list_page(self, bucket: str, version: int, asked: dict[str, str]) -> Answer:
        """Ask for a page; parameters that are empty are left out."""
        given = {"list-type": "2"} if version == 2 else {}
        given |= {name: value for name, value in asked.items() if value}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
        return self.ask("GET", path_of(bucket) + (f"?{query}" if query else ""))

    @step(
        bucket=BUCKETS,
        version=st.sampled_from((1, 2)),
        prefix=PREFIXES,
        delimiter=DELIMITERS,
        marker=MARKERS,
        limit=LIMITS,
        encode=st.booleans(),
    )
    def list_objects(
        self, bucket: str, version: int, prefix: str, delimiter: str, marker: str, limit: int, encode: bool
    ) -> None:
        """One page from anywhere."""
        expected = self.foretell(self.model.list_objects, bucket, prefix, delimiter, marker, min(limit, 1000))
        asked = {"prefix": prefix, "delimiter": delimiter, "max-keys": str(limit)}
        asked["start-after" if version == 2 else "marker"] = marker
        asked["encoding-type"] = "url" if encode else ""
        answer = self.list_page(bucket, version, asked)
        if not self.accepted(answer, expected):
            return
        self.check_page(answer, bucket, expected)
        # Version 1 says "after which key" in every answer, version 2 where it was asked.
        assert names(answer, "StartAfter" if version == 2 else "Marker")[:1] in ([marker], [])
        assert names(answer, "Prefix") == [prefix]
        assert names(answer, "Delimiter") == ([delimiter] if delimiter else [])
        shown = [prefix, delimiter, marker, *expected.keys, *expected.prefixes]
        assert texts(answer, "EncodingType") == (["url"] if encode or is_unfit(shown) else [])
        assert texts(answer, "MaxKeys") == [str(min(limit, 1000))]

    def check_page(self, answer: Answer, bucket: str, expected: Listed) -> None:
        """Check what is listed, and what is said of it."""
        assert names(answer, "Contents/Key") == expected.keys
        assert names(answer, "CommonPrefixes/Prefix") == expected.prefixes
        assert texts(answer, "IsTruncated") == ["false" if expected.following is None else "true"]
        found = [self.model.buckets[bucket].objects[key] for key in expected.keys]
        assert texts(answer, "Contents/ETag") == [f'"{one.etag}"' for one in found]
        assert texts(answer, "Contents/Size") == [str(len(one.data)) for one in found]
        for one, moment in zip(found, texts(answer, "Contents/LastModified"), strict=True):
            one.saw(int(datetime.fromisoformat(moment).timestamp()))

    @step(
        bucket=BUCKETS,
        version=st.sampled_from((1, 2)),
        prefix=PREFIXES,
        delimiter=DELIMITERS,
        limit=st.sampled_from((1, 2, 5)),
    )
    def list_all(self, bucket: str, version: int, prefix: str, delimiter: str, limit: int) -> None:
        """Page after page, as a client goes on."""
        marker = token = ""
        while True:
            expected = self.foretell(self.model.list_objects, bucket, prefix, delimiter, marker, limit)
            asked = {"prefix": prefix, "delimiter": delimiter, "max-keys": str(limit)}
            asked["continuation-token" if version == 2 else "marker"] = token
            answer = self.list_page(bucket, version, asked)
            if not self.accepted(answer, expected):
                return
            self.check_page(answer, bucket, expected)
            following = [] if expected.following is None else [expected.following]
            if version == 1:
                assert names(answer, "NextMarker") == (following if delimiter else [])
                tokens = following
            else:
                assert texts(answer, "KeyCount") == [str(len(expected.keys) + len(expected.prefixes))]
                tokens = texts(answer, "NextContinuationToken")
            assert len(tokens) == len(following)
            if not following:
                return
            marker, token = following[0], tokens[0]

    @step(bucket=BUCKETS, prefix=PREFIXES, delimiter=DELIMITERS, limit=st.sampled_from((1, 3, 1000)))
    def list_uploads(self, bucket: str, prefix: str, delimiter: str, limit: int) -> None:
        """Page after page, by key and within a key by initiation."""
        expected = self.foretell(self.model.bucket, bucket)
        key_marker = id_marker = ""
        listed: list[tuple[str, str]] = []
        rolled: list[str] = []
        while True:
            asked = {"prefix": prefix, "delimiter": delimiter, "max-uploads": str(limit)}
            asked |= {"key-marker": key_marker, "upload-id-marker": id_marker}
            query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items() if value)
            answer = self.ask("GET", f"{path_of(bucket)}?uploads&{query}")
            if not self.accepted(answer, expected):
                return
            keys, ids = names(answer, "Upload/Key"), texts(answer, "Upload/UploadId")
            listed += zip(keys, ids, strict=True)
            rolled += names(answer, "CommonPrefixes/Prefix")
            assert len(keys) + len(names(answer, "CommonPrefixes/Prefix")) <= limit
            if texts(answer, "IsTruncated") == ["false"]:
                break
            key_marker, id_marker = names(answer, "NextKeyMarker")[0], texts(answer, "NextUploadIdMarker")[0]
        assert (listed, rolled) == expected_uploads(expected, prefix, delimiter)


def expected_uploads(bucket: Bucket, prefix: str, delimiter: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return all uploads that a listing has as (key, id), and its common prefixes."""
    by_key: dict[str, list[Upload]] = {}
    for upload in bucket.uploads.values():
        by_key.setdefault(upload.key, []).append(upload)
    whole = page(by_key, prefix, delimiter, "", 1 << 30)
    return [(key, one.upload_id) for key in in_order(whole.keys) for one in by_key[key]], whole.prefixes
