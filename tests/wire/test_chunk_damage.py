"""Damage to each field of a body in chunks: refused, or stored as it was meant; the old object stays whole.

The storage is the local one, with bodies in files, so that what is left behind would be seen.
"""

import io
import random
import re
import shutil

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.answer import check_refused
from tests.wire.chunks import PAYLOADS, SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Framed, crc32, cut, framed
from tests.wire.conftest import MAIN
from tests.wire.refusal import VICTIM, contents

PLACES = 100
BODY = random.Random(3).randbytes(20_000)
OLD = b"precious" * 200
FIELDS = [
    ("data", PAYLOADS),
    ("size", PAYLOADS),
    ("signature", (SIGNED, SIGNED_TRAILER)),
    ("trailer value", (SIGNED_TRAILER, UNSIGNED_TRAILER)),
    ("trailer signature", (SIGNED_TRAILER,)),
    ("end", PAYLOADS),
]
CASES = [(field, payload) for field, payloads in FIELDS for payload in payloads]


class Store:
    """A service on files with one object; ``files`` are those of its bodies."""

    def __init__(self, path, credentials_file, reach):
        self.path = path
        self.backend = LocalBackend(path / "store", inline_max=1000)
        config = load(["--data", str(path), "--credentials", str(credentials_file)], {})
        self.client = reach(create_app(config, self.backend), *MAIN)
        assert self.client.request("PUT", "/a-bucket").status == 200
        self.reset()

    def reset(self):
        """Put the old object."""
        assert self.client.request("PUT", VICTIM, body=OLD).status == 200
        self.contents = contents(self.backend)
        self.files = self.present()

    def present(self):
        """Return the files of bodies."""
        return {path for path in (self.path / "store" / "blobs").rglob("*") if path.is_file()}

    def draft(self, payload, **options):
        """Return a right request that overwrites the object."""
        trailers = [] if payload == SIGNED else [("x-amz-checksum-crc32", crc32(BODY))]
        return framed(self.client, VICTIM, Framed(payload, cut(BODY, 8192), trailers), **options)

    def sent(self, draft):
        """Send; demand that it is refused and the old object whole, or stored as meant; return the status."""
        answer = self.client.send(draft)
        if answer.status == 200:
            assert self.client.request("GET", VICTIM).body == BODY
            assert len(self.present() - self.files) == 1
            self.reset()
        else:
            assert 400 <= answer.status < 500, answer
            assert contents(self.backend) == self.contents
        return answer.status

    def refused(self, draft, status, code):
        """Send; demand this error, and that nothing has changed."""
        check_refused(self.client.send(draft), status, code)
        assert contents(self.backend) == self.contents
        assert self.present() == self.files


@pytest.fixture(scope="module")
def damaged(credentials_file, tmp_path_factory, reach):
    """A store of which nothing is kept."""
    path = tmp_path_factory.mktemp("damage")
    store = Store(path, credentials_file, reach)
    yield store
    store.backend.close()
    shutil.rmtree(path)


@pytest.fixture
def store(damaged):
    """The store; after the test no file may have been left behind."""
    damaged.reset()
    yield damaged
    assert damaged.present() == damaged.files


def spans(body, field):
    """Return where ``field`` stands in a right body, as (start, end)."""
    found, place = [], 0
    while True:
        head = re.compile(rb"([0-9a-f]+)(?:;chunk-signature=([0-9a-f]{64}))?\r\n").match(body, place)
        size = int(head[1], 16)
        if field == "size":
            found.append(head.span(1))
        elif field == "signature":
            found.append(head.span(2))
        elif field == "data" and size:
            found.append((head.end(), head.end() + size))
        if not size:
            break
        place = head.end() + size + 2
    if field == "trailer value":
        found.append(re.compile(rb"x-amz-checksum-crc32:(\S+)").search(body, place).span(1))
    elif field == "trailer signature":
        found.append(re.compile(rb"x-amz-trailer-signature:(\S+)").search(body, place).span(1))
    elif field == "end":
        found.append((place, len(body)))
    return found


def random_place(source, body, field):
    return source.randrange(*source.choice(spans(body, field)))


@pytest.mark.parametrize(("field", "payload"), CASES)
def test_flipped(store, field, payload):
    source = random.Random(f"{field} {payload}")
    refused = 0
    for _ in range(PLACES):
        draft = store.draft(payload)
        body = bytearray(draft.body)
        body[random_place(source, draft.body, field)] ^= 1 << source.randrange(8)
        draft.body = bytes(body)
        refused += store.sent(draft) != 200
    # A hexadecimal digit in upper case and the unused bits at the end of base64 say the same as before.
    assert refused > PLACES * 0.8


@pytest.mark.parametrize("stated", ["length of the rest", "length of the whole"])
@pytest.mark.parametrize(("field", "payload"), CASES)
def test_cut(store, field, payload, stated):
    source = random.Random(f"{field} {payload} {stated}")
    for _ in range(PLACES):
        draft = store.draft(payload)
        draft.body = draft.body[: random_place(source, draft.body, field)]
        if stated == "length of the rest":
            draft.set("Content-Length", str(len(draft.body)))
        assert store.sent(draft) != 200


