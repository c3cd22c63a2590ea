"""PostObject: what a form that is as it must be does, and what it is answered."""

import hashlib
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.contract.bodies import checksum
from tests.wire.client import Client
from tests.wire.conftest import MAIN
from tests.wire.forms import (
    ANY_KEY,
    BOUNDARY,
    TYPE,
    form_body,
    post,
    sign,
    signature_fields,
    signed_fields,
    upload,
)

DATA = b"data"
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
HOST = "s3.example:9000"


def outcome(answer):
    """Return status, body, and the headers that are not on every answer."""
    common = {"x-amz-request-id", "x-amz-id-2", "x-content-type-options", "server", "content-length"}
    return answer.status, answer.body, {n: answer.headers[n] for n in answer.headers if n not in common}


def stored_as(key):
    return {
        "etag": ETAG,
        "location": f"http://{HOST}/a-bucket/{key}",
        "x-amz-checksum-crc64nvme": checksum("crc64nvme", DATA),
        "x-amz-checksum-type": "FULL_OBJECT",
    }


def test_a_form_is_stored_and_answered_204(client, bucket):
    answer = upload(client, bucket, {"key": "a/b.txt"})
    assert outcome(answer) == (204, b"", stored_as("a%2Fb.txt"))
    shown = client.request("GET", f"/{bucket}/a/b.txt")
    assert (shown.body, shown.headers["etag"]) == (DATA, ETAG)
    # The Content-Type is that of the field, not of the file's part.
    assert shown.headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("asked", "status"),
    [("200", 200), ("204", 204), ("404", 204), ("", 204), ("0200", 204), ("\u0662\u0660\u0660", 204)],
)
def test_success_action_status(client, bucket, asked, status):
    fields = {"key": "k", "success_action_status": asked}
    answer = upload(client, bucket, fields, [ANY_KEY, {"success_action_status": asked}])
    assert outcome(answer) == (status, b"", stored_as("k"))
    assert client.request("GET", f"/{bucket}/k").body == DATA


def test_201_has_a_document(client, bucket):
    fields = {"key": "a&b/\u00e9.txt", "success_action_status": "201"}
    answer = upload(client, bucket, fields, [ANY_KEY, {"success_action_status": "201"}])
    location = f"http://{HOST}/{bucket}/a%26b%2F%C3%A9.txt"
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<PostResponse><Location>{location}</Location><Bucket>a-bucket</Bucket><Key>a&amp;b/\u00e9.txt</Key>"
        f"<ETag>{ETAG.replace(chr(34), '&quot;')}</ETag></PostResponse>"
    )
    headers = {**stored_as("a%26b%2F%C3%A9.txt"), "content-type": "application/xml"}
    assert outcome(answer) == (201, document.encode(), headers)


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect", "Success_Action_Redirect"])
def test_303_carries_the_outcome(client, bucket, name):
    url = "https://app.example/done?a=1&b=%20#top"
    answer = upload(client, bucket, {"key": "a b/\u00e9", name: url}, [ANY_KEY, {name: url}])
    location = (
        "https://app.example/done?a=1&b=%20&bucket=a-bucket&key=a%20b%2F%C3%A9&etag="
        f"{ETAG.replace(chr(34), '%22')}#top"
    )
    assert outcome(answer) == (303, b"", {"etag": ETAG, "location": location})
    query = parse_qs(urlsplit(location).query)
    assert (query["key"], query["etag"]) == (["a b/\u00e9"], [ETAG])
    plain = upload(
        client, bucket, {"key": "k", name: "http://h/"}, [ANY_KEY, ["starts-with", f"${name}", ""]]
    )
    assert plain.headers["location"] == f"http://h/?bucket=a-bucket&key=k&etag={ETAG.replace(chr(34), '%22')}"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript://h/%0aalert(1)",
        "data:text/html,x",
        "//evil.example/",
        "/relative",
        "https://",
        "https:///path",
        "http://h:port/",
        "http://[h/",
        "http:\\\\evil.example",
        "https://a b/",
        "",
    ],
)
def test_what_is_no_url_of_http_redirects_nowhere(client, bucket, url):
    allowed = [ANY_KEY, ["starts-with", "$success_action_redirect", ""]]
    answer = upload(client, bucket, {"key": "k", "success_action_redirect": url}, allowed)
    assert outcome(answer) == (204, b"", stored_as("k"))


@pytest.mark.parametrize("url", ["http://h/\r\nSet-Cookie: a=b", "http://h/\n", "http://h/\0", "\thttp://h/"])
def test_a_redirection_cannot_end_a_header(client, bucket, url):
    allowed = [ANY_KEY, ["starts-with", "$success_action_redirect", ""]]
    answer = upload(client, bucket, {"key": "k", "success_action_redirect": url}, allowed)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert client.request("GET", f"/{bucket}/k").status == 404


