"""The command s3shim doctor: where it reads from, what it prints, its exit code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from s3shim.cli.main import main
from tests.wire.signing import Draft, Signer, stamp

SIGNER = Signer("AKIDEXAMPLE", "a-secret-of-the-test")
NAMES = ["host", "x-amz-date"]
PAYLOAD = "UNSIGNED-PAYLOAD"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3SHIM_ACCESS_KEY", "S3SHIM_SECRET_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    """A request whose Host was rewritten, as it was captured behind the proxy."""
    when = stamp()
    lines = [("Host", "s3.example.com"), ("x-amz-date", when), ("x-amz-content-sha256", PAYLOAD)]
    draft = Draft("GET", "/store/b/k", lines)
    (tmp_path / "dump").write_bytes(SIGNER.canonical_request(draft, PAYLOAD, NAMES))
    draft.headers.append(("Authorization", SIGNER.authorize(draft, when, PAYLOAD, NAMES)))
    draft.set("Host", "up:9000")
    path = tmp_path / "request"
    head = "GET /b/k HTTP/1.1\n" + "".join(f"{name}: {value}\n" for name, value in draft.headers) + "\n"
    path.write_text(head)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    try:
        code = main(["doctor", *map(str, arguments)])
    except SystemExit as end:
        code = int(str(end.code))
    out, err = capsys.readouterr()
    return code, out, err


SENTENCES = (
    "The client signed Host 's3.example.com', the server got 'up:9000': a proxy wrote a host of its own; let "
    "the "
    "proxy pass Host on as it came (nginx: proxy_set_header Host $http_host;), or tell the server where "
    "clients "
    "reach it: --external-url https://s3.example.com.\n"
    "The client signed the path '/store/b/k', the server got '/b/k': a proxy took the prefix '/store' away; "
    "tell "
    "the server the URL that clients use with --external-url, its path included.\n"
)


@pytest.mark.parametrize(
    "prefix", ["S3SHIM_ACCESS_KEY S3SHIM_SECRET_KEY", "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"]
)
def test_the_secret_key_of_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, captured: Path, prefix: str
) -> None:
    for name, value in zip(prefix.split(), (SIGNER.access_key, SIGNER.secret_key), strict=True):
        monkeypatch.setenv(name, value)
    endpoint = ["--endpoint", "https://s3.example.com/store"]
    assert run(capsys, captured, *endpoint) == (0, SENTENCES, "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(captured.read_bytes())))
    assert run(capsys, *endpoint) == (0, SENTENCES, "")
    # Both at once are more than one guess without the URL.
    code, out, err = run(capsys, captured)
    assert (code, err, "--endpoint" in out) == (1, "", True)


def test_the_secret_key_of_the_credentials_file(capsys: pytest.CaptureFixture[str], captured: Path) -> None:
    path = captured.with_name("keys.json")
    path.touch(0o600)
    path.write_text('{"credentials": [{"accessKey": "AKIDEXAMPLE", "secretKey": "a-secret-of-the-test"}]}')
    arguments = [captured, "--credentials", path, "--endpoint", "s3.example.com/store"]
    assert run(capsys, *arguments) == (0, SENTENCES, "")
    path.write_text('{"credentials": [{"accessKey": "ANOTHER", "secretKey": "a-secret-of-the-test"}]}')
    code, out, _ = run(capsys, *arguments)
    assert (code, "AKIDEXAMPLE" in out) == (1, True)
    path.chmod(0o644)
    code, out, err = run(capsys, *arguments)
    assert (code, out, "chmod 600" in err) == (2, "", True)


def test_what_the_client_signed(capsys: pytest.CaptureFixture[str], captured: Path) -> None:
    assert run(capsys, captured, "--client", captured.with_name("dump")) == (0, SENTENCES, "")


def test_one_side_is_not_enough(capsys: pytest.CaptureFixture[str], captured: Path) -> None:
    code, out, err = run(capsys, captured)
    assert (code, err) == (1, "")
    assert out.startswith("Only one side of the request is known")
    code, out, err = run(capsys, captured.with_name("dump"))
    assert (code, err) == (1, "")
    assert out.startswith("Only one side of the request is known")


@pytest.mark.parametrize(
    "arguments", [["missing"], ["--nonsense"], ["a", "b"], ["request", "--client", "missing"], ["keys"]]
)
def test_bad_input_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, captured: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(captured.parent)
    Path("keys").write_text("{}")
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("s3shim: ")


def test_a_bad_endpoint_is_refused(capsys: pytest.CaptureFixture[str], captured: Path) -> None:
    assert run(capsys, captured, "--endpoint", "https://")[0] == 2
    assert run(capsys, captured, "--endpoint", "https://[x/")[0] == 2
