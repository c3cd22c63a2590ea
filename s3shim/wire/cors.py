"""Cross-origin rules as documents, and as the headers of a request and of its answer.

Source: "PutBucketCors" in the Amazon S3 API Reference: at most 100 rules, 64 KB.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from s3shim.cors import ANY, DOCUMENT, METHODS, Rule, allowing, find
from s3shim.errors import Code, S3Error
from s3shim.wire.document import check_elements, read_document
from s3shim.wire.request import S3Request
from s3shim.wire.xml import DECLARATION, NAMESPACE, parse, text

MAX_RULES = 100
MAX_DOCUMENT = 64 * 1024

_ROOT = "CORSConfiguration"
_SECONDS = re.compile("[0-9]{1,9}", re.ASCII)
_VISIBLE = re.compile("[!-~]{1,255}")
_LISTS = {
    "AllowedOrigin": "origins",
    "AllowedMethod": "methods",
    "AllowedHeader": "headers",
    "ExposeHeader": "exposed",
}


def read_rules(request: S3Request) -> tuple[Rule, ...]:
    """Return the rules in the request's body. Raises MalformedXML and InvalidRequest."""
    content = read_document(request, _ROOT, MAX_DOCUMENT)
    return _rules(content or {})


@lru_cache(maxsize=256)
def parse_rules(document: bytes) -> tuple[Rule, ...]:
    """Return the rules in a document that ``write_rules`` has made."""
    return _rules(parse(document, _ROOT))


def write_rules(rules: tuple[Rule, ...]) -> bytes:
    """Return the rules as a document."""
    parts = [f'{DECLARATION}<{_ROOT} xmlns="{NAMESPACE}">']
    for rule in rules:
        parts.append("<CORSRule>")
        if rule.id is not None:
            parts.append(f"<ID>{text(rule.id)}</ID>")
        for element, name in _LISTS.items():
            parts += [f"<{element}>{text(value)}</{element}>" for value in getattr(rule, name)]
        if rule.max_age is not None:
            parts.append(f"<MaxAgeSeconds>{rule.max_age}</MaxAgeSeconds>")
        parts.append("</CORSRule>")
    return ("".join(parts) + f"</{_ROOT}>").encode()


def asked_headers(request: S3Request) -> list[str]:
    """Return the header names that a preflight asks for."""
    value = request.headers.get("access-control-request-headers") or ""
    return [name for item in value.split(",") if (name := item.strip(" \t"))]


def cross_origin_headers(
    request: S3Request, get_document: Callable[[str, str], bytes | None]
) -> list[tuple[str, str]]:
    """Return what an answer to ``request`` tells a browser by the bucket's rules; nothing without a match."""
    origin = request.sent.get("origin") or ""
    try:
        document = get_document(request.bucket, DOCUMENT)
        rule = None if document is None else find(parse_rules(document), origin, request.method, ())
    except S3Error:
        return []  # whatever is wrong, the request itself has met it
    return [] if rule is None else allowing(rule, origin)


def _rules(content: dict[str, Any]) -> tuple[Rule, ...]:
    check_elements(content, ("CORSRule",))
    elements = _list(content.get("CORSRule"))
    if not elements or len(elements) > MAX_RULES:
        raise S3Error(Code.MalformedXML)
    return tuple(map(_rule, elements))


def _rule(element: Any) -> Rule:
    if not isinstance(element, dict):
        raise S3Error(Code.MalformedXML)
    check_elements(element, (*_LISTS, "ID", "MaxAgeSeconds"))
    values = {name: tuple(map(_text, _list(element.get(tag)))) for tag, name in _LISTS.items()}
    origins, methods = values["origins"], values["methods"]
    if not origins or not methods:
        raise S3Error(Code.MalformedXML)
    for method in methods:
        if method not in METHODS:
            raise S3Error(
                Code.InvalidRequest,
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:100]}",
            )
    for what, patterns in (("AllowedOrigin", origins), ("AllowedHeader", values["headers"])):
        for pattern in patterns:
            if pattern.count(ANY) > 1:
                raise S3Error(
                    Code.InvalidRequest, f'{what} "{pattern[:100]}" can not have more than one wildcard.'
                )
    for name in values["exposed"]:
        if ANY in name:
            raise S3Error(
                Code.InvalidRequest,
                f'ExposeHeader "{name[:100]}" contains wildcard. We currently do not support it.',
            )
    age = element.get("MaxAgeSeconds")
    if age is not None and not (isinstance(age, str) and _SECONDS.fullmatch(age.strip())):
        raise S3Error(Code.MalformedXML)
    named = element.get("ID")
    if named is not None and not (isinstance(named, str) and len(named) <= 255):
        raise S3Error(Code.MalformedXML)
    return Rule(
        origins, methods, values["headers"], values["exposed"], None if age is None else int(age), named
    )


def _list(found: Any) -> list[Any]:
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _text(value: Any) -> str:
    # These values become headers of answers.
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value.strip()):
        raise S3Error(Code.MalformedXML)
    return value.strip()
