"""XML bodies that are hostile, odd or not what the schema allows: refused quickly, and nothing is changed."""

import time
from base64 import b64encode
from hashlib import md5
from urllib.parse import quote

import pytest

from tests.wire.answer import check_refused

XML = '<?xml version="1.0" encoding="%s"?>'
KEY = "<Object><Key>small</Key></Object>"
BOMB = (
    '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
REFERRING = "<Delete><Object><Key>%s</Key></Object></Delete>"
DOCTYPES = {
    "billion laughs": BOMB + "<Delete><Object><Key>&i;</Key></Object></Delete>",
    "quadratic": f'<!DOCTYPE a [<!ENTITY a "{"x" * 50_000}">]>{REFERRING % ("&a;" * 500)}',
    "external": f'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>{REFERRING % "&a;"}',
    "network": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><Delete><Object><Key>small</Key></Object></Delete>',
    "parameter": '<!DOCTYPE a [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><Delete/>',
    "nothing but a name": f"<!DOCTYPE Delete><Delete>{KEY}</Delete>",
    "undefined": "<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
}
MALFORMED = {
    "empty": "",
    "blank": " \n",
    "text": "small",
    "json": '{"Delete": 1}',
    "open": "<Delete>",
    "two roots": f"<Delete>{KEY}</Delete><Delete/>",
    "wrong root": f"<Remove>{KEY}</Remove>",
    "root in another case": f"<delete>{KEY}</delete>",
    "another namespace": f'<Delete xmlns="http://example.org/">{KEY}</Delete>',
    "prefix without namespace": f"<s3:Delete>{KEY}</s3:Delete>",
    "deep": "<Delete>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Delete>",
    "attributes": "<Delete " + " ".join(f'a{n}="1"' for n in range(90_000)) + f">{KEY}</Delete>",
    "attribute twice": f'<Delete a="1" a="2">{KEY}</Delete>',
    "long name": f"<{'a' * 1_000_000}>{KEY}</{'a' * 1_000_000}>",
    "illegal character": "<Delete><Object><Key>a\x01</Key></Object></Delete>",
    "illegal reference": "<Delete><Object><Key>a&#1;</Key></Object></Delete>",
    "surrogate reference": "<Delete><Object><Key>a&#xD800;</Key></Object></Delete>",
    "unknown encoding": XML % "x-none" + f"<Delete>{KEY}</Delete>",
    "multi-byte encoding": XML % "utf-7" + f"<Delete>{KEY}</Delete>",
    "another multi-byte encoding": XML % "shift_jis" + f"<Delete>{KEY}</Delete>",
    "wide encoding that is not": XML % "utf-16" + f"<Delete>{KEY}</Delete>",
    "key twice": "<Delete><Object><Key>a</Key><Key>small</Key></Object></Delete>",
    "no object": "<Delete><Quiet>true</Quiet></Delete>",
    "no key": "<Delete><Object><VersionId>null</VersionId></Object></Delete>",
    "misspelt condition": "<Delete><Object><Key>small</Key><Etag>other</Etag></Object></Delete>",
    "unknown condition": "<Delete><Object><Key>small</Key><IfTag>other</IfTag></Object></Delete>",
    "unknown element": f"<Delete>{KEY}<DryRun>true</DryRun></Delete>",
    "key in a key": "<Delete><Object><Key><Key>small</Key></Key></Object></Delete>",
}


def delete(client, body, headers=None):
    digest = {"Content-MD5": b64encode(md5(body).digest()).decode()}
    return client.request("POST", "/full-bucket?delete", digest if headers is None else headers, body)


@pytest.mark.parametrize("body", [*DOCTYPES.values(), *MALFORMED.values()], ids=[*DOCTYPES, *MALFORMED])
def test_a_document_that_is_none(fenced, body):
    began = time.process_time()
    answer = delete(fenced.client, body.encode())
    # A bound against runaway work, not a measure of speed.
    assert time.process_time() - began < 2
    check_refused(answer, 400, "MalformedXML")
    assert b"root:" not in answer.body
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_another_encoding_is_refused_or_means_the_same(client, bucket, encoding):
    client.request("PUT", f"/{bucket}/gone", body=b"x")
    client.request("PUT", f"/{bucket}/small", body=b"x")
    name = "utf-16" if encoding.startswith("utf-16") else encoding
    body = (XML % name + "<Delete><Object><Key>gone</Key></Object></Delete>").encode(encoding)
    digest = {"Content-MD5": b64encode(md5(body).digest()).decode()}
    answer = client.request("POST", f"/{bucket}?delete", digest, body)
    left = [key.text for key in client.request("GET", f"/{bucket}").xml().findall("{*}Contents/{*}Key")]
    if answer.status == 200:
        assert [key.text for key in answer.xml().findall("{*}Deleted/{*}Key")] == ["gone"]
        assert left == ["small"]
    else:
        check_refused(answer, 400, "MalformedXML")
        assert left == ["gone", "small"]


def test_what_xml_may_say_without_a_meaning(client, bucket):
    """Comments, instructions, CDATA, references, blanks between elements, attributes, a byte order mark."""
    names = {
        "&#97;&#x62;": "ab",
        "<![CDATA[a&b]]>": "a&b",
        " a\t": " a\t",
        "a&#13;": "a\r",
        "a<!-- b -->c": "ac",
    }
    for key in names.values():
        assert client.request("PUT", f"/{bucket}/{quote(key)}", body=b"x").status == 200
    listed = "".join(f"\n <Object a='1'>\n<Key>{name}</Key> </Object>" for name in names)
    body = f"\ufeff<?xml version='1.0'?><?xsl a?><!-- a --><Delete>{listed}\n</Delete>\n<!-- b -->".encode()
    digest = {"Content-MD5": b64encode(md5(body).digest()).decode()}
    answer = client.request("POST", f"/{bucket}?delete", digest, body)
    assert [key.text for key in answer.xml().findall("{*}Deleted/{*}Key")] == list(names.values())
    assert client.request("GET", f"/{bucket}").xml().findall("{*}Contents") == []


@pytest.mark.parametrize(
    ("count", "size", "code"),
    [
        (1001, 0, "MalformedXML"),
        (200_000, 0, "MaxMessageLengthExceeded"),
        (1, 10_000_000, "MaxMessageLengthExceeded"),
    ],
)
def test_too_many_keys_and_too_large_a_body(fenced, count, size, code):
    body = f"<Delete>{KEY * count}{' ' * size}</Delete>".encode()
    began = time.process_time()
    check_refused(delete(fenced.client, body), 400, code)
    assert time.process_time() - began < 2
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"Content-MD5": ""}, "InvalidDigest"),
        ({"Content-MD5": "AAAA"}, "InvalidDigest"),
        ({"Content-MD5": "garbage!"}, "InvalidDigest"),
        ({"Content-MD5": b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"x-amz-checksum-crc32": "garbage"}, "InvalidRequest"),
        ({"x-amz-checksum-sha256": b64encode(bytes(32)).decode()}, "BadDigest"),
    ],
)
def test_digests_of_a_document(fenced, headers, code):
    check_refused(delete(fenced.client, f"<Delete>{KEY}</Delete>".encode(), headers), 400, code)
    assert fenced.digest() == fenced.before


