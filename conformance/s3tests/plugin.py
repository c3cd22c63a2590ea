"""The pytest plugin that s3-tests runs with: ``pytest -p conformance.s3tests.plugin``.

s3-tests empties "its" buckets before and after each test through ListObjectVersions, and all tests
share one bucket prefix: one bucket that cannot be emptied breaks the setup of every later test. Here
each test has a prefix of its own, leftover buckets are swept by plain calls, and failed clean-up is
reported apart from the verdict. One JSON line per event goes to the file that CONFORMANCE_LOG names;
CONFORMANCE_IDS names a file with the tests to run, one per line.
"""

from __future__ import annotations

import json
import os
import random
import string
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

_reports: list[Any] = []
_prefix: list[str] = []


def short(node_id: str) -> str:
    """Return ``test_s3.py::test_x`` for the id of that test wherever the suite lies."""
    return node_id.strip().rsplit("functional/", 1)[-1]


def _log(record: dict[str, Any]) -> None:
    with open(os.environ["CONFORMANCE_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Tell what there is, with its markers, and keep what shall run."""
    marks = {short(item.nodeid): sorted({mark.name for mark in item.iter_markers()}) for item in items}
    _log({"collected": marks})
    if "CONFORMANCE_IDS" in os.environ:
        wanted = set(Path(os.environ["CONFORMANCE_IDS"]).read_text().split())
        config.hook.pytest_deselected(items=[item for item in items if short(item.nodeid) not in wanted])
        items[:] = [item for item in items if short(item.nodeid) in wanted]


@pytest.fixture(autouse=True)
def _own_prefix(configfile: Any) -> None:
    import s3tests.functional as suite

    salt = "".join(random.choices(string.ascii_lowercase + string.digits, k=12))
    suite.prefix = f"t-{salt}-"
    _prefix[:] = [suite.prefix]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Generator[None]:
    """Report one test, and clean up after it where its own clean-up failed."""
    _log({"started": short(item.nodeid)})
    _reports.clear()
    _prefix.clear()
    yield
    record = {"ended": short(item.nodeid), "outcome": "error", "reason": ""}
    for report in _reports:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            record["outcome"] = report.outcome if report.when == "call" or report.skipped else "error"
            record["reason"] = "" if report.passed else _reason(report)
        elif report.when == "teardown" and report.failed:
            record["teardown"] = _reason(report)
    if _prefix and ("teardown" in record or record["outcome"] == "error"):
        _sweep(_prefix[0])
    _log(record)


def pytest_runtest_logreport(report: Any) -> None:
    """Keep what pytest says of each phase of the running test."""
    _reports.append(report)


def _reason(report: Any) -> str:
    """Return the line of the assertion that failed, and where."""
    lines = str(report.longreprtext).splitlines()
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    said = [line for line in said if line] or [line.strip() for line in lines if line.strip()][-1:]
    at = [line for line in lines if line.startswith("s3tests/functional/test_")]
    where = at[0].split(":")[1] if at else ""
    return f"line {where}: {said[0] if said else ''}"[:400]


def _sweep(prefix: str) -> None:
    import s3tests.functional as suite

    found = suite.config
    for access_key, secret_key in {
        (found.main_access_key, found.main_secret_key),
        (found.alt_access_key, found.alt_secret_key),
    }:
        client = boto3.client(
            "s3",
            endpoint_url=found.default_endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(read_timeout=15, retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        )
        for bucket in client.list_buckets()["Buckets"]:
            if bucket["Name"].startswith(prefix):
                _remove(client, bucket["Name"])


def _remove(client: Any, bucket: str) -> None:
    for upload in _quietly(client.list_multipart_uploads, Bucket=bucket).get("Uploads", []):
        _quietly(client.abort_multipart_upload, Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    while contents := _quietly(client.list_objects_v2, Bucket=bucket).get("Contents", []):
        if not all(_quietly(client.delete_object, Bucket=bucket, Key=entry["Key"]) for entry in contents):
            break
    _quietly(client.delete_bucket, Bucket=bucket)


def _quietly(call: Callable[..., dict[str, Any]], **parameters: str) -> dict[str, Any]:
    try:
        return call(**parameters)
    except (BotoCoreError, ClientError):
        return {}
