"""XML: written by hand, read by xmltodict behind a guard.

xmltodict alone would strip blanks off keys, and expat alone would follow a deep document as long as
it lasts; both are dealt with here.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import xmltodict

from s3shim.errors import Code, S3Error
from s3shim.model import Identity
from s3shim.times import timestamp as timestamp  # documents write times so

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

MAX_DEPTH = 16
MAX_ELEMENTS = 100_000
MAX_ATTRIBUTES = 32  # of one element; S3's documents have one or none

# XML 1.0, production [2]: what no document may hold, not even as a character reference.
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

# By bytes of UTF-8, to look at all names of a page at once: what ``text`` may alter, where the two
# illegal characters above ASCII begin, and what ``url_encoded`` leaves alone.
_NOT_TEXT = bytes(set(range(32)) - set(b"\t\n")) + b'&<>"'
_NONCHARACTERS = b"\xef\xbf"
_URL_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/*-._~"


def text(value: str) -> str:
    """Return ``value`` as character data; what XML 1.0 cannot hold becomes U+FFFD."""
    if ILLEGAL.search(value):
        value = ILLEGAL.sub("\ufffd", value)
    # A bare CR would be read as LF, TAB and LF are kept in character data.
    return escape(value, {"\r": "&#13;", '"': "&quot;"})


def url_encoded(value: str) -> str:
    """Return ``value`` as encoding-type=url has it; a blank is %20, which every decoder reads."""
    return quote(value, safe="/*-._~")


def unfit(names: Iterable[str]) -> bool:
    """Whether one of ``names`` has a character that XML 1.0 cannot hold in any form.

    A listing with such a name says EncodingType url unasked: the document stays well formed and no name
    is altered.
    """
    joined = "".join(names)
    return not _is_text(joined.encode()) and ILLEGAL.search(joined) is not None


def listed_name(value: str, encode: bool) -> str:
    """Return a key or prefix as a listing has it: URL-encoded where ``encode``."""
    return url_encoded(value) if encode else text(value)


def listed_names(values: list[str], encode: bool) -> list[str]:
    """Return what ``listed_name`` gives of each; names that stay as they are cost one look at all."""
    joined = "".join(values).encode()
    if not joined.translate(None, _URL_SAFE) if encode else _is_text(joined):
        return values
    return [listed_name(value, encode) for value in values]


def _is_text(utf8: bytes) -> bool:
    # Whether ``text`` is sure to leave it as it is.
    return len(utf8.translate(None, _NOT_TEXT)) == len(utf8) and _NONCHARACTERS not in utf8


def common_prefixes(prefixes: list[str], encode: bool) -> str:
    """Return the CommonPrefixes elements of a listing."""
    return "".join(
        f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
        for prefix in listed_names(prefixes, encode)
    )


def boolean(value: bool) -> str:
    """Return ``value`` as XML has it."""
    return "true" if value else "false"


def owner(identity: Identity, element: str = "Owner") -> str:
    """Return the account of ``identity`` as an Owner element."""
    name = text(identity.display_name or identity.account)
    return f"<{element}><ID>{text(identity.account)}</ID><DisplayName>{name}</DisplayName></{element}>"


def parse(document: bytes, root: str) -> dict[str, Any]:
    """Return the content of the element ``root`` as xmltodict gives it, without namespaces.

    Raises MalformedXML for anything else: not well formed, a DTD, too deep, another root.
    """
    _guard(document)
    try:
        parsed = xmltodict.parse(
            document,
            strip_whitespace=False,
            process_namespaces=True,
            namespaces={NAMESPACE: None, "http://www.w3.org/2001/XMLSchema-instance": "xsi"},
            cdata_key="#text",
        )
    except (ValueError, xml.parsers.expat.ExpatError):
        raise S3Error(Code.MalformedXML) from None
    if list(parsed) != [root]:
        raise S3Error(Code.MalformedXML)
    content = parsed[root]
    if content is None or isinstance(content, str):
        return {}
    return dict(content)


def _guard(document: bytes) -> None:
    parser = xml.parsers.expat.ParserCreate()
    depth = 0
    count = 0

    def started(_name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth += 1
        count += 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS or len(attributes) > MAX_ATTRIBUTES:
            raise S3Error(Code.MalformedXML)

    def ended(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_declaration: object) -> None:
        raise S3Error(Code.MalformedXML)

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except (xml.parsers.expat.ExpatError, LookupError, ValueError):
        # The last two: an encoding that Python does not have, and one of several bytes a character.
        raise S3Error(Code.MalformedXML) from None