def test_metadata_tags_and_checksum_of_the_fields(client, bucket):
    tagging = "<Tagging><TagSet><Tag><Key>t</Key><Value>1 &amp; 2</Value></Tag></TagSet></Tagging>"
    fields = {
        "key": "k",
        "acl": "private",
        "Content-Type": "text/x",
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="x"',
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Expires": "Fri, 01 Jan 2100 00:00:00 GMT",
        "X-Amz-Meta-Name": "\u00e9\u20ac",
        "x-amz-storage-class": "STANDARD",
        "x-amz-checksum-algorithm": "SHA256",
        "x-amz-checksum-sha256": checksum("sha256", DATA),
        "Content-MD5": b64encode(hashlib.md5(DATA).digest()).decode(),
        "tagging": tagging,
        "x-ignore-this": "anything",
    }
    allowed = [["starts-with", f"${name}", ""] for name in fields if not name.startswith("x-ignore-")]
    answer = upload(client, bucket, fields, allowed)
    assert answer.status == 204
    assert answer.headers["x-amz-checksum-sha256"] == checksum("sha256", DATA)
    shown = client.request("GET", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert shown.body == DATA
    for name in ("Content-Type", "Cache-Control", "Content-Disposition", "Content-Language", "Expires"):
        assert shown.headers[name] == fields[name]
    assert shown.headers["content-encoding"] == "gzip"
    assert shown.headers["x-amz-meta-name"].encode("latin-1") == "\u00e9\u20ac".encode()
    assert shown.headers["x-amz-checksum-sha256"] == checksum("sha256", DATA)
    tags = client.request("GET", f"/{bucket}/k?tagging").xml()
    assert [(t.findtext("{*}Key"), t.findtext("{*}Value")) for t in tags.findall(".//{*}Tag")] == [
        ("t", "1 & 2")
    ]


@pytest.mark.parametrize(
    ("key", "filename", "stored"),
    [
        ("${filename}", "photo.jpg", "photo.jpg"),
        ("a/${filename}", "../../x", "a/x"),
        ("a/${filename}", "C:\\Users\\me\\x.txt", "a/x.txt"),
        ("a/${filename}", "/etc/passwd", "a/passwd"),
        ("a-${filename}-${filename}", 'q\\"q', 'a-q"q-q"q'),
        ("a/${filename}", "", "a/"),
        ("a/${filename}", "\u00e9\u20ac.txt", "a/\u00e9\u20ac.txt"),
        ("a/${filename}", None, "a/${filename}"),
        ("${Filename}", "x", "${Filename}"),
    ],
)
def test_the_name_of_the_file(client, bucket, key, filename, stored):
    fields = {"key": key, "success_action_status": "201"}
    allowed = [["eq", "$key", stored], {"success_action_status": "201"}]
    answer = upload(client, bucket, fields, allowed, filename=filename)
    assert answer.status == 201, answer.body
    assert answer.xml().findtext("Key") == stored


def test_conditions_and_names_of_fields_are_compared_without_regard_to_case(client, bucket):
    fields = {"kEy": "foo.txt", "aCl": "private", "Content-Type": "text/plain"}
    allowed = [
        ["StArTs-WiTh", "$KeY", "foo"],
        {"AcL": "private"},
        ["EQ", "$CoNtEnT-TyPe", "text/plain"],
        ["Content-Length-Range", 0, 1024],
    ]
    assert upload(client, bucket, fields, allowed).status == 204


def test_each_value_of_a_content_type_list_must_begin_so(client, bucket):
    allowed = [ANY_KEY, ["starts-with", "$Content-Type", "image/"]]
    for value, status in (
        ("image/jpeg,image/png", 204),
        ("image/jpeg, image/png", 204),
        ("image/x,text/x", 403),
    ):
        assert upload(client, bucket, {"key": "k", "Content-Type": value}, allowed).status == status


@pytest.mark.parametrize("least_and_most", [[4, 4], ["0", "4"], [0, 10**12]])
def test_the_bounds_of_the_size_are_inclusive(client, bucket, least_and_most):
    answer = upload(client, bucket, {"key": "k"}, [ANY_KEY, ["content-length-range", *least_and_most]])
    assert answer.status == 204


def test_several_ranges_and_several_conditions_hold_together(client, bucket):
    ranges = [["content-length-range", 0, 4], ["content-length-range", 4, 9]]
    assert upload(
        client, bucket, {"key": "ab"}, [["starts-with", "$key", "a"], ["eq", "$key", "ab"], *ranges]
    )
    answer = upload(client, bucket, {"key": "ab"}, [ANY_KEY, ["starts-with", "$key", "b"]])
    assert answer.status == 403


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\r\n",
        b"\r\n--",
        f"\n--{BOUNDARY}\n".encode(),
        f"--{BOUNDARY}--".encode(),
        f"\r--{BOUNDARY}".encode(),
        f"\r\n--{BOUNDARY[:-1]}\r\n".encode(),
        b"\r\n" * 300_000,
        bytes(range(256)) * 5000,
    ],
)
def test_the_file_is_stored_byte_for_byte(client, bucket, file):
    assert upload(client, bucket, {"key": "k"}, file=file).status == 204
    assert client.request("GET", f"/{bucket}/k").body == file


