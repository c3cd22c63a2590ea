"""Cross-origin rules: kept, told to browsers before and after a request, and never more than they allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.cors import Rule, allowing, find

ORIGIN = "https://app.example"


def rule(*elements):
    return "<CORSRule>" + "".join(f"<{name}>{value}</{name}>" for name, value in elements) + "</CORSRule>"


FIRST_ELEMENTS = (
    ("ID", "first"),
    ("AllowedOrigin", "https://*.example"),
    ("AllowedMethod", "PUT"),
    ("AllowedMethod", "GET"),
    ("AllowedHeader", "x-amz-*"),
    ("AllowedHeader", "Content-Type"),
    ("ExposeHeader", "ETag"),
    ("MaxAgeSeconds", "600"),
)
FIRST = rule(*FIRST_ELEMENTS)
ANY_GET = (("AllowedOrigin", "*"), ("AllowedMethod", "GET"))
SECOND = rule(("AllowedOrigin", "*"), ("AllowedMethod", "HEAD"))


def put_rules(client, bucket, *rules):
    body = f"<CORSConfiguration>{''.join(rules)}</CORSConfiguration>".encode()
    return client.request("PUT", f"/{bucket}?cors", body=body)


@pytest.fixture
def ruled(client, bucket):
    """The bucket, with two rules."""
    assert put_rules(client, bucket, FIRST, SECOND).status == 200
    return bucket


def ask(client, target, origin=ORIGIN, method="PUT", headers=None):
    lines = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        lines["Access-Control-Request-Headers"] = headers
    return client.request("OPTIONS", target, lines, sign=False)


def told(answer):
    lines = [(name.lower(), value) for name, value in answer.headers.items()]
    return {name: value for name, value in lines if name.startswith("access-control")}


def test_rules_are_kept_and_removed(client, ruled):
    answer = client.request("GET", f"/{ruled}?cors")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml")
    rules = answer.xml().findall("{*}CORSRule")
    found = [[(child.tag.partition("}")[2], child.text) for child in element] for element in rules]
    assert sorted(found[0]) == sorted(FIRST_ELEMENTS)
    assert client.request("DELETE", f"/{ruled}?cors").status == 204
    assert client.request("GET", f"/{ruled}?cors").code == "NoSuchCORSConfiguration"
    assert client.request("DELETE", f"/{ruled}?cors").status == 204


def test_preflight_that_passes(client, ruled):
    answer = ask(client, f"/{ruled}/k", headers="X-Amz-Date, content-type")
    assert answer.status == 200
    assert told(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT, GET",
        "access-control-allow-headers": "x-amz-date, content-type",
        "access-control-expose-headers": "ETag",
        "access-control-max-age": "600",
    }
    assert "Origin" in answer.headers["vary"]
    anybody = ask(client, f"/{ruled}", origin="https://other.org", method="HEAD")
    assert told(anybody) == {"access-control-allow-origin": "*", "access-control-allow-methods": "HEAD"}


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://app.example.org", "PUT", None),
        ("http://app.example", "PUT", None),
        ("https://.exampl", "PUT", None),
        (ORIGIN, "DELETE", None),
        (ORIGIN, "put", None),
        (ORIGIN, "PUT", "x-other"),
        (ORIGIN, "PUT", "x-amz-date, x-other"),
        ("https://other.org", "HEAD", "content-type"),
    ],
)
def test_preflight_that_does_not(client, ruled, origin, method, headers):
    answer = ask(client, f"/{ruled}/k", origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert told(answer) == {}


def test_preflight_that_is_none(client, ruled):
    for lines in ({}, {"Origin": ORIGIN}, {"Access-Control-Request-Method": "PUT"}):
        answer = client.request("OPTIONS", f"/{ruled}/k", lines, sign=False)
        assert (answer.status, answer.code) == (400, "BadRequest")


def test_without_rules_nothing_is_told(client, bucket):
    for target in (f"/{bucket}/k", "/no-such-bucket/k", "/"):
        answer = ask(client, target)
        assert (answer.status, answer.code) == (403, "AccessForbidden")
    answer = client.request("PUT", f"/{bucket}/k", {"Origin": ORIGIN}, b"1")
    assert (answer.status, told(answer)) == (200, {})


def test_answers_to_the_requests_themselves(client, stranger, ruled):
    origin = {"Origin": ORIGIN}
    expected = {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT, GET",
        "access-control-expose-headers": "ETag",
        "access-control-max-age": "600",
    }
    put = client.request("PUT", f"/{ruled}/k", origin, b"1")
    assert (put.status, told(put)) == (200, expected)
    get = client.request("GET", f"/{ruled}/k", origin)
    assert (get.body, told(get)) == (b"1", expected)
    missing = client.request("GET", f"/{ruled}/absent", origin)
    assert (missing.status, told(missing)) == (404, expected)
    refused = stranger.request("GET", f"/{ruled}/k", origin)
    assert (refused.status, told(refused)) == (403, expected)
    assert told(client.request("DELETE", f"/{ruled}/k", origin)) == {}
    assert told(client.request("GET", f"/{ruled}", {"Origin": "https://else.org"})) == {}


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ((), "MalformedXML"),
        ((FIRST,) * 101, "MalformedXML"),
        ((rule(("AllowedMethod", "GET")),), "MalformedXML"),
        ((rule(("AllowedOrigin", "*")),), "MalformedXML"),
        ((rule(("AllowedOrigin", "*"), ("AllowedMethod", "PATCH")),), "InvalidRequest"),
        ((rule(("AllowedOrigin", "*"), ("AllowedMethod", "get")),), "InvalidRequest"),
        ((rule(("AllowedOrigin", "http://*.a.*"), ("AllowedMethod", "GET")),), "InvalidRequest"),
        (
            (rule(("AllowedOrigin", "*"), ("AllowedMethod", "GET"), ("AllowedHeader", "*a*")),),
            "InvalidRequest",
        ),
        (
            (rule(("AllowedOrigin", "*"), ("AllowedMethod", "GET"), ("ExposeHeader", "x-*")),),
            "InvalidRequest",
        ),
        ((rule(("AllowedOrigin", "*"), ("AllowedMethod", "GET"), ("MaxAgeSeconds", "-1")),), "MalformedXML"),
        ((rule(("AllowedOrigin", "a&#13;&#10;b"), ("AllowedMethod", "GET")),), "MalformedXML"),
        ((rule(*ANY_GET, ("ID", "x" * 256)),), "MalformedXML"),
    ],
)
def test_rules_that_are_none(client, ruled, rules, code):
    answer = put_rules(client, ruled, *rules)
    assert (answer.status, answer.code) == (400, code)
    assert ask(client, f"/{ruled}/k").status == 200


def test_rules_are_the_owners(client, stranger, ruled):
    assert put_rules(stranger, ruled, SECOND).code == "AccessDenied"
    assert stranger.request("GET", f"/{ruled}?cors").code == "AccessDenied"
    assert stranger.request("DELETE", f"/{ruled}?cors").code == "AccessDenied"
    assert client.request("DELETE", f"/{ruled}").status == 204
    assert client.request("PUT", f"/{ruled}").status == 200
    assert client.request("GET", f"/{ruled}?cors").code == "NoSuchCORSConfiguration"


@given(st.text("ab*", max_size=4).filter(lambda text: text.count("*") <= 1), st.text("ab", max_size=4))
def test_a_wildcard_stands_for_any_text(pattern, value):
    before, star, after = pattern.partition("*")
    middles = {value[i:j] for i in range(5) for j in range(i, 6)} if star else {""}
    expected = any(before + middle + after == value for middle in middles)
    found = find([Rule((pattern,), ("GET",))], value, "GET", ())
    assert (found is not None) is expected
    if found:
        assert allowing(found, value)[0][1] in (value, "*")
