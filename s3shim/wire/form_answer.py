"""The answer to a form upload: the status, the document or the redirection that the form asks for.

Source: success_action_status and success_action_redirect in "HTML Form Fields", Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo
from s3shim.wire.entity import checksum_headers
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import text

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_STATUSES = {"200": 200, "201": 201}


def redirection(fields: dict[str, str]) -> str | None:
    """Return the URL to send the browser to, None where no field names an absolute one of http or https.

    What cannot be read as a URL is as if it were not there, as with Amazon S3. Raises InvalidArgument for
    control characters, which could end a header.
    """
    value = fields.get("success_action_redirect", fields.get("redirect", ""))
    if _CONTROL.search(value):
        raise S3Error(
            Code.InvalidArgument, "A URL holds a control character.", ArgumentName="success_action_redirect"
        )
    try:
        url = urlsplit(value)
        _ = url.port  # raises where it is none
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.hostname or "\\" in value or " " in value:
        return None
    return value


def form_result(request: S3Request, info: ObjectInfo) -> Response:
    """Return 303, or what the form asks for: 200, 201 with a PostResponse document, otherwise 204."""
    assert request.form is not None
    fields = request.form.fields
    etag = f'"{info.etag}"'
    target = redirection(fields)
    if target is not None:
        return Response(303, [("Location", _with_outcome(target, request, etag)), ("ETag", etag)])
    location = _location(request)
    headers = [("ETag", etag), ("Location", location), *checksum_headers(info)]
    status = _STATUSES.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return Response(status, headers)
    response = xml_response(
        f"<PostResponse><Location>{text(location)}</Location><Bucket>{text(request.bucket)}</Bucket>"
        f"<Key>{text(request.key)}</Key><ETag>{text(etag)}</ETag></PostResponse>",
        201,
    )
    response.headers += headers
    return response


def _with_outcome(target: str, request: S3Request, etag: str) -> str:
    url = urlsplit(target)
    outcome = urlencode({"bucket": request.bucket, "key": request.key, "etag": etag}, quote_via=quote)
    query = f"{url.query}&{outcome}" if url.query else outcome
    # A header is ASCII; what the form has beyond it is encoded as browsers do.
    return quote(urlunsplit(url._replace(query=query)), safe="!#$%&'()*+,/:;=?@[]~")


def _location(request: S3Request) -> str:
    # A slash of the key is encoded too: it is one path segment, as Amazon S3 writes it.
    return f"{request.url.rstrip('/')}/{quote(request.key, safe='')}"