TAG = "<Tag><Key>a</Key><Value>b</Value></Tag>"
TAGGING, CORS = "/full-bucket/small?tagging", "/full-bucket?cors"
RULE = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"


@pytest.mark.parametrize(
    ("method", "target", "root", "content"),
    [
        ("PUT", TAGGING, "Tagging", f"<TagSet>{TAG}</TagSet><TagSet>{TAG}</TagSet>"),
        ("PUT", TAGGING, "Tagging", f"<tagset>{TAG}</tagset>"),
        ("PUT", TAGGING, "Tagging", f"<TagSet>{TAG}</TagSet><Other/>"),
        ("PUT", TAGGING, "Tagging", f"<TagSet>{TAG}<Other/></TagSet>"),
        ("PUT", TAGGING, "Tagging", "<TagSet><Tag><Key>a</Key><Key>b</Key><Value/></Tag></TagSet>"),
        ("PUT", TAGGING, "Tagging", "<TagSet><Tag><Key>a</Key><Value/><Other/></Tag></TagSet>"),
        ("PUT", TAGGING, "Tagging", "<TagSet><Tag><Key>a</Key></Tag></TagSet>"),
        ("PUT", CORS, "CORSConfiguration", f"<CORSRule>{RULE}<Other/></CORSRule>"),
        ("PUT", CORS, "CORSConfiguration", f"<CORSRule>{RULE}</CORSRule><Other/>"),
        ("PUT", CORS, "CORSConfiguration", f"<CorsRule>{RULE}</CorsRule>"),
        ("PUT", CORS, "CORSConfiguration", f"<CORSRule>{RULE}<MaxAgeSeconds>x</MaxAgeSeconds></CORSRule>"),
        ("PUT", "/new-bucket", "CreateBucketConfiguration", "<LocationConstraint>a</LocationConstraint>" * 2),
        ("PUT", "/new-bucket", "CreateBucketConfiguration", "<Other/>"),
    ],
)
def test_elements_that_the_schema_does_not_have(fenced, method, target, root, content):
    body = f"<{root}>{content}</{root}>".encode()
    check_refused(fenced.client.request(method, target, body=body), 400, "MalformedXML")
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("line_end", ["&#10;", "&#13;", "\n"])
@pytest.mark.parametrize("element", ["ExposeHeader", "AllowedHeader", "AllowedOrigin"])
def test_a_rule_cannot_end_a_header(fenced, element, line_end):
    rule = f"<CORSRule>{RULE}<{element}>a{line_end}Set-Cookie: b</{element}></CORSRule>"
    body = f"<CORSConfiguration>{rule}</CORSConfiguration>".encode()
    answer = fenced.client.request("PUT", "/full-bucket?cors", body=body)
    assert (answer.status, answer.code) in ((400, "InvalidRequest"), (400, "MalformedXML"))
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_body_on_a_request_that_has_none(client, bucket, method):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    answer = client.request(method, f"/{bucket}/k", {"Content-Length": "9"}, b"<Delete/>")
    assert answer.status == (204 if method == "DELETE" else 200)
