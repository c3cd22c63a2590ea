"""Complete: metadata work, linear in the number of parts, and one outcome whatever races it."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance import trees
from conformance.cases import Context
from conformance.load.base import SUITE, body_of, made, measured, outcome, part, settle, start_upload
from conformance.trees import MIB

ROUNDS = 500


@SUITE.case
def complete_of_a_thousand_parts_of_10_mib(context: Context) -> None:
    """The parts are copies of one object, so the whole takes 10 GiB of keys and 10 MiB of disk."""
    client, bucket = made(context)
    body = trees.write(context.work / "body", 10 * MIB).read_bytes()
    client.put_object(Bucket=bucket, Key="source", Body=body)
    upload = start_upload(client, bucket, "whole")

    def copy(number: int) -> dict[str, Any]:
        answer = client.upload_part_copy(
            **upload, PartNumber=number, CopySource={"Bucket": bucket, "Key": "source"}
        )
        return part(number, answer["CopyPartResult"]["ETag"])

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(copy, range(1, 1001)))
    with measured(context.server) as found:
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    context.say(f"Complete of 1,000 parts of 10 MiB: {found.seconds:.3f} s, {found.written:,} bytes written")
    head = client.head_object(Bucket=bucket, Key="whole")
    assert head["ContentLength"] == 1000 * 10 * MIB
    assert head["ETag"].endswith('-1000"')
    for number in (1, 500, 999):
        border = number * 10 * MIB
        answer = client.get_object(Bucket=bucket, Key="whole", Range=f"bytes={border - 5}-{border + 4}")
        assert answer["Body"].read() == body[-5:] + body[:5]
    client.delete_object(Bucket=bucket, Key="source")
    client.delete_object(Bucket=bucket, Key="whole")
    assert found.seconds < 1
    assert found.written < MIB
    settle(context, 0)


@SUITE.case
def complete_of_a_thousand_sent_parts(context: Context) -> None:
    """The parts are sent one by one, of a 160th of --size, so that each has a file of its own."""
    client, bucket = made(context)
    size = min(10 * MIB, max(100_000, context.options.size // 160))
    body = trees.write(context.work / "body", size).read_bytes()
    upload = start_upload(client, bucket, "whole")

    def send(number: int) -> dict[str, Any]:
        return part(number, client.upload_part(**upload, PartNumber=number, Body=body)["ETag"])

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(send, range(1, 1001)))
    with measured(context.server) as found:
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    context.say(
        f"Complete of 1,000 parts of {size:,} bytes: {found.seconds:.3f} s, {found.written:,} bytes written"
    )
    answer = client.get_object(Bucket=bucket, Key="whole")["Body"]
    assert all(answer.read(size) == body for _ in parts)
    client.delete_object(Bucket=bucket, Key="whole")
    assert found.seconds < 1
    assert found.written < MIB
    settle(context, 0)


@SUITE.case
def complete_is_linear(context: Context) -> None:
    client, bucket = made(context)
    seconds: dict[int, float] = {}
    for count, times in ((1000, 5), (10_000, 1)):
        taken = []
        for _ in range(times):
            upload = start_upload(client, bucket, "whole")
            bodies = [f"part {number} ".encode() for number in range(1, count + 1)]

            def send(numbered: tuple[int, bytes], upload: dict[str, str] = upload) -> dict[str, Any]:
                number, body = numbered
                return part(number, client.upload_part(**upload, PartNumber=number, Body=body)["ETag"])

            with ThreadPoolExecutor(8) as pool:
                parts = list(pool.map(send, enumerate(bodies, 1)))
            with measured(context.server) as found:
                client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
            taken.append(found.seconds)
            assert body_of(client, bucket, "whole") == b"".join(bodies)
        seconds[count] = statistics.median(taken)
        context.say(
            f"Complete of {count:,} small parts: {seconds[count]:.3f} s, {found.written:,} bytes written"
        )
    assert seconds[10_000] < 20 * seconds[1000]


@SUITE.case
def races_of_complete_and_abort(context: Context) -> None:
    client, bucket = made(context)
    bodies = [b"a" * 1000, trees.write(context.work / "body", 70_000).read_bytes()]
    choose = random.Random(1)
    ends: Counter[str] = Counter()
    with ThreadPoolExecutor(16) as pool:
        for number in range(ROUNDS):
            upload = start_upload(client, bucket, f"key-{number}")
            parts = [
                part(n, client.upload_part(**upload, PartNumber=n, Body=body)["ETag"])
                for n, body in enumerate(bodies, 1)
            ]
            aborts = [choose.random() < 0.3 for _ in range(choose.randint(2, 16))]
            results = list(pool.map(lambda abort, u=upload, p=parts: _end(client, u, p, abort), aborts))
            ends[_judge(client, upload, list(zip(aborts, results, strict=True)), b"".join(bodies))] += 1
    context.say(f"{ROUNDS} rounds: " + ", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    for number in range(ROUNDS):
        client.delete_object(Bucket=bucket, Key=f"key-{number}")
    assert len(ends) == 2, "the races had one winner only"
    settle(context, 0)


def _end(client: Any, upload: dict[str, str], parts: list[dict[str, Any]], abort: bool) -> str:
    if abort:
        return outcome(client.abort_multipart_upload, **upload)
    return outcome(client.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})


def _judge(client: Any, upload: dict[str, str], results: list[tuple[bool, str]], whole: bytes) -> str:
    """Return how the upload ended. A Complete that is repeated gets the answer of the first."""
    completes = {result for abort, result in results if not abort}
    aborts = Counter(result for abort, result in results if abort)
    assert outcome(client.list_parts, **upload) == "NoSuchUpload"
    place = {"Bucket": upload["Bucket"], "Key": upload["Key"]}
    if aborts["done"]:
        assert aborts["done"] == 1, results
        assert completes <= {"NoSuchUpload"}, results
        assert outcome(client.get_object, **place) == "NoSuchKey"
        return "aborted"
    assert completes == {"done"}, results
    assert set(aborts) <= {"NoSuchUpload", "done"}, results
    assert body_of(client, **{"bucket": place["Bucket"], "key": place["Key"]}) == whole
    return "completed"
