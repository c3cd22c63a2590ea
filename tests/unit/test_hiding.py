"""Secrets among the arguments, as others see them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from s3shim.config import load
from tests.server.process import ROOT

SHOW = """
import json, os, sys
from s3shim.cli.hiding import hide
hide(json.loads(sys.argv[1]))
shown = lambda: [os.fsdecode(part) for part in open("/proc/self/cmdline", "rb").read().split(b"\\0")]
child = os.fork()
if child == 0:
    print(json.dumps(shown()[3:]), flush=True)
    os._exit(0)
os.wait()
print(json.dumps(shown()[3:]))
print(json.dumps(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("secrets", "arguments", "shown"),
    [
        ([], ["--a", "Geheimnis"], ["--a", "Geheimnis"]),
        (["Geheim"], ["-a", "Geheim", "-b=Geheim", "Geheimer"], ["-a", "xxxxxx", "-b=xxxxxx", "Geheimer"]),
        (["a=b", "\u00e9"], ["-a=a=b", "a=b", "-\u00e9", "\u00e9"], ["-a=xxx", "xxx", "-\u00e9", "xx"]),
        (["p"], ["p", "--listen", ":1"], ["x", "--listen", ":1"]),
    ],
)  # fmt: skip
def test_what_is_shown(secrets: list[str], arguments: list[str], shown: list[str]) -> None:
    given = [json.dumps(secrets), *arguments]
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *given], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    in_child, in_parent, kept = map(json.loads, done.stdout.splitlines())
    # What follows the last argument is its NUL.
    assert in_child == in_parent == [given[0], *shown, ""]
    assert kept == given


def test_which_arguments_are_secret() -> None:
    flags = ["--backend", "nats", "--nats-servers", "nats://u:p@a", "--nats-timeout", "3"]
    assert load(flags, {}).secret_arguments == ("nats://u:p@a",)
    pair = ["-natsUser", "user", "-natsPassword=Geheimnis"]
    made = load(pair, {"S3SHIM_NATS_MONITOR": "http://a"})
    assert sorted(made.secret_arguments) == ["Geheimnis", "user"]
    assert "Geheimnis" not in repr(made)
    assert load([], {"S3SHIM_ACCESS_KEY": "abc", "S3SHIM_SECRET_KEY": "Geheimnis"}).secret_arguments == ()
