"""Multipart uploads over the wire: exact statuses, headers and documents."""

import base64
import hashlib
import re
from urllib.parse import quote

import pytest

from s3shim import checksums

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
MIB = 1 << 20
PARTS = [bytes([65 + number]) * (5 * MIB) for number in range(2)] + [b"the end"]
WHOLE = b"".join(PARTS)
ETAG = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in PARTS)).hexdigest() + "-3"


def checksum(algorithm, data):
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return checksums.encode(hasher.digest())


def without_times(document):
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", document.decode())


def create(client, bucket, key="k", headers=()):
    answer = client.request("POST", f"/{bucket}/{key}?uploads", headers=headers)
    assert answer.status == 200, answer.body
    return answer.xml().findtext("{*}UploadId")


def put_part(client, bucket, upload_id, number, data, key="k", headers=()):
    return client.request(
        "PUT", f"/{bucket}/{key}?partNumber={number}&uploadId={upload_id}", headers=headers, body=data
    )


def completion(parts, extra=""):
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{extra}</Part>" for number, etag in parts
    )
    return f'<CompleteMultipartUpload xmlns="{NAMESPACE}">{listed}</CompleteMultipartUpload>'.encode()


def complete(client, bucket, upload_id, body, key="k", headers=()):
    return client.request("POST", f"/{bucket}/{key}?uploadId={upload_id}", headers=headers, body=body)


def upload(client, bucket, upload_id):
    """Upload PARTS as 1, 2, 3; return (number, ETag) of each."""
    etags = [put_part(client, bucket, upload_id, n, part).headers["etag"] for n, part in enumerate(PARTS, 1)]
    assert etags == [f'"{hashlib.md5(part).hexdigest()}"' for part in PARTS]
    return list(enumerate(etags, 1))


def test_an_upload_from_beginning_to_end(client, bucket):
    headers = {
        "Content-Type": "text/x",
        "Cache-Control": "no-store",
        "x-amz-meta-a": "1",
        "x-amz-tagging": "a%26b=c%2Bd&e=",
    }
    created = client.request("POST", f"/{bucket}/k%26%3C?uploads", headers=headers)
    upload_id = created.xml().findtext("{*}UploadId")
    assert created.body.decode() == (
        f'{DECLARATION}<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{bucket}</Bucket>'
        f"<Key>k&amp;&lt;</Key><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
    )
    key = "k%26%3C"
    parts = []
    for number, part in enumerate(PARTS, 1):
        answer = put_part(client, bucket, upload_id, number, part, key)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", part)
        parts.append((number, answer.headers["etag"]))
    assert client.request("GET", f"/{bucket}?list-type=2").xml().findtext("{*}KeyCount") == "0"
    done = complete(client, bucket, upload_id, completion(parts), key)
    assert done.body.decode() == (
        f'{DECLARATION}<CompleteMultipartUploadResult xmlns="{NAMESPACE}">'
        f"<Location>http://{client.host}/{bucket}/{key}</Location><Bucket>{bucket}</Bucket>"
        f"<Key>k&amp;&lt;</Key><ETag>&quot;{ETAG}&quot;</ETag>"
        f"<ChecksumCRC64NVME>{checksum('crc64nvme', WHOLE)}</ChecksumCRC64NVME>"
        "<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
    )
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/{bucket}/{key}", headers={"x-amz-checksum-mode": "ENABLED"})
        shown = {
            name: answer.headers[name] for name in ("etag", "content-type", "cache-control", "x-amz-meta-a")
        }
        assert shown == {
            "etag": f'"{ETAG}"',
            "content-type": "text/x",
            "cache-control": "no-store",
            "x-amz-meta-a": "1",
        }
        assert answer.headers["x-amz-tagging-count"] == "2"
        assert answer.headers["content-length"] == str(len(WHOLE))
        assert answer.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", WHOLE)
    assert client.request("GET", f"/{bucket}/{key}").body == WHOLE
    ranged = client.request(
        "GET", f"/{bucket}/{key}", headers={"Range": f"bytes={5 * MIB - 2}-{5 * MIB + 1}"}
    )
    assert (ranged.status, ranged.body) == (206, b"AABB")
    tagging = client.request("GET", f"/{bucket}/{key}?tagging").xml()
    assert [
        (t.findtext("{*}Key"), t.findtext("{*}Value") or "") for t in tagging.iter() if t.tag.endswith("}Tag")
    ] == [
        ("a&b", "c+d"),
        ("e", ""),
    ]
    listed = client.request("GET", f"/{bucket}").xml().findtext("{*}Contents/{*}ETag")
    assert listed == f'"{ETAG}"'


