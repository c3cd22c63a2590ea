"""An object on the wire: what a GET or HEAD asks of it, and its record as response headers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from s3shim.conditions import Conditions, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import Chunks, ObjectInfo, ObjectPart
from s3shim.ranges import ByteRange, parse_range
from s3shim.wire.metadata import SYSTEM_HEADERS, USER_PREFIX, header_value
from s3shim.wire.preconditions import read_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, http_date

DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_OVERRIDES = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Reading:
    """What a GET or HEAD asks for. ``overrides`` maps header names to the values of response-*.

    ``titled``: the names of user metadata are answered as X-Amz-Meta-Some-Name.
    """

    byte_range: ByteRange | None
    part_number: int | None
    conditions: Conditions
    overrides: dict[str, str]
    checksums: bool
    versioned: bool
    titled: bool = False

    def ranges(self, info: ObjectInfo) -> bool:
        """Whether the answer is a part of the object."""
        return self.byte_range is not None and range_applies(self.conditions, info)

    def answer(
        self, info: ObjectInfo, start: int, length: int, body: bytes | Chunks | None = None
    ) -> Response:
        """Return 200 or 206 for ``length`` bytes from ``start``; HEAD leaves the body out."""
        headers = self._headers(info)
        if not self.ranges(info):
            return _with_body(200, headers, length, body)
        headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{info.size}"))
        return _with_body(206, headers, length, body)

    def answer_part(
        self, info: ObjectInfo, start: int, part: ObjectPart, body: bytes | Chunks | None = None
    ) -> Response:
        """Return 206 for a part that begins at ``start``, with its own checksums."""
        headers = self._headers(info, whole=False)
        if part.size:
            headers.append(("Content-Range", f"bytes {start}-{start + part.size - 1}/{info.size}"))
        if info.parts_count:
            headers.append(("x-amz-mp-parts-count", str(info.parts_count)))
        if self.checksums:
            found = part.checksums if info.parts_count else info.checksums
            headers += _checksum_headers(found, info.checksum_type)
        return _with_body(206, headers, part.size, body)

    def _headers(self, info: ObjectInfo, *, whole: bool = True) -> Headers:
        meta = info.meta
        headers = [
            ("ETag", f'"{info.etag}"'),
            ("Last-Modified", http_date(info.last_modified)),
            ("Accept-Ranges", "bytes"),
            ("Content-Security-Policy", "sandbox"),
        ]
        stored = {"Content-Type": meta.content_type or DEFAULT_CONTENT_TYPE}
        for name, value in meta.system.items():
            stored[SYSTEM_HEADERS[name]] = value
        headers += (stored | self.overrides).items()
        if self.titled:
            headers += [(_titled(USER_PREFIX + name), value) for name, value in meta.user.items()]
        else:
            headers += [(USER_PREFIX + name, value) for name, value in meta.user.items()]
        if meta.tags:
            headers.append(("x-amz-tagging-count", str(len(meta.tags))))
        if self.versioned:
            headers.append(("x-amz-version-id", info.version_id))
        # A part has other checksums than the whole, so AWS sends none with 206.
        if whole and self.checksums and not self.ranges(info):
            headers += checksum_headers(info)
        return headers


def _titled(name: str) -> str:
    """Return a header name as Go's net/http writes it: a capital after each dash, and nowhere else."""
    return "-".join([part.capitalize() for part in name.split("-")])


def _with_body(status: int, headers: Headers, length: int, body: bytes | Chunks | None) -> Response:
    # Whoever sends bytes states their number by itself.
    if not isinstance(body, bytes):
        headers.append(("Content-Length", str(length)))
    return Response(status, headers, b"" if body is None else body)


def read_reading(request: S3Request) -> Reading:
    """Return what the request asks for.

    Raises InvalidArgument for a response-* that is no header value and for a bad part number, and
    InvalidRequest for a range of a part.
    """
    get = request.query.get
    part_number = None
    conditions = read_conditions(request)
    if "partNumber" in request.query:
        part_number = request.part_number
        if "range" in request.headers:
            raise S3Error(
                Code.InvalidRequest, "Cannot specify both Range header and partNumber query parameter"
            )
        conditions = replace(conditions, if_range=None)
    return Reading(
        byte_range=parse_range(request.headers.get("range")),
        part_number=part_number,
        conditions=conditions,
        overrides={
            header: header_value(value, name)
            for name, header in _OVERRIDES.items()
            if (value := get(name)) is not None
        },
        checksums=request.headers.get("x-amz-checksum-mode") is not None,
        versioned=bool(get("versionId")),
        titled=request.service.titled_metadata,
    )


def checksum_headers(info: ObjectInfo) -> Headers:
    """Return the object's checksums as headers."""
    return _checksum_headers(info.checksums, info.checksum_type)


def _checksum_headers(checksums: dict[str, str], kind: str) -> Headers:
    headers = [(f"x-amz-checksum-{algorithm}", value) for algorithm, value in checksums.items()]
    if headers:
        headers.append(("x-amz-checksum-type", kind))
    return headers
