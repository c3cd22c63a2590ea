"""Object tags, in XML and in the x-amz-tagging header.

Source: "Categorizing your objects using tags", Amazon S3 User Guide: 10 tags, keys of 128 and values
of 256 characters, no key twice, none that begins with ``aws:``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from s3shim.errors import Code, S3Error
from s3shim.wire.document import check_elements
from s3shim.wire.xml import NAMESPACE, text

MAX_TAGS = 10
MAX_KEY = 128
MAX_VALUE = 256


def parse_tagging_header(value: str) -> dict[str, str]:
    """Return the tags in an x-amz-tagging header, a query string. Raises InvalidArgument, InvalidTag."""
    try:
        pairs = parse_qsl(value, keep_blank_values=True, errors="strict")
    except ValueError:
        raise S3Error(
            Code.InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
            "without tag name duplicates.",
            ArgumentName="x-amz-tagging",
        ) from None
    return _checked(pairs)


def parse_tagging(content: dict[str, Any]) -> dict[str, str]:
    """Return the tags in the content of a Tagging document. Raises MalformedXML, InvalidTag."""
    check_elements(content, ("TagSet",))
    if "TagSet" not in content:
        raise S3Error(Code.MalformedXML)
    tag_set = content["TagSet"]
    if tag_set is None or isinstance(tag_set, str):
        return {}
    listed = tag_set.get("Tag", []) if isinstance(tag_set, dict) else None
    check_elements(tag_set if isinstance(tag_set, dict) else {}, ("Tag",))
    pairs = []
    for tag in listed if isinstance(listed, list) else [listed]:
        if not isinstance(tag, dict) or not {"Key", "Value"} <= tag.keys():
            raise S3Error(Code.MalformedXML)
        check_elements(tag, ("Key", "Value"))
        key, value = tag["Key"] or "", tag["Value"] or ""
        if not isinstance(key, str) or not isinstance(value, str):
            raise S3Error(Code.MalformedXML)
        pairs.append((key, value))
    return _checked(pairs)


def tagging_document(tags: dict[str, str]) -> str:
    """Return the Tagging document."""
    listed = "".join(
        f"<Tag><Key>{text(key)}</Key><Value>{text(value)}</Value></Tag>" for key, value in tags.items()
    )
    return f'<Tagging xmlns="{NAMESPACE}"><TagSet>{listed}</TagSet></Tagging>'


def _checked(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if len(pairs) > MAX_TAGS:
        raise S3Error(Code.InvalidTag, "Object tags cannot be greater than 10")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not 1 <= len(key) <= MAX_KEY:
            raise S3Error(Code.InvalidTag, "The TagKey you have provided is invalid", TagKey=key[:MAX_KEY])
        if len(value) > MAX_VALUE:
            raise S3Error(Code.InvalidTag, "The TagValue you have provided is invalid", TagKey=key)
        if key.lower().startswith("aws:"):
            raise S3Error(Code.InvalidTag, "Your TagKey cannot be prefixed with aws:", TagKey=key)
        if key in tags:
            raise S3Error(Code.InvalidTag, "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
    return dict(sorted(tags.items()))
