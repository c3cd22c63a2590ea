"""Listings: the upstream's own pages, in S3's order, with markers at any place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from s3shim.backends.upstream.markup import Listed
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.store import Store
from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.model import ListQuery, ObjectInfo, ObjectRef, Page
from s3shim.names import MAX_KEY_BYTES
from s3shim.paging import common_prefix

_PAGE = 1000
_LATE = frozenset({"meta", "checksums", "checksum_type", "parts_count", "version_id"})
_GREATEST = ((4, "\U0010ffff"), (3, "\uffff"), (2, "\u07ff"), (1, "\x7f"))


class ListedInfo(ObjectInfo):
    """An object of which a listing told key, size, ETag and time; the rest is asked for when it is read.

    A page of 1,000 keys would cost 1,000 requests otherwise. Once the rest was asked for, all of the
    record is as head_object gives it.
    """

    # No slots of its own: the names of the fields are those of ObjectInfo.
    _listed: Listed
    _ask: Callable[[], ObjectInfo]
    _whole: ObjectInfo | None

    @classmethod
    def of(cls, listed: Listed, key: str, ask: Callable[[], ObjectInfo]) -> ListedInfo:
        """Return the record of an object that was listed; ``ask`` gives the whole of it."""
        info = cls.__new__(cls)
        info.key, info.size, info.etag, info.last_modified = key, listed.size, listed.etag, listed.modified
        info._listed, info._ask, info._whole = listed, ask, None
        return info

    def complete(self) -> ObjectInfo:
        """Return the whole record, asked for once."""
        if self._whole is None:
            self._whole = whole = self._ask()
            self.size, self.etag, self.last_modified = whole.size, whole.etag, whole.last_modified
        return self._whole

    def __getattribute__(self, name: str) -> Any:
        if name in _LATE:
            return getattr(self.complete(), name)
        return super().__getattribute__(name)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """See ObjectInfo."""
        return self._listed.algorithms

    def __eq__(self, other: object) -> bool:
        return self.complete() == (other.complete() if isinstance(other, ListedInfo) else other)

    __hash__ = None  # type: ignore[assignment]


class Listings(Store):
    """The part of UpstreamBackend that lists."""

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        raise NotImplementedError

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend. Each page of the upstream is as it was at one instant."""
        self.bucket(bucket)
        page: Page[ObjectInfo] = Page([], [])
        base = self.places.base(bucket)
        prefix = query.prefix
        # A key has no NUL, so nothing lies between what comes before it and what comes after.
        marker = query.marker.partition("\0")[0]
        if query.max_keys <= 0 or "\0" in prefix or len(prefix.encode()) > MAX_KEY_BYTES:
            return page
        if marker and not marker.startswith(prefix):
            if marker > prefix:
                return page
            marker = ""
        after = _cut(marker)
        group = common_prefix(marker, query) if marker else None
        if group is not None:
            after = greatest(group, base.key)
            if group != marker and self._any_in(base, group, marker):
                page.common_prefixes.append(group)
        self._fill(page, bucket, query, base, after)
        return page

    def _any_in(self, base: Place, group: str, marker: str) -> bool:
        # Upstreams differ in what they make of a marker within a common prefix.
        within = Place(base.bucket, base.key + group)
        return bool(self.list_page(within, base.key + _cut(marker), most=1).items)

    def _fill(self, page: Page[ObjectInfo], bucket: str, query: ListQuery, base: Place, after: str) -> None:
        start = len(base.key)
        place = Place(base.bucket, base.key + query.prefix)
        left = query.max_keys - len(page.common_prefixes)
        last = page.common_prefixes[-1] if page.common_prefixes else ""
        while True:
            found = self.list_page(
                place, base.key + after if after else "", query.delimiter, min(max(left, 1), _PAGE)
            )
            items = sorted((item for item in found.items if item.key[start:] > after), key=lambda i: i.key)
            groups = sorted({group[start:] for group in found.groups} - set(page.common_prefixes))
            if left == 0:
                page.next_marker = last if items or groups else None
                return
            page.items += [self._listed(bucket, item, item.key[start:]) for item in items]
            page.common_prefixes += groups
            left -= len(items) + len(groups)
            ends = [items[-1].key[start:]] if items else []
            last = max([*ends, *groups[-1:], last])
            if not found.truncated or not (items or groups):
                return
            after = greatest(last, base.key) if groups and groups[-1] == last else last
            if left <= 0:
                page.next_marker = last
                return

    def _listed(self, bucket: str, item: Listed, key: str) -> ListedInfo:
        return ListedInfo.of(item, key, lambda: self.head_object(ObjectRef(bucket, key), NO_CONDITIONS))


def _cut(marker: str) -> str:
    """Return a marker without what is beyond the length of any key."""
    return marker.encode()[:MAX_KEY_BYTES].decode(errors="ignore")


def greatest(prefix: str, base: str) -> str:
    """Return the greatest key of 1,024 bytes, ``base`` before it included, that begins with ``prefix``."""
    room = max(0, MAX_KEY_BYTES - len(base.encode()) - len(prefix.encode()))
    key = prefix
    for size, character in _GREATEST:
        key += character * (room // size)
        room %= size
    return key
