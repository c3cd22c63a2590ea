"""The contract of a storage over another S3 of our own: ``python -m conformance.upstream NAME [arguments]``.

NAME is ``minio`` or ``versitygw``, a program that is found on PATH; the arguments go to pytest. What such a
server makes impossible is expected to fail, strictly: a test that passes all the same is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.contract.upstreams import ACCESS, OTHER, SECRET
from tests.server.process import free_port

_PATIENCE = 30.0

_SMALL_PARTS = "takes no part below 5 MiB but the last"
_NESTED = "keeps no keys below the key of an object, or does not list them"
_BROKEN_PART = "a part whose body breaks off takes the one before with it"

# A test, as a pattern of its name, and what makes it impossible.
_EVERYWHERE = {
    r"the_object_has_the_checksum_of_the_uploads_algorithm": _SMALL_PARTS,
    r"without_an_algorithm_the_object_has_the_crc64nvme": _SMALL_PARTS,
    r"a_refused_completion_leaves_the_upload": _SMALL_PARTS,
    r"the_same_completion_again_gives_the_same_answer": _SMALL_PARTS,
    r"a_copy_of_an_object_of_parts_is_one_too": _SMALL_PARTS,
    r"a_whole_object_as_a_part\[.*-[1-9]": _SMALL_PARTS,
    r"ranges_of_an_object_as_parts": _SMALL_PARTS,
    r"a_part_of_the_object_that_the_upload_replaces": _SMALL_PARTS,
    r"part_numbers_1_and_10000_with_a_gap": _SMALL_PARTS,
    r"the_object_has_the_bytes_the_record_and_the_etag": _SMALL_PARTS,
    r"parts_that_are_not_listed_are_gone": _SMALL_PARTS,
    r"ranges_across_the_borders_of_parts": _SMALL_PARTS,
    r"16_parallel_parts_of_one_upload": _SMALL_PARTS,
    r"racing_completions_and_aborts": _SMALL_PARTS,
    r"copies_of_a_key_that_is_overwritten": _SMALL_PARTS,
    r"put_object_tags_of_an_object_of_parts": _SMALL_PARTS,
    r"parts_of_an_object\[": _SMALL_PARTS,
    r"parts_go_with_a_copy_and_with_the_object": _SMALL_PARTS,
    r"test_conditions\[": _SMALL_PARTS,
    r"markers_need_not_be_keys": _NESTED,
    r"a_bucket_is_a_dict": _NESTED,
}
_IMPOSSIBLE = {
    "minio": _EVERYWHERE,
    "versitygw": {**_EVERYWHERE, r"a_part_whose_body_fails.*50000": _BROKEN_PART},
}
_NOT_RUN = "a_bucket_is_a_dict"
"""Would look for a shorter way to fail for minutes."""


class Found(NamedTuple):
    """Where a server is, and the key pair that it takes."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str


@contextmanager
def upstream(program: str, work: Path) -> Iterator[Found]:
    """Run minio or versitygw with its data and its log in ``work``."""
    data = work / "objects"
    data.mkdir()
    port = free_port()
    address = f"127.0.0.1:{port}"
    if Path(program).name == "minio":
        command = [program, "server", "--quiet", "--address", address, str(data)]
        settings = {"MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"}
    else:
        command = [program, "--port", address, "posix", str(data)]
        settings = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
    with open(work / "upstream.log", "wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
    try:
        _wait(f"http://{address}")
        yield Found(f"http://{address}", "us-east-1", ACCESS, SECRET)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait(endpoint: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            urlopen(endpoint, timeout=5).close()
        except HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"nothing answers at {endpoint}") from None
            time.sleep(0.1)
        else:
            return


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the server makes impossible; this module is a plugin of the run that it starts."""
    name = os.environ[OTHER].split()[0]
    for pattern, reason in _IMPOSSIBLE[name].items():
        found = [item for item in items if f"s3 over {name}" in item.name and re.search(pattern, item.name)]
        if not found:
            raise pytest.UsageError(f"no test is {pattern}")
        for item in found:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True, run=pattern != _NOT_RUN))


def main(name: str, arguments: list[str]) -> int:
    """Run the suite; return pytest's exit code."""
    # A terminated run stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    program = shutil.which(name)
    if name not in _IMPOSSIBLE or program is None:
        print(f"no {name} on PATH; it can be {' or '.join(_IMPOSSIBLE)}", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix=f"s3shim-{name}-") as work,
        upstream(program, Path(work)) as found,
    ):
        command = [sys.executable, "-m", "pytest", "-q", "-p", __spec__.name, "tests/contract"]
        environment = {**os.environ, OTHER: " ".join((name, *found))}
        return subprocess.call([*command, "-k", f"over and {name}", *arguments], env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
