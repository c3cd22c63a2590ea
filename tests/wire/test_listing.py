"""Listings: the documents of both versions, and 1,000 keys through small pages."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@pytest.fixture
def tree(client, bucket):
    """A bucket with a few keys in two directories."""
    for key in ("a", "dir/", "dir/x", "dir/y", "z"):
        client.request("PUT", f"/{bucket}/{key}", body=b"")
    return bucket


def without_times(document):
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", document.decode())


ENTRY = (
    "<LastModified>TIME</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>0</Size>"
)
OWNER = "<Owner><ID>main</ID><DisplayName>Main</DisplayName></Owner>"
STANDARD = "<StorageClass>STANDARD</StorageClass>"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def test_version_1_document(client, tree):
    answer = client.request("GET", f"/{tree}?delimiter=/&max-keys=2")
    assert without_times(answer.body) == (
        f'{DECLARATION}<ListBucketResult xmlns="{NAMESPACE}"><Name>{tree}</Name><Prefix></Prefix>'
        "<Delimiter>/</Delimiter><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated><Marker></Marker>"
        f"<NextMarker>dir/</NextMarker><Contents><Key>a</Key>{ENTRY}{OWNER}{STANDARD}</Contents>"
        "<CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    rest = client.request("GET", f"/{tree}?delimiter=/&max-keys=2&marker=dir/").xml()
    assert [key.text for key in rest.findall("{*}Contents/{*}Key")] == ["z"]
    assert rest.find("{*}CommonPrefixes") is None
    plain = client.request("GET", f"/{tree}?max-keys=2").xml()
    assert plain.findtext("{*}IsTruncated") == "true"
    assert plain.find("{*}NextMarker") is None
    assert plain.find("{*}KeyCount") is None


def test_version_2_document(client, tree):
    answer = client.request("GET", f"/{tree}?list-type=2&prefix=dir/&start-after=dir/x&encoding-type=url")
    assert without_times(answer.body) == (
        f'{DECLARATION}<ListBucketResult xmlns="{NAMESPACE}"><Name>{tree}</Name><Prefix>dir/</Prefix>'
        "<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        f"<KeyCount>1</KeyCount><StartAfter>dir/x</StartAfter><Contents><Key>dir/y</Key>{ENTRY}{STANDARD}"
        "</Contents></ListBucketResult>"
    )
    owned = client.request("GET", f"/{tree}?list-type=2&fetch-owner=true").xml()
    assert owned.findtext("{*}Contents/{*}Owner/{*}ID") == "main"
    assert client.request("GET", f"/{tree}?list-type=2&fetch-owner=x").code == "InvalidArgument"
    assert client.request("GET", f"/{tree}?list-type=2&encoding-type=x").code == "InvalidArgument"


def test_start_after_is_ignored_beside_a_token(client, tree):
    first = client.request("GET", f"/{tree}?list-type=2&max-keys=1").xml()
    token = first.findtext("{*}NextContinuationToken")
    second = client.request(
        "GET", f"/{tree}?list-type=2&max-keys=1&start-after=y&continuation-token={token}"
    ).xml()
    assert second.findtext("{*}Contents/{*}Key") == "dir/"
    assert second.findtext("{*}ContinuationToken") == token


def test_versions_document(client, tree):
    answer = client.request("GET", f"/{tree}?versions&max-keys=1")
    assert without_times(answer.body) == (
        f'{DECLARATION}<ListVersionsResult xmlns="{NAMESPACE}"><Name>{tree}</Name><Prefix></Prefix>'
        "<MaxKeys>1</MaxKeys><IsTruncated>true</IsTruncated><KeyMarker></KeyMarker>"
        "<VersionIdMarker></VersionIdMarker><NextKeyMarker>a</NextKeyMarker>"
        "<NextVersionIdMarker>null</NextVersionIdMarker><Version><Key>a</Key><VersionId>null</VersionId>"
        f"<IsLatest>true</IsLatest>{ENTRY}{OWNER}{STANDARD}</Version></ListVersionsResult>"
    )
    seen, markers = [], ""
    while True:
        page = client.request("GET", f"/{tree}?versions&max-keys=2{markers}").xml()
        seen += [key.text for key in page.findall("{*}Version/{*}Key")]
        if page.findtext("{*}IsTruncated") == "false":
            break
        markers = f"&key-marker={quote(page.findtext('{*}NextKeyMarker'))}&version-id-marker=null"
    assert seen == ["a", "dir/", "dir/x", "dir/y", "z"]
    assert client.request("GET", f"/{tree}?versions&version-id-marker=null").code == "InvalidArgument"
    assert (
        client.request("GET", f"/{tree}?versions&key-marker=a&version-id-marker=x").code == "InvalidArgument"
    )


@pytest.mark.parametrize("listing", ["", "?list-type=2", "?versions"])
def test_empty_and_missing_bucket(client, bucket, listing):
    answer = client.request("GET", f"/{bucket}{listing}").xml()
    assert answer.findtext("{*}IsTruncated") == "false"
    assert client.request("GET", f"/missing-bucket{listing}").code == "NoSuchBucket"


def test_directory_marker(client, tree):
    inside = client.request("GET", f"/{tree}?list-type=2&delimiter=/&prefix=dir/").xml()
    assert [key.text for key in inside.findall("{*}Contents/{*}Key")] == ["dir/", "dir/x", "dir/y"]
    outside = client.request("GET", f"/{tree}?list-type=2&delimiter=/").xml()
    assert [key.text for key in outside.findall("{*}Contents/{*}Key")] == ["a", "z"]
    assert outside.findtext("{*}CommonPrefixes/{*}Prefix") == "dir/"


@pytest.mark.parametrize("prefix", ["dir/x%20longer%20than%20any%20key", "%C3%A9", "b"])
def test_prefix_of_nothing(client, tree, prefix):
    assert client.request("GET", f"/{tree}?list-type=2&prefix={prefix}").xml().findtext("{*}KeyCount") == "0"


character = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def cut(key):
    return key.encode()[:1024].decode(errors="ignore")


# A long key is a short text repeated: as odd, and cheap enough to draw 1,000 of them.
texts = st.one_of(
    st.text(alphabet="ab/", min_size=1, max_size=6), st.text(alphabet=character, min_size=1, max_size=4)
)
keys = st.builds(lambda text, times: cut(text * times), texts, st.sampled_from([1, 1, 1, 2, 50, 1024]))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(keys, min_size=40, max_size=60), st.sampled_from(["/", "a/", "\u20ac"]))
def test_keys_list_in_byte_order_through_pages_of_7(app, signed, names, delimiter):
    client = signed(app)
    assert client.request("PUT", "/a-bucket").status == 200
    for key in names:
        assert client.request("PUT", f"/a-bucket/{quote(key, safe='/')}", body=b"").status == 200
    ordered = sorted(names, key=str.encode)
    assert walk(client, "") == ordered
    rolled = {head + found for head, found, _ in (key.partition(delimiter) for key in names)}
    assert walk(client, f"&delimiter={quote(delimiter)}") == sorted(rolled, key=str.encode)
    for key in names:
        assert client.request("DELETE", f"/a-bucket/{quote(key, safe='/')}").status == 204
    assert walk(client, "") == []
    assert client.request("DELETE", "/a-bucket").status == 204


def walk(client, extra):
    seen, token = [], ""
    while True:
        page = client.request(
            "GET", f"/a-bucket?list-type=2&max-keys=7&encoding-type=url{extra}{token}"
        ).xml()
        names = [key.text for key in page.findall("{*}Contents/{*}Key")]
        names += [prefix.text for prefix in page.findall("{*}CommonPrefixes/{*}Prefix")]
        seen += sorted((unquote(name) for name in names), key=str.encode)
        if page.findtext("{*}IsTruncated") == "false":
            return seen
        assert int(page.findtext("{*}KeyCount")) == len(names) == 7
        token = f"&continuation-token={page.findtext('{*}NextContinuationToken')}"
