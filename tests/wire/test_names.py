"""Names, keys and encodings in the request target: bad input and odd but valid input."""

from urllib.parse import quote

import pytest

NAMES = [
    "ab",
    "a" * 64,
    "A",
    "Abc",
    "a_b",
    "a..b",
    "a.-b",
    "-ab",
    "ab-",
    "192.168.0.1",
    "xn--a",
    "a-s3alias",
    "sthree-x",
    "..",
    ".",
    "%2e%2e",
    "a%2Fb",
    "a%00",
    "a%0d%0aX:%20y",
]


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "HEAD"])
@pytest.mark.parametrize("name", NAMES)
def test_bad_bucket_name(client, method, name):
    answer = client.request(method, f"/{name}")
    assert answer.status == 400
    assert method == "HEAD" or answer.code == "InvalidBucketName"
    assert "X" not in answer.headers


@pytest.mark.parametrize("name", ["healthz", "metrics", "minio", "readyz", "stats", "health"])
def test_no_bucket_name_is_reserved(client, name):
    assert client.request("PUT", f"/{name}").status == 200
    assert client.request("PUT", f"/{name}/live", body=b"x").status == 200
    assert client.request("GET", f"/{name}/live").body == b"x"
    assert client.request("GET", f"/{name}?list-type=2").xml().findtext("{*}KeyCount") == "1"
    assert client.request("DELETE", f"/{name}/live").status == 204
    assert client.request("DELETE", f"/{name}").status == 204


@pytest.mark.parametrize("key", ["a" * 1024, "\u20ac" * 341])
def test_longest_key(client, bucket, key):
    target = f"/{bucket}/{quote(key)}"
    assert client.request("PUT", target, body=b"x").status == 200
    assert client.request("GET", target).body == b"x"


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_key_too_long(client, bucket, method):
    answer = client.request(method, f"/{bucket}/{'a' * 1025}")
    assert (answer.status, answer.code) == (400, "KeyTooLongError")


def test_keys_with_a_long_common_prefix_keep_their_order(client, bucket):
    keys = [f"{'p' * 1000}{number:04d}" for number in range(0, 1000, 9)]
    for key in reversed(keys):
        assert client.request("PUT", f"/{bucket}/{key}", body=b"x").status == 200
    listed = client.request("GET", f"/{bucket}?list-type=2").xml().findall("{*}Contents/{*}Key")
    assert [element.text for element in listed] == keys


# (the key as it is sent in the target, the key that it names)
ODD_KEYS = [
    ("../../etc/passwd", "../../etc/passwd"),
    ("/etc/passwd", "/etc/passwd"),
    ("a/../b", "a/../b"),
    ("..%2f", "../"),
    ("%2e%2e/", "../"),
    ("....//", "....//"),
    ("/", "/"),
    ("//", "//"),
    ("a//b", "a//b"),
    ("a/", "a/"),
    (".", "."),
    ("a/./b", "a/./b"),
    ("%20lead", " lead"),
    ("a+b", "a+b"),
    ("a%2Bb", "a+b"),
    ("100%25", "100%"),
    ("%252F", "%2F"),
    ("a%3Fb", "a?b"),
    ("a%23b", "a#b"),
    ("a%5Cb", "a\\b"),
    ("a;v=1", "a;v=1"),
    ("tab%09", "tab\t"),
    ("line%0Abreak%0D", "line\nbreak\r"),
    ("%01%1F", "\x01\x1f"),
    ("%EF%BF%BE", "\ufffe"),
    ("%F0%9F%98%80", "\U0001f600"),
    ("%D7%A9%D7%9C", "\u05e9\u05dc"),
    ("%C3%A9", "\u00e9"),
    ("e%CC%81", "e\u0301"),
    ("a..b.txt", "a..b.txt"),
]


@pytest.mark.parametrize(("sent", "key"), ODD_KEYS)
def test_odd_key_round_trip(client, bucket, sent, key):
    assert client.request("PUT", f"/{bucket}/{sent}", body=key.encode()).status == 200
    assert client.request("GET", f"/{bucket}/{quote(key, safe='')}").body == key.encode()
    listing = client.request("GET", f"/{bucket}?list-type=2&encoding-type=url").xml()
    assert [element.text for element in listing.findall("{*}Contents/{*}Key")] == [quote(key, safe="/*-._~")]
    assert client.request("DELETE", f"/{bucket}/{sent}").status == 204
    assert client.request("GET", f"/{bucket}?list-type=2").xml().findtext("{*}KeyCount") == "0"


