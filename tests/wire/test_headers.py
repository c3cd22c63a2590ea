"""Headers of requests and answers: bad input, and what must come back as it was sent."""

import pytest

CONTROL = ["a\r\nX-Evil: 1", "a\0b", "a\x7fb", "a\x01b"]


@pytest.mark.parametrize(
    "name",
    [
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
    ],
)
def test_response_override(client, bucket, name):
    client.request("PUT", f"/{bucket}/k", headers={"Content-Type": "text/plain", "Cache-Control": "no-store"})
    header = name.removeprefix("response-")
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/{bucket}/k?{name}=some%20value")
        assert (answer.status, answer.headers[header]) == (200, "some value")
    for value in ("a%0D%0AX-Evil:%201", "a%00", "a%7F"):
        answer = client.request("GET", f"/{bucket}/k?{name}={value}")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert "x-evil" not in answer.headers
    anonymous = client.request("GET", f"/{bucket}/k?{name}=x", sign=False)
    assert (anonymous.status, anonymous.code) == (400, "InvalidRequest")


def test_response_override_beyond_latin_1(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    answer = client.request("GET", f"/{bucket}/k?response-content-disposition=%E2%82%AC")
    assert answer.headers["content-disposition"].encode("latin-1") == "\u20ac".encode()


@pytest.mark.parametrize("value", CONTROL)
@pytest.mark.parametrize("name", ["x-amz-meta-a", "Content-Type", "Cache-Control", "Content-Disposition"])
def test_control_character_in_metadata(client, bucket, name, value):
    answer = client.request("PUT", f"/{bucket}/k", headers={name: value}, body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert client.request("GET", f"/{bucket}/k").status == 404


@pytest.mark.parametrize(
    "value",
    [
        "gr\u00fcn".encode().decode("latin-1"),
        "gr\u00fcn",
        "=?UTF-8?B?Z3LDvG4=?=",
        "\u20ac".encode().decode("latin-1"),
        "a  b",
    ],
)
def test_metadata_comes_back_as_sent(client, bucket, value):
    client.request(
        "PUT", f"/{bucket}/k", headers={"x-amz-meta-Colour": value, "x-amz-meta-a_b": "1"}, body=b"x"
    )
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/{bucket}/k")
        assert answer.status == 200
        assert answer.headers["x-amz-meta-colour"] == value
        assert answer.headers["x-amz-meta-a_b"] == "1"


def test_metadata_sizes(client, bucket):
    fits = {"x-amz-meta-a": "x" * 1023, "x-amz-meta-b": "y" * 1023}
    assert client.request("PUT", f"/{bucket}/k", headers=fits, body=b"x").status == 200
    for headers in (
        {"x-amz-meta-a": "x" * 2048},
        {f"x-amz-meta-{number:03d}": "x" * 10 for number in range(200)},
        {"Cache-Control": "x" * 8000},
        {"Expires": "x" * 8000},
        {"Content-Language": "x" * 8000},
    ):
        answer = client.request("PUT", f"/{bucket}/k", headers=headers, body=b"y")
        assert (answer.status, answer.code) == (400, "MetadataTooLarge")
    assert client.request("GET", f"/{bucket}/k").body == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "x-s3shim-owner",
        "x-minio-internal-actual-size",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-bucket-key-enabled",
    ],
)
def test_internal_names_never_reach_the_record(client, bucket, name):
    answer = client.request("PUT", f"/{bucket}/k", headers={name: "x"}, body=b"x")
    assert answer.status == (501 if name.startswith("x-amz-") else 200)
    shown = client.request("GET", f"/{bucket}/k")
    assert name not in shown.headers


def test_active_content_is_sandboxed(client, bucket):
    client.request("PUT", f"/{bucket}/k.html", headers={"Content-Type": "text/html"}, body=b"<script>")
    answer = client.request("GET", f"/{bucket}/k.html")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "x", "x" * 8000])
