"""From evidence to a cause: by comparing both sides, or by trying what makes the signature right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from s3shim.auth.mismatch import HIDDEN
from s3shim.doctor.answers import explain
from s3shim.doctor.canonical import Canonical, Scope
from s3shim.doctor.compare import Finding, absent, compare
from s3shim.doctor.evidence import Evidence
from s3shim.doctor.reading import digest_of_signature, scope_of
from s3shim.doctor.suspects import suspects
from s3shim.errors import S3Error

_Fits = Callable[[bytes, Canonical], bool]


@dataclass(slots=True)
class Verdict:
    """The causes, or what is missing to find them."""

    findings: list[Finding] = field(default_factory=list)
    missing: str = ""


def diagnose(evidence: Evidence, secrets: Mapping[str, bytes], prefixes: Iterable[str] = ()) -> Verdict:
    """Return why the request was refused. ``secrets`` are secret keys by access key."""
    said = explain(evidence)
    if said is not None:
        return Verdict([said])
    try:
        captured, seen, signed = _sides(evidence)
    except S3Error as error:
        return Verdict(missing=f"The captured request cannot be judged: {error.message}")
    if seen is None:
        return _client_only(evidence, secrets)
    proven = _proven(evidence, secrets)
    if signed is not None and (proven is None or proven(signed) or evidence.signed is not None):
        found = compare(signed, seen) or _compare_scopes(evidence)
        if found:
            return Verdict(found)
    if signed is not None and evidence.signed is not None:
        return Verdict([_another_secret(evidence, proven is not None and proven(evidence.signed))])
    verdict = Verdict(missing=_needed(signed is not None))
    if secrets:
        verdict = _search(evidence, seen, captured, secrets, prefixes)
    lost = [] if verdict.findings else absent(seen)
    return Verdict(lost) if lost else verdict


def _sides(evidence: Evidence) -> tuple[bool, Canonical | None, Canonical | None]:
    """Return whether the server's side is only a capture, what has arrived, and what was signed or sent."""
    message = evidence.message
    claim = message.claim() if message else None
    sent = message.canonical(claim) if message and claim else None
    if evidence.seen is None:
        return True, sent, None if message and message.by_client else evidence.signed
    return False, evidence.seen, evidence.signed or sent


def _needed(compared: bool) -> str:
    if compared:
        return (
            "What the client sent is what the server saw, so the client signed something else, or with "
            "another secret key: give the secret key (--credentials) to find which."
        )
    return (
        "Only one side of the request is known: give what the client signed (--client, such as the output of "
        "aws --debug), or the secret key (--credentials)."
    )


def _client_only(evidence: Evidence, secrets: Mapping[str, bytes]) -> Verdict:
    scope, secret = scope_of(evidence), secrets.get(evidence.access_key)
    signed = evidence.signed
    if signed is None or scope is None or secret is None or not evidence.signature:
        return Verdict(missing=_needed(False))
    if not _right(evidence, scope, secret, signed):
        return Verdict([_another_secret(evidence, False)])
    return Verdict(missing=_needed(False))


def _right(evidence: Evidence, scope: Scope, secret: bytes, canonical: Canonical) -> bool:
    made = scope.signature(secret, canonical.encoded())
    return sha256(made.encode()).hexdigest() == digest_of_signature(evidence)


def _proven(evidence: Evidence, secrets: Mapping[str, bytes]) -> Callable[[Canonical], bool] | None:
    """Return a test whether a canonical request is what was signed, None where that cannot be known."""
    scope, secret = scope_of(evidence), secrets.get(evidence.access_key)
    if scope is None or secret is None or not digest_of_signature(evidence):
        return None
    return lambda canonical: _right(evidence, scope, secret, canonical)


def _compare_scopes(evidence: Evidence) -> list[Finding]:
    signed, seen = evidence.signed_scope, evidence.seen_scope
    if signed is None or seen is None or signed == seen:
        return []
    if signed.region != seen.region:
        return [
            Finding(
                "region",
                f"The client signed for the region {signed.region!r}, and its request names "
                f"{seen.region!r}: let nothing on the way change the Authorization header.",
            )
        ]
    return [
        Finding(
            "date",
            f"The client signed at {signed.timestamp}, and the server was told {seen.timestamp}: let no "
            "proxy change x-amz-date or Date, and compare dumps of the same request.",
        )
    ]


def _another_secret(evidence: Evidence, fits: bool) -> Finding:
    key = evidence.access_key or "of the request"
    if fits:
        return Finding(
            "secret-of-server",
            "The secret key given here makes the signature right, so the server has another one for the "
            f"access key {key}: restart it after a change of its credentials.",
        )
    return Finding(
        "secret",
        f"Everything that the client signed has arrived as it was, so only the secret key differs: give the "
        f"client the secret key that the server has for the access key {key}.",
    )


def _search(
    evidence: Evidence,
    seen: Canonical,
    captured: bool,
    secrets: Mapping[str, bytes],
    prefixes: Iterable[str],
) -> Verdict:
    """Try what makes the signature right."""
    scope = scope_of(evidence)
    if scope is None or not digest_of_signature(evidence):
        return Verdict(
            missing="Neither signature nor string to sign is known: give the whole answer or request."
        )
    if HIDDEN in dict(seen.headers).values():
        return Verdict(missing="The log hides the value of a signed header: give the XML of the answer.")
    if evidence.access_key not in secrets:
        return Verdict(
            missing=f"The secret key of the access key {evidence.access_key} is not among those given."
        )
    secret = secrets[evidence.access_key]
    if _right(evidence, scope, secret, seen):
        if not captured:
            return Verdict([_another_secret(evidence, True)])
        return Verdict(
            missing="The signature is right for the request as it stands here, so it was changed after this "
            "point: give what the server saw, its XML answer or its log line at level debug."
        )
    found = _other_secrets(evidence, scope, seen, secrets)
    if found is not None:
        return Verdict([found])
    hosts = list(dict.fromkeys(evidence.hosts))
    for suspect in suspects(seen, evidence.message, hosts, list(prefixes)):
        if _right(evidence, scope, secret, suspect):
            return Verdict(compare(suspect, seen))
    return Verdict(
        missing="No change that is known here makes the signature right with this secret key: most likely "
        "the client has another secret key; else give what it signed (--client) or the URL that it was "
        "given (--endpoint)."
    )


def _other_secrets(
    evidence: Evidence, scope: Scope, seen: Canonical, secrets: Mapping[str, bytes]
) -> Finding | None:
    for access_key, secret, why in _near(secrets, evidence.access_key):
        if _right(evidence, scope, secret, seen):
            return Finding("secret", why.format(own=evidence.access_key, other=access_key))
    return None


def _near(secrets: Mapping[str, bytes], own: str) -> Iterator[tuple[str, bytes, str]]:
    for access_key, secret in secrets.items():
        if access_key != own:
            yield access_key, secret, "The client signed for access key {own} with the secret key of {other}."
    secret = secrets[own]
    for changed in (secret + b"\n", secret + b"\r\n", secret + b"\r", secret + b" ", b" " + secret):
        yield (
            own,
            changed,
            (
                "The client's secret key for {own} has a blank or a line end around it: remove it where "
                "the client reads the key from."
            ),
        )
    for changed in (secret.strip(), secret.strip(b"\"'"), b'"' + secret + b'"', b"'" + secret + b"'"):
        yield own, changed, "The client's secret key for {own} has quotes or blanks that do not belong to it."
