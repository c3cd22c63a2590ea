"""Objects of every size and name for the tests of NATS beside other clients."""

from __future__ import annotations

import hashlib
import json
import random
from base64 import urlsafe_b64encode
from urllib.parse import quote

KEYS = ("INTEROPACCESSKEY", "interop-secret-interop-secret")
CHUNK = 256 * 1024
ODD_NAMES = (
    "plain.txt",
    "blank in name",
    " leading and trailing ",
    "emoji-😀-日本-ü",
    "plus+and%20percent&amp;=",
    "new\nline and\ttab",
    "..",
    "a/../b/./c",
    "dots.in.a.name.",
    "//two//slashes//",
    "*",
    ">",
    "$O.bucket.M.name",
    "\x01\x7f",
    "quote\"and'back\\slash`",
    "x" * 1024,
    "ü" * 512,
)
SIZES = (
    0,
    1,
    1000,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    3 * CHUNK + 17,
    128 * 1024,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (5 << 20) + 12_345,
)


def bodies():
    """Return 50 bodies by key, of 0 bytes to 5 MiB."""
    source = random.Random(8)
    return {
        ODD_NAMES[number] if number < len(ODD_NAMES) else f"object/{number:03d}": source.randbytes(
            SIZES[number % len(SIZES)]
        )
        for number in range(50)
    }


def path(bucket, key):
    return f"/{bucket}/{quote(key, safe='/')}"


def etag(body):
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def digest(body):
    return f"SHA-256={urlsafe_b64encode(hashlib.sha256(body).digest()).decode()}"


def meta_subject(store, name):
    return f"$O.{store}.M.{urlsafe_b64encode(name.encode()).decode()}"


def ok(answer, status=200):
    assert answer.status == status, answer.body
    return answer


def raw_meta(theirs, bucket, key):
    """Return the metadata message of an object, as JSON."""

    async def work(_, js):
        return json.loads((await js.get_last_msg(f"OBJ_{bucket}", meta_subject(bucket, key))).data)

    return theirs(work)


def write_raw(theirs, bucket, key, message):
    """Write a metadata message as another client may."""

    async def work(_, js):
        data = json.dumps(message).encode()
        await js.publish(meta_subject(bucket, key), data, headers={"Nats-Rollup": "sub"})

    theirs(work)