@pytest.mark.parametrize("payload", PAYLOADS)
def test_bytes_after_the_end(store, payload):
    source = random.Random(payload)
    for _ in range(PLACES):
        draft = store.draft(payload)
        more = source.choice([b"\r\n", b"0\r\n\r\n", b"x" + source.randbytes(source.randrange(300))])
        draft.body += more
        draft.set("Content-Length", str(len(draft.body)))
        # The SDKs differ in empty lines around trailers.
        if payload == SIGNED or more != b"\r\n":
            assert store.sent(draft) != 200
        else:
            store.sent(draft)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_decoded_length(store, payload):
    source = random.Random(payload)
    right = str(len(BODY))
    for _ in range(PLACES):
        place = source.randrange(len(right))
        wrong = right[:place] + chr(ord(right[place]) ^ 1 << source.randrange(7)) + right[place + 1 :]
        signed = source.random() < 0.5
        draft = store.draft(payload, decoded=wrong if signed else None)
        if not signed:
            draft.set("x-amz-decoded-content-length", wrong)
        if wrong.strip() != right:
            assert store.sent(draft) != 200


@pytest.mark.parametrize("payload", [SIGNED, SIGNED_TRAILER])
@pytest.mark.parametrize("number", range(4), ids=["first", "second", "last", "empty"])
def test_one_signature_is_another_chunks(store, payload, number):
    draft = store.draft(payload)
    places = spans(draft.body, "signature")
    (start, end), (other, _) = places[number], places[number - 1]
    draft.body = draft.body[:start] + draft.body[other : other + end - start] + draft.body[end:]
    store.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda line: b"", 400, "MalformedTrailerError"),
        (lambda line: line * 2, 400, "MalformedTrailerError"),
        (lambda line: line.replace(b":", b":0", 1)[:-3] + b"\r\n", 403, "SignatureDoesNotMatch"),
        (lambda line: b"x-amz-trailer-signature:\r\n", 403, "SignatureDoesNotMatch"),
    ],
    ids=["missing", "twice", "wrong", "empty"],
)
def test_signature_of_the_trailer(store, change, status, code):
    draft = store.draft(SIGNED_TRAILER)
    line = re.search(rb"x-amz-trailer-signature:.*\r\n", draft.body)[0]
    draft.body = draft.body.replace(line, change(line))
    draft.set("Content-Length", str(len(draft.body)))
    store.refused(draft, status, code)


class Endless(io.RawIOBase):
    """A body that begins with ``head`` and goes on with ``more`` for ever; ``given`` counts its bytes."""

    def __init__(self, head, more):
        self.ahead = head
        self.more = more
        self.given = 0

    def read(self, size=-1):
        while len(self.ahead) < size:
            self.ahead += self.more
        data, self.ahead = self.ahead[:size], self.ahead[size:]
        self.given += len(data)
        assert self.given < 2**20, "it is read on and on"
        return data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_million_chunks_of_a_byte(store, payload):
    signature = b"" if payload == UNSIGNED_TRAILER else b";chunk-signature=" + b"0" * 64
    draft = store.draft(payload, decoded="1000000", length=200_000_000)
    draft.body = Endless(b"", b"1" + signature + b"\r\nx\r\n")
    code = (403, "InvalidChunkSizeError") if payload == UNSIGNED_TRAILER else (403, "SignatureDoesNotMatch")
    store.refused(draft, *code)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("decoded", [2**31, 20_000, 19_999])
def test_a_chunk_of_two_gigabytes(store, payload, decoded):
    """One that the whole has no room for is refused at once, one that ends early when it ends."""
    draft = store.draft(payload, decoded=str(decoded), length=2**31 + 500)
    draft.body = draft.body.replace(b"2000", b"80000000", 1)
    store.refused(draft, 400, "IncompleteBody")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_more_is_promised_than_can_come(store, payload):
    draft = store.draft(payload)
    draft = store.draft(payload, decoded=str(len(draft.body) + 1))
    store.refused(draft, 400, "IncompleteBody")


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", VICTIM),
        ("PUT", f"{VICTIM}?partNumber=1&uploadId=1"),
        ("PUT", f"{VICTIM}?tagging"),
        ("PUT", "/b-bucket"),
        ("PUT", "/a-bucket?cors"),
        ("POST", f"{VICTIM}?uploads"),
        ("POST", f"{VICTIM}?uploadId=1"),
        ("POST", "/a-bucket?delete"),
        ("DELETE", VICTIM),
    ],
)
def test_a_forged_request_on_every_writing_route(store, payload, method, target):
    trailers = [] if payload == SIGNED else [("x-amz-checksum-crc32", crc32(BODY))]
    draft = framed(store.client, target, Framed(payload, cut(BODY, 8192), trailers), method=method)
    signature = draft.header("Authorization").rpartition("=")[2]
    draft.set("Authorization", draft.header("Authorization").replace(signature, signature[::-1]))
    store.refused(draft, 403, "SignatureDoesNotMatch")
