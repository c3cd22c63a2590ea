"""Listings: the upstream's own pages, in S3's order, with markers at any place."""

from __future__ import annotations

from s3shim.backends.upstream.markup import Listed
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.remote import Remote
from s3shim.model import ListQuery, ObjectInfo, ObjectMeta, Page
from s3shim.names import MAX_KEY_BYTES
from s3shim.paging import common_prefix

_PAGE = 1000
_GREATEST = ((4, "\U0010ffff"), (3, "\uffff"), (2, "\u07ff"), (1, "\x7f"))


class Listings(Remote):
    """The part of UpstreamBackend that lists."""

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend. Times and ETags are the upstream's; each of its pages is as it was at one instant."""
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
        self._fill(page, query, base, after)
        return page

    def _any_in(self, base: Place, group: str, marker: str) -> bool:
        # Upstreams differ in what they make of a marker within a common prefix.
        within = Place(base.bucket, base.key + group)
        return bool(self.list_page(within, base.key + _cut(marker), most=1).items)

    def _fill(self, page: Page[ObjectInfo], query: ListQuery, base: Place, after: str) -> None:
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
            page.items += [_info(item, item.key[start:]) for item in items]
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


def _info(item: Listed, key: str) -> ObjectInfo:
    return ObjectInfo(key, item.size, item.etag, item.modified, ObjectMeta(), {})


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
