"""Reads what people have of a refused request: traces, captures, dumps, answers, log lines; in any "
"mixture."""

from __future__ import annotations

import ast
import json
import re
from hashlib import sha256

from s3shim.doctor.canonical import Scope, find_canonical, find_scope
from s3shim.doctor.evidence import Evidence, Message
from s3shim.errors import S3Error
from s3shim.wire import xml

_ERROR = re.compile(r"(?:<\?xml[^>]*>\s*)?<Error\b.*?</Error>", re.DOTALL)
_BYTES = re.compile(
    r"""b'(?:<\?xml|<Error)(?:[^'\\]|\\.)*'|b"(?:<\?xml|<Error)(?:[^"\\]|\\.)*\"""", re.DOTALL
)
_REQUEST_LINE = re.compile(r"([A-Z]{3,10}) (/\S*|https?://\S+) HTTP/[0-9.]+")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)")
_PAIR = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|\S*)')
_PREPARED = re.compile(
    r"<AWSPreparedRequest stream_output=\w+, method=([A-Z]+), url=(\S+), headers=(\{.*\})>"
)
_SIGNATURE = re.compile(r"^Signature:\s*\n?([0-9a-f]{64})$", re.MULTILINE)
_ANSWERED = re.compile(r"^< date: *(.+)$", re.MULTILINE | re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://[^/?#]*")
_OUTER_HOST = ("x-forwarded-host", "x-original-host", "x-host")


class Unreadable(Exception):
    """Nothing that can be judged was found; one line that says what was expected."""


def read(text: str, into: Evidence | None = None) -> Evidence:
    """Return what ``text`` tells, added to what is known. Raises Unreadable where it tells nothing.

    Each character of ``text`` is a byte, as of latin-1: bytes are what was signed.
    """
    evidence = into or Evidence()
    text = text.replace("\r\n", "\n")
    try:
        text, told = _take_answer(text, evidence)
        told = _take_log(text, evidence) or told
        told = _take_prepared(text, evidence) or told
        told = _take_message(text, evidence) or told
    except S3Error as error:
        raise Unreadable(f"the signature of the request cannot be read: {error.message}") from None
    told = _take_dump(text, evidence) or told
    if not told:
        raise Unreadable(
            "no request, canonical request, error document or log line found in it; give raw HTTP, "
            "a trace of curl -v, output of aws --debug, the XML answer, or the server's line at level debug"
        )
    return evidence


def _take_answer(text: str, evidence: Evidence) -> tuple[str, bool]:
    """Take the last error document out of the text."""
    # botocore writes the body as Python writes bytes.
    text = _BYTES.sub(_python_bytes, text)
    documents = _ERROR.findall(text)
    if not documents:
        return text, False
    try:
        elements = xml.parse(documents[-1].encode("latin-1"), "Error")
    except S3Error:
        raise Unreadable("the error document is no well-formed XML") from None
    evidence.answer = {name: value for name, value in elements.items() if isinstance(value, str)}
    answer = evidence.answer
    evidence.seen = find_canonical(answer.get("CanonicalRequest", "")) or evidence.seen
    evidence.seen_scope = find_scope(answer.get("StringToSign", "")) or evidence.seen_scope
    evidence.access_key = answer.get("AWSAccessKeyId", evidence.access_key)
    evidence.signature = answer.get("SignatureProvided", evidence.signature)
    return _ERROR.sub("", text), True


def _python_bytes(match: re.Match[str]) -> str:
    try:
        return str(ast.literal_eval(match[0]).decode("latin-1"))
    except (SyntaxError, ValueError):
        return match[0]


def _take_log(text: str, evidence: Evidence) -> bool:
    lines = [line for line in text.splitlines() if "signature_sha256" in line]
    if not lines:
        return False
    line = lines[-1]
    try:
        start = line.find("{")
        if start >= 0 and '"canonical_request"' in line:
            fields = json.loads(line[start:])
        else:
            fields = {n: json.loads(v) if v.startswith('"') else v for n, v in _PAIR.findall(line)}
    except ValueError:
        raise Unreadable("the log line is cut short or was changed") from None
    evidence.seen = find_canonical(str(fields.get("canonical_request", "")))
    evidence.seen_scope = find_scope(str(fields.get("string_to_sign", "")))
    evidence.access_key = str(fields.get("access_key", ""))
    evidence.signature_sha256 = str(fields.get("signature_sha256", ""))
    if evidence.seen is None or evidence.seen_scope is None:
        raise Unreadable("the log line is cut short or was changed")
    return True


def _take_message(text: str, evidence: Evidence) -> bool:
    """Take the last request that is signed, from a trace of curl or as it went over the wire."""
    traced = [line[2:] for line in text.splitlines() if line.startswith("> ") or line == ">"]
    lines = traced if any(map(_REQUEST_LINE.fullmatch, traced)) else text.splitlines()
    found = False
    for number, line in enumerate(lines):
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            continue
        headers = _header_lines(lines[number + 1 :])
        target = _ABSOLUTE.sub("", match[2]) or "/"
        message = Message(match[1], target, headers, by_client=lines is traced)
        found = _keep(message, evidence) or found
    answered = _ANSWERED.search(text)
    if answered:
        evidence.server_date = answered[1]
    return found


def _keep(message: Message, evidence: Evidence) -> bool:
    """Take the message for the evidence if it is signed; whether it is."""
    claim = message.claim()
    if claim is None:
        return False
    evidence.message = message
    evidence.access_key = claim.access_key
    evidence.signature = claim.signature
    evidence.hosts += [host for host in map(message.value, _OUTER_HOST) if host]
    evidence.hosts.append(message.value("host"))
    return True


def _take_prepared(text: str, evidence: Evidence) -> bool:
    """Take the last signed request that botocore says it sends."""
    found = False
    for method, url, headers in _PREPARED.findall(text):
        try:
            lines = [(name, _as_sent(value)) for name, value in ast.literal_eval(headers).items()]
        except (SyntaxError, ValueError, AttributeError):
            continue
        host = _ABSOLUTE.match(url)
        if host and "host" not in [name.lower() for name, _ in lines]:
            lines.append(("Host", host[0].partition("//")[2]))
        message = Message(method, _ABSOLUTE.sub("", url) or "/", lines, by_client=True)
        claim = message.claim()
        if claim is not None and _keep(message, evidence):
            # botocore signs exactly what it sends.
            evidence.signed = message.canonical(claim)
            found = True
    return found


def _as_sent(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _header_lines(lines: list[str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith((" ", "\t")) and headers:
            # A folded line goes on with the value before; what it was is told by its blanks.
            headers[-1] = (headers[-1][0], f"{headers[-1][1]}{line}")
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            break
        headers.append((match[1], match[2].removeprefix(" ")))
    return headers


def _take_dump(text: str, evidence: Evidence) -> bool:
    """Take what a client says that it has signed."""
    canonical = find_canonical(text)
    if canonical is None:
        return False
    evidence.signed = canonical
    evidence.signed_scope = find_scope(text)
    signature = _SIGNATURE.findall(text)
    if signature and not evidence.signature and not evidence.signature_sha256:
        evidence.signature = signature[-1]
    return True


def scope_of(evidence: Evidence) -> Scope | None:
    """Return day, region and time of the signature, wherever they are told."""
    if evidence.seen_scope or evidence.signed_scope:
        return evidence.seen_scope or evidence.signed_scope
    claim = evidence.message.claim() if evidence.message else None
    return Scope(claim.timestamp, claim.day, claim.region, "s3") if claim else None


def digest_of_signature(evidence: Evidence) -> str:
    """Return the SHA-256 of the signature in hex, "" where it is not known."""
    if evidence.signature_sha256:
        return evidence.signature_sha256
    return sha256(evidence.signature.encode()).hexdigest() if evidence.signature else ""