def test_odd_keys_are_distinct(client, bucket):
    for sent, key in ODD_KEYS:
        client.request("PUT", f"/{bucket}/{sent}", body=key.encode())
    listing = client.request("GET", f"/{bucket}?encoding-type=url").xml()
    listed = [element.text for element in listing.findall("{*}Contents/{*}Key")]
    assert listed == [quote(k, safe="/*-._~") for k in sorted({key for _, key in ODD_KEYS}, key=str.encode)]


@pytest.mark.parametrize("version", ["", "&list-type=2", "&versions"])
def test_listing_of_a_key_that_xml_cannot_hold_is_well_formed(client, bucket, version):
    client.request("PUT", f"/{bucket}/%01%2F%EF%BF%BE", body=b"x")
    client.request("PUT", f"/{bucket}/plain", body=b"x")
    answer = client.request("GET", f"/{bucket}?{version.lstrip('&')}")
    assert b"\x01" not in answer.body
    listing = answer.xml()
    assert listing.findtext("{*}EncodingType") == "url"
    assert [key.text for key in listing.iter() if key.tag.endswith("}Key")] == ["%01/%EF%BF%BE", "plain"]


def test_nul_in_a_key(client, bucket):
    answer = client.request("PUT", f"/{bucket}/a%00b", body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("raw", ["%ff%fe", "%c0%af", "%ed%a0%80", "%4", "%zz", "%", "a%"])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_undecodable_target(client, bucket, raw, method):
    """Such a target has no one canonical form, so the answer comes before the signature counts."""
    for target in (f"/{bucket}/{raw}", f"/{bucket}/key?{raw}=1", f"/{bucket}/key?prefix={raw}"):
        answer = client.request(method, target, sign=False, body=b"x" if method == "PUT" else b"")
        assert (answer.status, answer.code) == (400, "InvalidURI")


def test_a_key_may_be_the_prefix_of_another(client, bucket):
    client.request("PUT", f"/{bucket}/a", body=b"1")
    client.request("PUT", f"/{bucket}/a/b", body=b"2")
    assert client.request("GET", f"/{bucket}/a").body == b"1"
    assert client.request("GET", f"/{bucket}/a/b").body == b"2"


@pytest.mark.parametrize("version", ["../x", "x" * 10_000, "%01%02", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"])
def test_unknown_version(client, bucket, version):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    answer = client.request("GET", f"/{bucket}/k?versionId={version}")
    assert (answer.status, answer.code) == (404, "NoSuchVersion")
    assert client.request("DELETE", f"/{bucket}/k?versionId={version}").status in (204, 400)
    assert client.request("GET", f"/{bucket}/k?versionId=null").body == b"x"


@pytest.mark.parametrize("token", ["../x", "x" * 5_000, "%01%02", "", "null", "AAAA"])
def test_forged_continuation_token(client, bucket, token):
    answer = client.request("GET", f"/{bucket}?list-type=2&continuation-token={token}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_continuation_token_of_another_listing(client, bucket):
    for key in "abc":
        client.request("PUT", f"/{bucket}/{key}", body=b"x")
    first = client.request("GET", f"/{bucket}?list-type=2&max-keys=1").xml()
    token = first.findtext("{*}NextContinuationToken")
    good = client.request("GET", f"/{bucket}?list-type=2&max-keys=1&continuation-token={token}").xml()
    assert good.findtext("{*}Contents/{*}Key") == "b"
    client.request("PUT", "/another-bucket")
    for target in [
        f"/{bucket}?list-type=2&prefix=a&continuation-token={token}",
        f"/{bucket}?list-type=2&delimiter=/&continuation-token={token}",
        f"/another-bucket?list-type=2&continuation-token={token}",
        f"/?continuation-token={token}",
    ]:
        answer = client.request("GET", target)
        assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("listing", ["max-keys={}", "list-type=2&max-keys={}", "versions&max-keys={}"])
@pytest.mark.parametrize("value", ["-1", "x", "2147483648", "", "1.5", "99999999999999999999"])
def test_bad_max_keys(client, bucket, listing, value):
    answer = client.request("GET", f"/{bucket}?{listing.format(value)}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("listing", ["max-keys={}", "list-type=2&max-keys={}", "versions&max-keys={}"])
def test_max_keys_bounds(client, bucket, listing):
    client.request("PUT", f"/{bucket}/a", body=b"x")
    nothing = client.request("GET", f"/{bucket}?{listing.format(0)}").xml()
    assert nothing.findtext("{*}IsTruncated") == "false"
    assert nothing.findtext("{*}MaxKeys") == "0"
    many = client.request("GET", f"/{bucket}?{listing.format(1001)}").xml()
    assert many.findtext("{*}MaxKeys") == "1000"


@pytest.mark.parametrize("delimiter", ["x" * 2000, "%01", "", "%F0%9F%98%80", "ab"])
def test_odd_delimiter(client, bucket, delimiter):
    for key in ("a/b", "ab", "abab"):
        client.request("PUT", f"/{bucket}/{key}", body=b"x")
    answer = client.request("GET", f"/{bucket}?list-type=2&delimiter={delimiter}")
    assert answer.status == 200
    prefixes = [p.text for p in answer.xml().findall("{*}CommonPrefixes/{*}Prefix")]
    assert prefixes == (["ab"] if delimiter == "ab" else [])


@pytest.mark.parametrize(
    "host", ["user@s3.example", "[::1", "a" * 300, "s3 example", "s3.example/x", "s3.example:x"]
)
def test_bad_host(app, signed, host):
    answer = signed(app, host=host).request("GET", "/")
    assert (answer.status, answer.code) == (400, "InvalidURI")


@pytest.mark.parametrize(
    "host", ["bucket.evil.example", "s3.example:9000", "[::1]:9000", "s3.example.", "127.0.0.1"]
)
def test_any_good_host_is_path_style(app, signed, host):
    client = signed(app, host=host)
    assert client.request("PUT", "/some-bucket").status == 200
    assert client.request("HEAD", "/some-bucket").status == 200


def test_absent_host(app, signed):
    answer = signed(app, host="").request("GET", "/", sign=False)
    assert (answer.status, answer.code) == (400, "BadRequest")


@pytest.mark.parametrize("target", ["//", "//bucket", "//bucket/key", "///"])
@pytest.mark.parametrize("sign", [True, False])
def test_two_leading_slashes(client, target, sign):
    answer = client.request("GET", target, sign=sign)
    assert (answer.status, answer.code) == (400, "InvalidURI")


def test_fragment(client, bucket):
    answer = client.request("PUT", f"/{bucket}/a#b", body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidURI")


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("", 400, "InvalidArgument"),
        ("a", 400, "InvalidArgument"),
        ("/", 400, "InvalidArgument"),
        ("//", 400, "InvalidArgument"),
        ("b", 400, "InvalidArgument"),
        ("/b/", 400, "InvalidArgument"),
        ("a-bucket", 400, "InvalidArgument"),
        ("/a-bucket/", 400, "InvalidArgument"),
        ("b/k?versionId=", 400, "InvalidArgument"),
        ("a-bucket/k?versionId=", 400, "InvalidArgument"),
        ("a-bucket/%zz", 400, "InvalidArgument"),
        ("a-bucket/%ff", 400, "InvalidArgument"),
        ("a-bucket/a%00", 400, "InvalidArgument"),
        ("b/k", 400, "InvalidBucketName"),
        ("../k", 400, "InvalidBucketName"),
        ("A-BUCKET/k", 400, "InvalidBucketName"),
        ("%2561/k", 400, "InvalidBucketName"),
        ("a-bucket/" + "a" * 1025, 400, "KeyTooLongError"),
        ("none-such/k", 404, "NoSuchBucket"),
        ("a-bucket/none", 404, "NoSuchKey"),
        ("a-bucket/../their-bucket/k", 404, "NoSuchKey"),
        ("a-bucket/k%3FversionId%3D..%2f..%2fx", 404, "NoSuchKey"),
        ("their-bucket/k", 403, "AccessDenied"),
        ("their-bucket%2Fk", 403, "AccessDenied"),
        ("their-bucket/none", 403, "AccessDenied"),
    ],
)
def test_copy_source_never_becomes_a_put(client, stranger, bucket, source, status, code):
    """Whatever a bad source says, the object stays and nothing crashes."""
    stranger.request("PUT", "/their-bucket")
    assert stranger.request("PUT", "/their-bucket/k", body=b"theirs").status == 200
    assert client.request("PUT", f"/{bucket}/k", body=b"old").status == 200
    answer = client.request("PUT", f"/{bucket}/k", headers={"x-amz-copy-source": source})
    assert (answer.status, answer.code) == (status, code)
    assert client.request("GET", f"/{bucket}/k").body == b"old"
