"""multipart/form-data as a browser sends it: fields, then the one file, which is read as a stream.

    --boundary CRLF  headers CRLF CRLF  value CRLF     any number of times
    --boundary CRLF  headers CRLF CRLF  file  CRLF     the field ``file``; parts after it mean nothing
    --boundary--

A line ends with CRLF and nothing else, so a file may hold LF and the boundary. Source: RFC 7578; RFC 2046,
5.1.1; "Browser-Based Uploads Using POST" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from s3shim.errors import Code, S3Error
from s3shim.wire.chunked import Source

MAX_BEFORE_FILE = 32 * 1024
MAX_AFTER_FILE = 64 * 1024

FILE = "file"

_READ = 64 * 1024
_HEAD_READ = 8192
_CRLF = b"\r\n"
_END_OF_HEADERS = b"\r\n\r\n"
_TYPE = re.compile(r"multipart/form-data[ \t]*((?:;.*)?)", re.IGNORECASE | re.DOTALL)
# RFC 2046, 5.1.1: 1 to 70 characters, no blank at the end.
_BOUNDARY = re.compile(
    r"""(?:.*;)?[ \t]*boundary=
    (?: "([0-9A-Z'()+_,./:=? -]{0,69}[0-9A-Z'()+_,./:=?-])" | ([0-9A-Z'+_.-]{1,70}) )
    [ \t]*(?:;.*)?""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_DISPOSITION = re.compile(
    r"form-data((?:[ \t]*;[ \t]*[A-Za-z*]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\";]+))*)[ \t]*", re.IGNORECASE
)
_PARAMETER = re.compile(r";[ \t]*([A-Za-z*]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\";]+))")
_PLAIN = frozenset({"7bit", "8bit", "binary"})
_PADDING = b" \t"
_VARIABLE = "${filename}"
_SIGNED = frozenset({"policy", "x-amz-signature"})


@dataclass(slots=True)
class Form:
    """The fields before the file, by lower-case name."""

    fields: dict[str, str] = field(default_factory=dict)

    def expand(self, filename: str) -> None:
        """Put the name of the file, without its path, in place of the variable that stands for it."""
        for name, value in self.fields.items():
            if name not in _SIGNED:
                self.fields[name] = value.replace(_VARIABLE, filename)


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names.

    Raises PreconditionFailed where it is not that of a form, MalformedPOSTRequest without a good boundary.
    """
    form = _TYPE.fullmatch(content_type)
    if form is None:
        raise S3Error(
            Code.PreconditionFailed,
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    found = _BOUNDARY.fullmatch(form[1].removeprefix(";"))
    if found is None:
        raise _malformed()
    return (found[1] or found[2]).encode()


class FormInput:
    """A form whose parts ``boundary`` separates: first ``read_fields``, then ``read`` gives the file."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._source: Source | None = None
        self._buffer = b""
        self._consumed = 0
        self._clear = 0  # bytes at the front of the buffer that are the file's
        self._found = False  # whether the delimiter follows them
        self._ended = False

    def read_fields(self, source: Source) -> Form:
        """Read up to the file.

        Raises MalformedPOSTRequest, MaxPostPreDataLengthExceededError, and InvalidArgument for a field that
        is there twice and for a form without a file.
        """
        self._source = source
        form = Form()
        # The line end that belongs to the delimiter may be missing before the first one.
        if not self._starts_with(_CRLF):
            self._buffer = _CRLF + self._buffer
        if self._take_until(self._delimiter):
            raise _malformed()
        while self._another_part():
            name, filename = _described(self._take_until(_END_OF_HEADERS))
            if name == FILE:
                if filename is not None:
                    form.expand(re.split(r"[/\\]", filename)[-1])
                self._scan()
                return form
            value = _decoded(self._take_until(self._delimiter))
            if name in form.fields:
                raise S3Error(
                    Code.InvalidArgument, "A form field was sent more than once.", ArgumentName=name[:100]
                )
            form.fields[name] = value
        raise S3Error(
            Code.InvalidArgument,
            "POST requires exactly one file upload per request.",
            ArgumentName=FILE,
            ArgumentValue="0",
        )

    def read(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes of the file, or b"" at its end, once the rest of the form has been read.

        Raises MalformedPOSTRequest where the form ends within the file.
        """
        if self._ended:
            return b""
        while not self._clear:
            if self._found:
                self._end()
                return b""
            self._more(max(size, _READ))
            self._scan()
        data = self._buffer[: min(size, self._clear)]
        self._buffer = self._buffer[len(data) :]
        self._clear -= len(data)
        return data

    def _scan(self) -> None:
        # What has been looked at is not looked at again, so the work is linear in the bytes.
        at = self._buffer.find(self._delimiter, self._clear)
        self._found = at >= 0
        self._clear = at if self._found else max(self._clear, len(self._buffer) - len(self._delimiter) + 1)

    def _end(self) -> None:
        self._buffer = self._buffer[len(self._delimiter) :]
        self._another_part()
        assert self._source is not None
        left = MAX_AFTER_FILE - len(self._buffer)
        while left >= 0 and (data := self._source.read(_READ)):
            left -= len(data)
        if left < 0:
            raise S3Error(Code.MaxMessageLengthExceeded, MaxMessageLengthBytes=MAX_AFTER_FILE)
        self._ended = True

    def _another_part(self) -> bool:
        """Read what stands behind a delimiter; return whether a part follows, or the end."""
        while self._starts_with(b" ") or self._starts_with(b"\t"):
            self._buffer = self._buffer.lstrip(_PADDING)
        if self._starts_with(b"--"):
            return False
        if not self._starts_with(_CRLF):
            raise _malformed()
        # A part without headers has no name. Its line end stays: it also is the first of two.
        return True

    def _starts_with(self, text: bytes) -> bool:
        while len(self._buffer) < len(text):
            self._more(_HEAD_READ)
        return self._buffer.startswith(text)

    def _take_until(self, marker: bytes) -> bytes:
        while (at := self._buffer.find(marker)) < 0:
            self._check(len(self._buffer))
            self._more(_HEAD_READ)
        self._consumed += at + len(marker)
        self._check(0)
        taken, self._buffer = self._buffer[:at], self._buffer[at + len(marker) :]
        return taken

    def _check(self, more: int) -> None:
        if self._consumed + more > MAX_BEFORE_FILE:
            raise S3Error(Code.MaxPostPreDataLengthExceededError)

    def _more(self, size: int) -> None:
        assert self._source is not None
        data = self._source.read(size)
        if not data:
            raise _malformed()
        self._buffer += data


def _described(block: bytes) -> tuple[str, str | None]:
    """Return a part's lower-case name and its filename. Raises MalformedPOSTRequest."""
    found: dict[str, str] = {}
    for line in _decoded(block.removeprefix(_CRLF)).split("\r\n"):
        header, colon, value = line.partition(":")
        header = header.lower()
        if not colon or not header or header != header.strip() or header in found:
            raise _malformed()
        found[header] = value.strip(" \t")
    disposition = _DISPOSITION.fullmatch(found.get("content-disposition", ""))
    if disposition is None or found.get("content-transfer-encoding", "binary").lower() not in _PLAIN:
        raise _malformed()
    parameters: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(disposition[1]):
        name = name.lower()
        # RFC 7578, 4.2: ``filename*`` must not be used.
        if name not in ("name", "filename") or name in parameters:
            raise _malformed()
        parameters[name] = token or quoted.replace('\\"', '"')
    if not parameters.get("name"):
        raise _malformed()
    return parameters["name"].lower(), parameters.get("filename")


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def _malformed() -> S3Error:
    return S3Error(Code.MalformedPOSTRequest)