def test_every_split_of_the_stream_gives_the_same(app, client, bucket):
    """What one read gives and the next one is no matter of the form."""

    class Dribble:
        def __init__(self, data, size):
            self.data, self.size = data, size

        def read(self, size):
            part, self.data = self.data[: min(size, self.size)], self.data[min(size, self.size) :]
            return part

    file = b"\r\n--XX-\r\n--XX-boundary-X\r\n-" * 3
    body = form_body(signed_fields(client, bucket, {"key": "k"}), file)
    for size in [*range(1, 40), 997]:
        answer = post(client, f"/{bucket}", Dribble(body, size), Content_Length=str(len(body)))
        assert answer.status == 204
        assert client.request("GET", f"/{bucket}/k").body == file


def test_parts_after_the_file_mean_nothing(client, bucket):
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    after = (part % ("submit", "Upload") + part % ("key", "other") + part % ("file", "other")).encode()
    assert upload(client, bucket, {"key": "k"}, after=after).status == 204
    assert client.request("GET", f"/{bucket}/k").body == DATA
    assert client.request("GET", f"/{bucket}/other").status == 404


@pytest.mark.parametrize("boundary", ["--twodashes", "a", "'()+_,./:=?-", "x" * 70, "a b"])
def test_boundaries(client, bucket, boundary):
    body = form_body(signed_fields(client, bucket, {"key": "k"}), boundary=boundary)
    sent = f'Multipart/Form-Data; charset=utf-8; Boundary="{boundary}"'
    assert post(client, f"/{bucket}", body, Content_Type=sent).status == 204


def test_padding_preamble_and_unchunked_length(client, bucket):
    body = form_body(signed_fields(client, bucket, {"key": "k"}))
    padded = b"\r\n" + body.replace(f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY} \t\r\n".encode())
    assert post(client, f"/{bucket}", padded).status == 204
    assert post(client, f"/{bucket}/", padded + b"epilogue").status == 204
    chunked = {"Content-Type": TYPE, "Transfer-Encoding": "chunked"}
    assert client.request("POST", f"/{bucket}", chunked, body, sign=False).status == 204


def test_virtual_hosts(app, client, bucket):
    app.service.domains = ("s3.example",)
    other = Client(app, *MAIN, host="a-bucket.s3.example")
    fields = {"key": "a/b", "success_action_status": "201"}
    body = form_body(signed_fields(other, bucket, fields, [ANY_KEY, {"success_action_status": "201"}]))
    answer = post(other, "/", body)
    assert answer.xml().findtext("Location") == "http://a-bucket.s3.example/a%2Fb"


def test_a_bucket_field_may_be_sent(client, bucket):
    conditions = [ANY_KEY, ["starts-with", "$bucket", "a-"]]
    assert upload(client, bucket, {"key": "k", "bucket": bucket}, conditions).status == 204


def test_the_example_of_the_documentation():
    """The policy and signature that the API reference gives for its example keys."""
    text = (
        '{ "expiration": "2015-12-30T12:00:00.000Z",\r\n  "conditions": [\r\n'
        '    {"bucket": "sigv4examplebucket"},\r\n    ["starts-with", "$key", "user/user1/"],\r\n'
        '    {"acl": "public-read"},\r\n    {"success_action_redirect": '
        '"http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},\r\n'
        '    ["starts-with", "$Content-Type", "image/"],\r\n    {"x-amz-meta-uuid": "14365123651274"},\r\n'
        '    {"x-amz-server-side-encryption": "AES256"},\r\n    ["starts-with", "$x-amz-meta-tag", ""],\r\n'
        "\r\n"
        '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},\r\n'
        '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},\r\n    {"x-amz-date": "20151229T000000Z" }\r\n  ]\r\n}'
    )
    signature = sign(
        b64encode(text.encode()).decode(), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20151229"
    )
    assert signature == "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"


def test_botocore_presigns_what_is_accepted(client, bucket):
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}",
        region_name="us-east-1",
        aws_access_key_id=MAIN[0],
        aws_secret_access_key=MAIN[1],
        config=Config(signature_version="s3v4"),
    )
    made = s3.generate_presigned_post(
        bucket,
        "photos/${filename}",
        Fields={"acl": "private", "Content-Type": "image/png"},
        Conditions=[
            {"acl": "private"},
            ["starts-with", "$Content-Type", "image/"],
            ["content-length-range", 1, 9],
        ],
    )
    assert made["url"] == f"http://{HOST}/{bucket}"
    assert post(client, f"/{bucket}", form_body(made["fields"])).status == 204
    assert client.request("GET", f"/{bucket}/photos/photo.jpg").headers["content-type"] == "image/png"


def test_an_unsigned_form_of_another_account_stays_out(client, stranger, bucket):
    fields = signed_fields(stranger, bucket, {"key": "k"})
    answer = post(client, f"/{bucket}", form_body(fields))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert signature_fields(stranger, fields["policy"])["x-amz-signature"] == fields["x-amz-signature"]
    assert client.request("GET", f"/{bucket}/k").status == 404
