"""The doctor reads what people paste: whatever it is, it is read or refused, never a crash."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from s3shim import doctor
from tests.wire.signing import Draft, Signer

SIGNER = Signer("AKIDEXAMPLE", "a-secret-of-the-test")
WHEN = "20261128T180000Z"
NAMES = ["host", "x-amz-date"]


def pieces() -> list[str]:
    draft = Draft("GET", "/b/a%2Fb?x=1", [("Host", "h:1"), ("x-amz-date", WHEN)])
    canonical = SIGNER.canonical_request(draft, "UNSIGNED-PAYLOAD", NAMES).decode()
    text = f"AWS4-HMAC-SHA256\n{WHEN}\n{SIGNER.scope(WHEN)}\n{'0' * 64}"
    authorization = SIGNER.authorize(draft, WHEN, "UNSIGNED-PAYLOAD", NAMES)
    head = "GET /b/a%2Fb?x=1 HTTP/1.1\r\nHost: h:1\r\nx-amz-date: " + WHEN
    answer = (
        f"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{canonical}</CanonicalRequest>"
        f"<StringToSign>{text}</StringToSign><SignatureProvided>00</SignatureProvided></Error>"
    )
    return [
        head,
        f"\r\nAuthorization: {authorization}\r\n\r\n",
        "GET /b/k?X-Amz-Signature=0&X-Amz-Expires=1 HTTP/1.1\n",
        f"\n{canonical}\n",
        f"{text}\nSignature:\n{'0' * 64}\n",
        answer,
        repr(answer.encode()),
        'canonical_request="GET\\n/\\n" signature_sha256=00 ',
        "<AWSPreparedRequest stream_output=False, method=GET, url=http://h/b, headers={'a': b'1'}>",
        "> ",
        "\n",
        "%",
        "<Error>",
        "</Error>",
    ]


def spoiled(text: str, places: list[tuple[int, str]]) -> str:
    for place, character in places:
        place %= len(text) + 1
        text = text[:place] + character + text[place + 1 :]
    return text


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(pieces()), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 10_000), st.characters(max_codepoint=255)), max_size=6),
)
def test_any_mixture_is_read_or_refused(parts: list[str], places: list[tuple[int, str]]) -> None:
    try:
        evidence = doctor.read(spoiled("".join(parts), places))
    except doctor.Unreadable:
        return
    verdict = doctor.diagnose(evidence, {})
    assert bool(verdict.findings) != bool(verdict.missing)
