"""The kinds of transfer: what a client does in each, and what must be in the store then."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from awscrt import checksums

from conformance import trees
from conformance.matrix.place import Place
from conformance.trees import MIB

# Empty, in the index, in a file.
SIZES = (0, 1, 70_001)
PARTED = 11 * MIB + 1
RANGE = (65_530, 131_080)

Operation = Callable[[Any, Place], None]


def put(client: Any, place: Place) -> None:
    """Files in one request each."""
    for size in SIZES:
        file = trees.write(place.work / f"file-{size}", size)
        client.put(place, f"put/{size}", file)
        stored(place, f"put/{size}", file)


def stream(client: Any, place: Place) -> None:
    """A body of unknown length, larger than a part."""
    file = trees.write(place.work / "file", PARTED, seed=2)
    client.stream(place, "stream", file)
    stored(place, "stream", file)


def multipart(client: Any, place: Place) -> None:
    """A file in parts."""
    file = trees.write(place.work / "file", PARTED, seed=3)
    client.multipart(place, "multipart", file)
    assert stored(place, "multipart", file) > 1, "it did not come in parts"


def copy(client: Any, place: Place) -> None:
    """A copy under a key that has to be encoded in a header."""
    file = trees.write(place.work / "file", 70_001, seed=4)
    place.client().put_object(Bucket=place.bucket, Key="source ü", Body=file.read_bytes())
    client.copy(place, "source ü", "copy")
    stored(place, "copy", file)
    stored(place, "source ü", file)


def ranged_get(client: Any, place: Place) -> None:
    """A range that begins in one block and ends in another."""
    file = trees.write(place.work / "file", 300_000, seed=5)
    place.client().put_object(Bucket=place.bucket, Key="ranged", Body=file.read_bytes())
    part = place.work / "part"
    client.ranged_get(place, "ranged", *RANGE, part)
    assert part.read_bytes() == file.read_bytes()[RANGE[0] : RANGE[1] + 1], "the range differs"


def presigned_put(client: Any, place: Place) -> None:
    """A URL that the client makes, and a PUT to it."""
    file = trees.write(place.work / "file", 70_001, seed=6)
    client.presigned_put(place, "presigned", file)
    stored(place, "presigned", file)


def presigned_get(client: Any, place: Place) -> None:
    """A URL that the client makes, and a GET of it."""
    file = trees.write(place.work / "file", 300_000, seed=7)
    place.client().put_object(Bucket=place.bucket, Key="presigned", Body=file.read_bytes())
    client.presigned_get(place, "presigned", place.work / "back")
    trees.same(file, place.work / "back")


def presigned_put_with_a_checksum_of_nothing(client: Any, place: Place) -> None:
    """A URL that was made before there was a body, with the CRC-32 of no bytes in its query."""
    file = trees.write(place.work / "file", 70_001, seed=8)
    url = client.presigned_put(place, "early", file)
    assert "x-amz-checksum-crc32=AAAAAA%3D%3D" in url, url
    assert "x-amz-sdk-checksum-algorithm=CRC32" in url, url
    stored(place, "early", file)


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (put, stream, multipart, copy, ranged_get, presigned_put, presigned_get)
}
OF_ONE_CLIENT: dict[str, dict[str, Operation]] = {
    "js": {"presigned_put_with_a_checksum_of_nothing": presigned_put_with_a_checksum_of_nothing}
}
SENDING = {"put", "stream", "multipart", "presigned_put"}


def stored(place: Place, key: str, file: Path) -> int:
    """Demand that the object is the file, its ETag and its checksum those of the file; return its parts.

    The number of parts is 0 for an object that came whole.
    """
    body = file.read_bytes()
    reader = place.client()
    found = reader.get_object(Bucket=place.bucket, Key=key, ChecksumMode="ENABLED")
    assert found["Body"].read() == body, f"{key} is not what was sent"
    parts = _parts(reader, place.bucket, key, found["ETag"])
    assert found["ETag"] == f'"{_etag(body, parts)}"', f"{key} has the ETag {found['ETag']}"
    stated = {name: found[f"Checksum{name}"] for name in ALGORITHMS if f"Checksum{name}" in found}
    for name, value in stated.items():
        composite = found["ChecksumType"] == "COMPOSITE"
        right = _composite(ALGORITHMS[name], body, parts) if composite else _whole(ALGORITHMS[name], body)
        assert value == right, f"{key} has the {name} {value}, not {right}"
    return len(parts)


def _parts(reader: Any, bucket: str, key: str, etag: str) -> list[int]:
    """Return the lengths of the parts, none for an object that came whole."""
    if "-" not in etag:
        return []
    count = int(etag.strip('"').rpartition("-")[2])
    heads = (reader.head_object(Bucket=bucket, Key=key, PartNumber=number + 1) for number in range(count))
    return [head["ContentLength"] for head in heads]


def _pieces(body: bytes, parts: Iterable[int]) -> list[bytes]:
    pieces, start = [], 0
    for length in parts:
        pieces.append(body[start : start + length])
        start += length
    assert start == len(body)
    return pieces


def _etag(body: bytes, parts: list[int]) -> str:
    if not parts:
        return hashlib.md5(body).hexdigest()
    digests = b"".join(hashlib.md5(piece).digest() for piece in _pieces(body, parts))
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def _whole(digest: Callable[[bytes], bytes], body: bytes) -> str:
    return b64encode(digest(body)).decode()


def _composite(digest: Callable[[bytes], bytes], body: bytes, parts: list[int]) -> str:
    digests = b"".join(digest(piece) for piece in _pieces(body, parts))
    return f"{b64encode(digest(digests)).decode()}-{len(parts)}"
