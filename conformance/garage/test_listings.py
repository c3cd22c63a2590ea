"""10,000 keys of a bucket, listed by s3shim as by Garage; odd keys are kept as written or refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conformance.garage.node import Garage
from conformance.garage.scene import direct, listed, raw_client_of, raw_direct
from tests.server.process import Server, workers
from tests.wire.test_probes import ODD

BUCKET = "ten-thousand"
KEYS = 10_000
MIB = 1024**2
MOST_GROWTH = 8 * MIB
"""What listings of 10,000 keys may add to a worker's memory; their entries in XML alone have 3 MB."""

STRANGE = [
    *(chr(number) for number in (*range(1, 33), 127, 128, 0x85, 0xA0, 0x2028, 0xFFFE, 0xFFFF, 0x10FFFF)),
    *"\"'&<>%+*?#[]{}|\\^`;:@=,$!()",
    *ODD,
    "%2F",
    "%00",
    "%",
    " lead",
    "trail ",
    "a/ /b",
    "a//",
    "a///b",
    "./a",
    "../a",
    "a/.",
    "a/..",
    "a\\b",
    "\ud7ff",
    "é" * 512,
    "k" * 1024,
    "d/" * 512,
]


def path_of(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key)}"


def plain_keys(count: int) -> Iterator[str]:
    """Yield keys in folders of different sizes, out of order."""
    for number in range(count):
        turn = number * 7919 % count
        match turn % 4:
            case 0:
                yield f"photos/{turn % 13:02d}/{turn:05d}.jpg"
            case 1:
                yield f"logs/2026-{turn % 12:02d}/{turn % 31:02d}/{turn:05d}"
            case 2:
                yield f"flat-{turn:05d}"
            case _:
                yield f"each/{turn:05d}/only"


@pytest.fixture(scope="module")
def full(node: Garage, server: Server) -> list[tuple[str, int, str]]:
    """The bucket; half of its keys come through s3shim, half from beside. Key, size, ETag in byte order."""
    raw, alone = (
        raw_client_of(server),
        raw_direct(node),
    )
    assert raw.request("PUT", f"/{BUCKET}").status == 200
    held: dict[str, bytes] = {}
    for key in dict.fromkeys(STRANGE):
        answer = raw.request("PUT", path_of(BUCKET, key), body=key.encode())
        if answer.status == 200:
            held[key] = key.encode()
    plain = list(plain_keys(KEYS - len(held)))

    def put(turns: range) -> None:
        for turn in turns:
            client = raw if turn // 8 % 2 else alone
            assert client.request("PUT", path_of(BUCKET, plain[turn]), body=b"x" * (turn % 50)).status == 200
        raw.close()
        alone.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, [range(start, len(plain), 8) for start in range(8)]))
    raw.close()
    held.update((key, b"x" * (turn % 50)) for turn, key in enumerate(plain))
    assert len(held) == KEYS
    etags = {key: hashlib.md5(data, usedforsecurity=False).hexdigest() for key, data in held.items()}
    return [(key, len(held[key]), f'"{etags[key]}"') for key in sorted(held, key=str.encode)]


def expected(
    full: list[tuple[str, int, str]], prefix: str, delimiter: str, after: str
) -> tuple[list[tuple[str, int, str]], list[str]]:
    """Return entries and common prefixes by the words of the API reference."""
    entries, groups = [], []
    for entry in full:
        key = entry[0]
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            entries.append(entry)
        elif (group := key[: end + len(delimiter)]) != after:
            groups.append(group)
    return entries, list(dict.fromkeys(groups))


def by_pages(s3: Any, most: int, **query: str) -> tuple[list[tuple[str, int, str]], list[str]]:
    """Return entries and common prefixes of all pages; each but the last is full."""
    entries, groups, last = [], [], most
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": most}, **query
    )
    for page in pages:
        assert last == most
        last = page["KeyCount"]
        entries += [(one["Key"], one["Size"], one["ETag"]) for one in page.get("Contents", ())]
        groups += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    return entries, groups


@pytest.mark.parametrize("most", [1000, 333])
@pytest.mark.parametrize("delimiter", ["", "/", "-", "0/"])
@pytest.mark.parametrize("prefix", ["", "photos/", "each/", "logs/2026-0", "flat-00", "none"])
def test_pages(full: Any, through: Any, behind: Any, prefix: str, delimiter: str, most: int) -> None:
    wanted = expected(full, prefix, delimiter, "")
    query = {"Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {})}
    assert by_pages(through, most, **query) == wanted
    assert by_pages(behind, most, **query) == wanted


AFTER = ["a", "a/", "each/0", "each/05000/only", "each/\U0010ffff", "flat-05", "photos/03/", "z", "\x1f", "é"]


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "each/", "photos/"])
@pytest.mark.parametrize("after", AFTER)
def test_after(full: Any, through: Any, prefix: str, delimiter: str, after: str) -> None:
    query = {"Prefix": prefix, "StartAfter": after, **({"Delimiter": delimiter} if delimiter else {})}
    assert by_pages(through, 1000, **query) == expected(full, prefix, delimiter, after)


def test_version_1(full: Any, through: Any) -> None:
    entries, marker = [], ""
    while True:
        page = through.list_objects(Bucket=BUCKET, Marker=marker)
        entries += [(one["Key"], one["Size"], one["ETag"]) for one in page["Contents"]]
        if not page["IsTruncated"]:
            break
        marker = entries[-1][0]
    assert entries == full


def anonymous(pid: int) -> int:
    """Return RssAnon of a process in bytes."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_memory(full: Any, through: Any, server: Server, say: Any) -> None:
    (worker,) = workers(server)
    list(listed(through, BUCKET))
    before = most = anonymous(worker)
    for _ in range(5):
        for page in through.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            assert page["KeyCount"] <= 1000
            most = max(most, anonymous(worker))
    grown = f"the worker's RssAnon {before / MIB:.1f} MiB, at most {most / MIB:.1f} MiB"
    say(f"five listings of {KEYS:,} keys: {grown}")
    assert most - before < MOST_GROWTH


@pytest.mark.parametrize("key", list(dict.fromkeys(STRANGE)), ids=ascii)
def test_a_strange_key(node: Garage, server: Server, key: str) -> None:
    """Kept as written, or refused where Garage would make another one of it."""
    raw = raw_client_of(server)
    alone = raw_direct(node)
    behind = direct(node)
    raw.request("PUT", "/strange")
    answer = raw.request("PUT", path_of("strange", key), body=b"data")
    if answer.status != 200:
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert list(listed(behind, "strange")) == []
        assert raw.request("GET", path_of("strange", key)).code == "NoSuchKey"
        alone.request("PUT", path_of("strange", key), body=b"data")
        assert [entry["Key"] for entry in listed(behind, "strange")] != [key]
        for entry in listed(behind, "strange"):
            behind.delete_object(Bucket="strange", Key=entry["Key"])
    else:
        assert [entry["Key"] for entry in listed(behind, "strange")] == [key]
        assert raw.request("GET", path_of("strange", key)).body == b"data"
        assert alone.request("GET", path_of("strange", key)).body == b"data"
        assert raw.request("DELETE", path_of("strange", key)).status == 204
    assert list(listed(behind, "strange")) == []
    for client in (raw, alone, behind):
        client.close()