def test_a_repeated_completion_is_answered_the_same(client, bucket):
    upload_id = create(client, bucket)
    parts = upload(client, bucket, upload_id)
    first = complete(client, bucket, upload_id, completion(parts))
    second = complete(client, bucket, upload_id, completion(parts))
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert complete(client, bucket, upload_id, completion(parts[:2])).code == "NoSuchUpload"
    client.request("PUT", f"/{bucket}/k", body=b"newer")
    assert complete(client, bucket, upload_id, completion(parts)).status == 200
    assert client.request("GET", f"/{bucket}/k").body == b"newer"


OTHER_ETAG = '"00000000000000000000000000000000"'


def test_a_refused_completion_leaves_the_upload_as_it_was(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=b"old")
    upload_id = create(client, bucket)
    parts = upload(client, bucket, upload_id)
    put_part(client, bucket, upload_id, 7, b"small")
    small = [(7, f'"{hashlib.md5(b"small").hexdigest()}"')]
    many = completion([(number, parts[0][1]) for number in range(1, 10_002)])
    for body, headers, code in [
        (completion([]), {}, "MalformedXML"),
        (b"", {}, "MalformedXML"),
        (b"<CompleteMultipartUpload>", {}, "MalformedXML"),
        (b"<Other/>", {}, "MalformedXML"),
        (many, {}, "MalformedXML"),
        (completion([(1, parts[0][1]), (2, OTHER_ETAG)]), {}, "InvalidPart"),
        (completion([*parts, (4, OTHER_ETAG)]), {}, "InvalidPart"),
        (completion(parts[::-1]), {}, "InvalidPartOrder"),
        (completion([parts[0], parts[0]]), {}, "InvalidPartOrder"),
        (completion([(0, parts[0][1])]), {}, "InvalidArgument"),
        (completion([(10_001, parts[0][1])]), {}, "InvalidArgument"),
        (completion([parts[2], *small]), {}, "EntityTooSmall"),
        (completion(parts), {"If-None-Match": "*"}, "PreconditionFailed"),
        (completion(parts), {"If-Match": '"other"'}, "PreconditionFailed"),
        (completion(parts), {"x-amz-mp-object-size": "5"}, "InvalidRequest"),
        (completion(parts), {"x-amz-mp-object-size": "-1"}, "InvalidRequest"),
        (completion(parts), {"x-amz-checksum-crc64nvme": checksum("crc64nvme", b"x")}, "BadDigest"),
        (completion(parts), {"x-amz-checksum-type": "COMPOSITE"}, "InvalidRequest"),
        (completion(parts), {"Content-MD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        (completion(parts, "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>"), {}, "InvalidPart"),
    ]:
        answer = complete(client, bucket, upload_id, body, headers=headers)
        assert answer.code == code, (body[:200], headers)
        assert answer.status == (412 if code == "PreconditionFailed" else 400)
    assert client.request("GET", f"/{bucket}/k").body == b"old"
    good = {"x-amz-mp-object-size": str(len(WHOLE)), "x-amz-checksum-crc64nvme": checksum("crc64nvme", WHOLE)}
    unquoted = [(number, etag.strip('"')) for number, etag in parts]
    assert complete(client, bucket, upload_id, completion(unquoted), headers=good).status == 200
    assert client.request("GET", f"/{bucket}/k").body == WHOLE


@pytest.mark.parametrize(
    "number", ["1e3", "%201%20", "%2B1", "%D9%A1", "0", "10001", "18446744073709551616", ""]
)
def test_bad_part_number(client, bucket, number):
    upload_id = create(client, bucket)
    answer = put_part(client, bucket, upload_id, number, b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("number", ["1e3", " 1 ", "+1", "\u0661", "18446744073709551616", "", "1_0"])
def test_bad_part_number_in_a_completion(client, bucket, number):
    upload_id = create(client, bucket)
    etag = put_part(client, bucket, upload_id, 1, b"x").headers["etag"]
    answer = complete(client, bucket, upload_id, completion([(number, etag)]))
    assert answer.status == 400
    assert answer.code in ("MalformedXML", "InvalidArgument")
    assert client.request("GET", f"/{bucket}/k").status == 404


@pytest.mark.parametrize("number", [1, 10_000])
def test_first_and_last_part_number(client, bucket, number):
    upload_id = create(client, bucket)
    etag = put_part(client, bucket, upload_id, number, b"x").headers["etag"]
    assert complete(client, bucket, upload_id, completion([(number, etag)])).status == 200
    assert client.request("GET", f"/{bucket}/k").body == b"x"


@pytest.mark.parametrize("upload_id", ["x", "..%2fx", "%00", "x" * 3000, "0" * 48, "\u0661".encode().hex()])
def test_unknown_upload(client, bucket, upload_id):
    for answer in (
        put_part(client, bucket, upload_id, 1, b"x"),
        complete(client, bucket, upload_id, completion([(1, OTHER_ETAG)])),
        client.request("DELETE", f"/{bucket}/k?uploadId={upload_id}"),
        client.request("GET", f"/{bucket}/k?uploadId={upload_id}"),
    ):
        assert (answer.status, answer.code) == (404, "NoSuchUpload")


def test_an_upload_belongs_to_its_bucket_key_and_account(client, stranger, bucket):
    client.request("PUT", "/other-bucket")
    upload_id = create(client, bucket)
    assert put_part(client, "other-bucket", upload_id, 1, b"x").code == "NoSuchUpload"
    assert put_part(client, bucket, upload_id, 1, b"x", key="other").code == "NoSuchUpload"
    assert put_part(stranger, bucket, upload_id, 1, b"x").code == "AccessDenied"
    assert client.request("POST", "/missing-bucket/k?uploads").code == "NoSuchBucket"


def test_abort(client, bucket):
    upload_id = create(client, bucket)
    put_part(client, bucket, upload_id, 1, b"x")
    answer = client.request("DELETE", f"/{bucket}/k?uploadId={upload_id}")
    assert (answer.status, answer.body) == (204, b"")
    assert client.request("DELETE", f"/{bucket}/k?uploadId={upload_id}").code == "NoSuchUpload"
    assert client.request("DELETE", f"/{bucket}").status == 204


def test_list_parts_document(client, bucket):
    upload_id = create(client, bucket, headers={"x-amz-checksum-algorithm": "CRC32"})
    for number in (3, 1, 2):
        put_part(client, bucket, upload_id, number, b"x" * number)
    answer = client.request("GET", f"/{bucket}/k?uploadId={upload_id}&max-parts=2")
    people = "<ID>main</ID><DisplayName>Main</DisplayName>"
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><LastModified>TIME</LastModified>"
        f"<ETag>&quot;{hashlib.md5(b'x' * number).hexdigest()}&quot;</ETag><Size>{number}</Size>"
        f"<ChecksumCRC32>{checksum('crc32', b'x' * number)}</ChecksumCRC32></Part>"
        for number in (1, 2)
    )
    assert without_times(answer.body) == (
        f'{DECLARATION}<ListPartsResult xmlns="{NAMESPACE}"><Bucket>{bucket}</Bucket><Key>k</Key>'
        f"<UploadId>{upload_id}</UploadId><Initiator>{people}</Initiator><Owner>{people}</Owner>"
        "<StorageClass>STANDARD</StorageClass><PartNumberMarker>0</PartNumberMarker>"
        "<NextPartNumberMarker>2</NextPartNumberMarker><MaxParts>2</MaxParts><IsTruncated>true</IsTruncated>"
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>"
        f"{parts}</ListPartsResult>"
    )
    rest = client.request("GET", f"/{bucket}/k?uploadId={upload_id}&part-number-marker=2").xml()
    assert [p.text for p in rest.findall("{*}Part/{*}PartNumber")] == ["3"]
    assert rest.findtext("{*}IsTruncated") == "false"
    for query in ("max-parts=x", "max-parts=-1", "part-number-marker=x"):
        assert client.request("GET", f"/{bucket}/k?uploadId={upload_id}&{query}").code == "InvalidArgument"


def test_list_uploads_document(client, bucket):
    ids = {key: create(client, bucket, key) for key in ("a", "dir/x", "dir/y", "z")}
    answer = client.request("GET", f"/{bucket}?uploads&delimiter=/&max-uploads=2&prefix=")
    people = "<ID>main</ID><DisplayName>Main</DisplayName>"
    assert without_times(answer.body) == (
        f'{DECLARATION}<ListMultipartUploadsResult xmlns="{NAMESPACE}"><Bucket>{bucket}</Bucket>'
        "<KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker><NextKeyMarker>dir/</NextKeyMarker>"
        "<NextUploadIdMarker></NextUploadIdMarker><Prefix></Prefix><Delimiter>/</Delimiter>"
        "<MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>"
        f"<Upload><Key>a</Key><UploadId>{ids['a']}</UploadId><Initiator>{people}</Initiator>"
        f"<Owner>{people}</Owner><StorageClass>STANDARD</StorageClass><Initiated>TIME</Initiated></Upload>"
        "<CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes></ListMultipartUploadsResult>"
    )
    rest = client.request("GET", f"/{bucket}?uploads&delimiter=/&key-marker=dir/").xml()
    assert [key.text for key in rest.findall("{*}Upload/{*}Key")] == ["z"]
    second = create(client, bucket, "a")
    page = client.request("GET", f"/{bucket}?uploads&max-uploads=1").xml()
    assert page.findtext("{*}NextUploadIdMarker") == ids["a"]
    page = client.request(
        "GET", f"/{bucket}?uploads&max-uploads=1&key-marker=a&upload-id-marker={ids['a']}"
    ).xml()
    assert page.findtext("{*}Upload/{*}UploadId") == second


@pytest.mark.parametrize("algorithm", checksums.SIZES)
def test_checksums_of_an_upload(client, bucket, algorithm):
    upload_id = create(client, bucket, headers={"x-amz-checksum-algorithm": algorithm.upper()})
    name = f"x-amz-checksum-{algorithm}"
    wrong = put_part(client, bucket, upload_id, 1, PARTS[0], headers={name: checksum(algorithm, b"other")})
    assert wrong.code == "BadDigest"
    foreign = "sha1" if algorithm != "sha1" else "crc32"
    other = put_part(
        client,
        bucket,
        upload_id,
        1,
        PARTS[0],
        headers={f"x-amz-checksum-{foreign}": checksum(foreign, PARTS[0])},
    )
    assert other.code == "InvalidRequest"
    parts = []
    for number, part in enumerate(PARTS, 1):
        answer = put_part(client, bucket, upload_id, number, part, headers={name: checksum(algorithm, part)})
        assert answer.headers[name] == checksum(algorithm, part)
        parts.append((number, answer.headers["etag"]))
    done = complete(client, bucket, upload_id, completion(parts)).xml()
    if algorithm == "crc64nvme":
        expected, kind = checksum(algorithm, WHOLE), "FULL_OBJECT"
    else:
        raw = b"".join(base64.b64decode(checksum(algorithm, part)) for part in PARTS)
        expected, kind = checksum(algorithm, raw) + "-3", "COMPOSITE"
    assert done.findtext(f"{{*}}Checksum{algorithm.upper()}") == expected
    head = client.request("HEAD", f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"})
    assert (head.headers[name], head.headers["x-amz-checksum-type"]) == (expected, kind)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-algorithm": "FNORD"},
        {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"},
        {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FNORD"},
        {"x-amz-checksum-type": "COMPOSITE"},
    ],
)
def test_bad_checksum_wishes(client, bucket, headers):
    answer = client.request("POST", f"/{bucket}/k?uploads", headers=headers)
    assert answer.status == 400
    assert answer.code in ("InvalidRequest", "InvalidArgument")


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c"])
def test_full_object_crc(client, bucket, algorithm):
    wishes = {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    upload_id = create(client, bucket, headers=wishes)
    parts = upload(client, bucket, upload_id)
    stated = {f"x-amz-checksum-{algorithm}": checksum(algorithm, WHOLE), "x-amz-checksum-type": "FULL_OBJECT"}
    done = complete(client, bucket, upload_id, completion(parts), headers=stated).xml()
    assert done.findtext(f"{{*}}Checksum{algorithm.upper()}") == checksum(algorithm, WHOLE)


def test_a_part_cut_short_leaves_the_one_before(client, bucket):
    upload_id = create(client, bucket)
    etag = put_part(client, bucket, upload_id, 1, b"first").headers["etag"]
    cut = put_part(client, bucket, upload_id, 1, b"second", headers={"Content-Length": "100"})
    assert cut.code == "IncompleteBody"
    assert complete(client, bucket, upload_id, completion([(1, etag)])).status == 200
    assert client.request("GET", f"/{bucket}/k").body == b"first"


def test_a_checksum_in_a_presigned_completion_counts(client, bucket):
    """It is the object's, so it was known when the request was signed."""
    upload_id = create(client, bucket)
    etag = put_part(client, bucket, upload_id, 1, b"x").headers["etag"]
    target = f"/{bucket}/k?uploadId={upload_id}&x-amz-checksum-crc64nvme="
    body = completion([(1, etag)])
    for value, status in ((checksum("crc64nvme", b"y"), 400), (checksum("crc64nvme", b"x"), 200)):
        signed = client.presign("POST", target + quote(value, safe=""))
        assert client.request("POST", signed, body=body, sign=False).status == status
