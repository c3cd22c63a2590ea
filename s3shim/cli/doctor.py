"""``s3shim doctor``: why a signature does not match."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from s3shim.auth import credentials
from s3shim.auth.credentials import CredentialsRefused
from s3shim.cli.upstream import report
from s3shim.config import key_pair
from s3shim.doctor import Unreadable, diagnose, read
from s3shim.doctor.suspects import addressed

DIAGNOSED = 0
UNKNOWN = 1
BAD_INPUT = 2

_MOST = 64 * 2**20  # bytes of one input
_EPILOG = """\
FILE, or standard input, is what you have of the refused request, in any mixture:
  the server's XML answer, SignatureDoesNotMatch
  its log line "signature mismatch", written at --log-level debug
  the request as raw HTTP text, captured before or behind the proxy
  a trace of curl -v with the answer, or the output of aws --debug
With the answer or the log line, and what the client signed or sent, both sides are compared. With the secret
key alone, doctor tries what a proxy may have changed until the signature is right: that is the cause.
The secret key is taken from --credentials, or from S3SHIM_ACCESS_KEY and S3SHIM_SECRET_KEY, or from
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Nothing is sent anywhere.
s3shim doctor --upstream, with the flags of s3shim serve --backend s3, says what that S3 can do instead.
Exit code: 0 the cause is found, 1 it is not, 2 the input cannot be read.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SystemExit(_refuse(message))


def doctor(arguments: Sequence[str]) -> int:
    """Diagnose what the arguments name; return the exit code."""
    if arguments[:1] == ["--upstream"]:
        return report(arguments[1:])
    parser = _Parser(
        prog="s3shim doctor",
        allow_abbrev=False,
        description="Say why a signature does not match, and what helps.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="the request; - is standard input"
    )
    parser.add_argument("--client", metavar="FILE", help="what the client signed: its canonical request")
    parser.add_argument("--credentials", metavar="FILE", type=Path, help="the server's credentials file")
    parser.add_argument("--endpoint", metavar="URL", help="the URL that the client was given")
    asked = parser.parse_args(arguments)
    try:
        evidence = read(_text(asked.file))
        if asked.client is not None:
            evidence = read(_text(asked.client), evidence)
        prefixes = []
        if asked.endpoint:
            host, prefix = addressed(asked.endpoint)
            evidence.hosts.insert(0, host)
            prefixes = [prefix] if prefix.strip("/") else []
        verdict = diagnose(evidence, _secrets(asked.credentials), prefixes)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}")
    except (Unreadable, CredentialsRefused) as refused:
        return _refuse(str(refused))
    except ValueError as error:
        return _refuse(f"--endpoint: must be {error}")
    for finding in verdict.findings:
        print(finding.sentence)
    if verdict.findings:
        return DIAGNOSED
    print(verdict.missing)
    return UNKNOWN


def _text(name: str) -> str:
    """Return the text of a file; each byte that is no UTF-8 becomes a character of its own."""
    if name == "-":
        raw = sys.stdin.buffer.read(_MOST + 1)
    else:
        with open(name, "rb") as file:
            raw = file.read(_MOST + 1)
    if len(raw) > _MOST:
        raise Unreadable(f"{name}: larger than {_MOST // 2**20} MiB; cut it down to the one request")
    return raw.decode("latin-1")


def _secrets(path: Path | None) -> dict[str, bytes]:
    if path is not None:
        return {key: credential.secret for key, credential in credentials.load(path).items()}
    pair = key_pair()
    return {pair[0]: pair[1].encode()} if pair else {}


def _refuse(message: str) -> int:
    print(f"s3shim: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return BAD_INPUT