def test_origin_is_never_reflected(client, bucket, origin):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    answer = client.request("GET", f"/{bucket}/k", headers={"Origin": origin})
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    answer = client.request("OPTIONS", f"/{bucket}/k", headers=preflight, sign=False)
    assert (answer.status, answer.code) == (403, "AccessForbidden")


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://a.example"}, {"Access-Control-Request-Method": "GET"}]
)
def test_preflight_without_its_headers(client, bucket, headers):
    answer = client.request("OPTIONS", f"/{bucket}/k", headers=headers, sign=False)
    assert (answer.status, answer.code) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("bytes=9-1", 200),
        ("bytes=-0", 416),
        ("bytes=0-,5-6", 200),
        ("bytes=" + ",".join(["0-1"] * 1000), 200),
        ("bytes=99999999999999999999-", 416),
        ("items=0-1", 200),
        ("bytes=0-3", 206),
        ("bytes=-3", 206),
        ("bytes=4-", 206),
        ("bytes=0-99", 206),
    ],
)
def test_ranges(client, bucket, value, status):
    client.request("PUT", f"/{bucket}/k", body=b"0123456789")
    answer = client.request("GET", f"/{bucket}/k", headers={"Range": value})
    assert answer.status == status
    head = client.request("HEAD", f"/{bucket}/k", headers={"Range": value})
    assert head.status == status
    if status == 200:
        assert answer.body == b"0123456789"
    elif status == 416:
        assert answer.code == "InvalidRange"
        assert answer.headers["content-range"] == "bytes */10"
    else:
        assert answer.headers["content-range"] == head.headers["content-range"]
        assert (
            int(answer.headers["content-length"]) == int(head.headers["content-length"]) == len(answer.body)
        )


@pytest.mark.parametrize(
    "condition", ["If-Modified-Since", "If-Unmodified-Since", "If-Match", "If-None-Match"]
)
def test_conditions_tell_an_anonymous_nothing(client, bucket, condition):
    client.request("PUT", f"/{bucket}/there", body=b"x")
    value = "*" if "Match" in condition else "Sun, 06 Nov 1994 08:49:37 GMT"
    seen = set()
    for target in (f"/{bucket}/there", f"/{bucket}/missing", "/no-such-bucket/missing"):
        answer = client.request("GET", target, headers={condition: value}, sign=False)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        seen.add((answer.status, answer.code, tuple(sorted(name.lower() for name in answer.headers))))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("condition", "value", "status"),
    [
        ("If-None-Match", ", ".join(f'"{n}"' for n in range(1000)) + ', "{etag}"', 304),
        ("If-None-Match", 'W/"{etag}"', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"{etag}', 200),
        ("If-None-Match", "{etag}", 304),
        ("If-Match", 'W/"{etag}"', 412),
        ("If-Match", '"{etag}"', 200),
        ("If-Match", "{etag}", 200),
        ("If-Match", "*", 200),
        ("If-Match", '"x", "y"', 412),
        ("If-Match", '"', 412),
    ],
)
def test_etag_lists(client, bucket, condition, value, status):
    etag = client.request("PUT", f"/{bucket}/k", body=b"x").headers["etag"].strip('"')
    headers = {condition: value.replace("{etag}", etag)}
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/{bucket}/k", headers=headers)
        assert answer.status == status
        if status == 304:
            assert answer.headers["etag"] == f'"{etag}"'
            assert answer.body == b""
        elif status == 412 and method == "GET":
            assert answer.code == "PreconditionFailed"


def test_names_of_user_metadata_are_answered_in_the_case_that_was_set(app, client, bucket):
    sent = {"x-amz-meta-foo": "1", "X-Amz-Meta-Some-NAME": "2", "x-amz-meta-b2b_x": "3"}
    client.request("PUT", f"/{bucket}/k", headers=sent, body=b"x")
    cases = {
        False: ["x-amz-meta-foo", "x-amz-meta-some-name", "x-amz-meta-b2b_x"],
        True: ["X-Amz-Meta-Foo", "X-Amz-Meta-Some-Name", "X-Amz-Meta-B2b_x"],
    }
    for titled, names in cases.items():
        app.service.titled_metadata = titled
        for method in ("GET", "HEAD"):
            lines = client.request(method, f"/{bucket}/k").headers.lines
            assert [name for name, _ in lines if name.lower().startswith("x-amz-meta-")] == names
