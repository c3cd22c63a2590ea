"""What the fields of a form upload say of the object.

Source: "POST Object" and "HTML Form Fields" in the Amazon S3 API Reference.
"""

from __future__ import annotations

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectMeta
from s3shim.post_policy import IGNORED
from s3shim.wire import xml
from s3shim.wire.metadata import SYSTEM_HEADERS, USER_PREFIX, read_metadata
from s3shim.wire.request import Headers
from s3shim.wire.tags import parse_tagging

HONOURED = frozenset(
    {
        "acl",
        "bucket",
        "content-md5",
        "content-type",
        "file",
        "key",
        "policy",
        "redirect",
        "success_action_redirect",
        "success_action_status",
        "tagging",
        "x-amz-algorithm",
        "x-amz-checksum-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        "x-amz-storage-class",
        *SYSTEM_HEADERS,
        *(f"x-amz-checksum-{algorithm}" for algorithm in checksums.SIZES),
    }
)
"""The fields that mean something here, and x-amz-meta-* beside them."""

_MEANINGFUL = ("x-amz-", "if-", "content-range")
_PRIVATE = ("private", "bucket-owner-full-control")


def check_fields(fields: dict[str, str]) -> None:
    """Refuse what is not honoured, as the fence does with headers.

    A name that means nothing to S3 passes: the policy, which has to name it, has let it. Raises
    NotImplemented, AccessControlListNotSupported, InvalidStorageClass.
    """
    for name in fields:
        passes = name in HONOURED or name.startswith((USER_PREFIX, IGNORED))
        if not passes and name.replace("_", "-").startswith(_MEANINGFUL):
            raise S3Error(
                Code.NotImplemented,
                f"A form field you provided implies functionality that is not implemented: {name[:100]}",
                Header=name[:100],
            )
    if fields.get("acl", _PRIVATE[0]) not in _PRIVATE:
        raise S3Error(
            Code.AccessControlListNotSupported, ArgumentName="acl", ArgumentValue=fields["acl"][:100]
        )
    storage_class = fields.get("x-amz-storage-class", "STANDARD")
    if storage_class != "STANDARD":
        raise S3Error(Code.InvalidStorageClass, StorageClassRequested=storage_class[:100])


def as_headers(fields: dict[str, str]) -> Headers:
    """Return the fields as the headers that a PUT would have, in WSGI's form: UTF-8 as latin-1 text."""
    return Headers([(name, value.encode().decode("latin-1")) for name, value in fields.items()], exact=True)


def metadata_in(fields: dict[str, str], headers: Headers) -> ObjectMeta:
    """Return the metadata and tags in ``fields``; ``headers`` are the same as headers.

    Raises as read_metadata, and MalformedXML for a bad ``tagging`` document.
    """
    meta = read_metadata(headers)
    tagging = fields.get("tagging")
    if tagging is not None:
        meta.tags = parse_tagging(xml.parse(tagging.encode(), "Tagging"))
    return meta
