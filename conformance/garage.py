"""The contract of a storage over a Garage of our own: ``python -m conformance.garage [arguments of pytest]``.

Garage is found on PATH. Its metadata lie in SQLite, whose keys may have the 1,024 bytes of S3; in LMDB, its
other engine, keys end at 479.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from tests.contract.upstreams import GARAGE
from tests.server.process import free_port

HOW = """No garage on PATH. It is to be had by
    cargo install garage --version 2.3.0 --locked
or as a binary from https://garagehq.deuxfleurs.fr/download/"""

_CONFIGURATION = """
metadata_dir = "{work}/meta"
data_dir = "{work}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
metadata_fsync = true
data_fsync = true

[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:{s3}"

[admin]
api_bind_addr = "127.0.0.1:{admin}"
admin_token = "{token}"
"""


@contextmanager
def garage(program: str, work: Path):
    """Run a node of Garage; give its endpoint, access key and secret key."""
    ports = {name: free_port() for name in ("rpc", "s3", "admin")}
    token = secrets.token_hex(16)
    configuration = work / "garage.toml"
    configuration.write_text(
        _CONFIGURATION.format(work=work, secret=secrets.token_hex(32), token=token, **ports)
    )
    with open(work / "log", "wb") as log:
        process = subprocess.Popen([program, "-c", configuration, "server"], stdout=log, stderr=log)
    try:
        admin = f"http://127.0.0.1:{ports['admin']}/v2"
        node = _ask(admin, token, "GetClusterStatus")["nodes"][0]["id"]
        roles = {"roles": [{"id": node, "zone": "here", "capacity": 10**10, "tags": []}]}
        _ask(admin, token, "UpdateClusterLayout", roles)
        _ask(admin, token, "ApplyClusterLayout", {"version": 1})
        key = _ask(admin, token, "CreateKey", {"name": "s3shim", "allow": {"createBucket": True}})
        yield f"http://127.0.0.1:{ports['s3']}", key["accessKeyId"], key["secretAccessKey"]
    finally:
        process.terminate()
        process.wait(30)


def _ask(admin: str, token: str, operation: str, body: object = None):
    """Ask Garage's admin API, which may not be up yet."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for attempt in range(100):
        try:
            with urlopen(Request(f"{admin}/{operation}", data, headers), timeout=10) as answer:
                return json.load(answer)
        except ConnectionError:
            pass
        except OSError as error:
            if attempt == 99 or hasattr(error, "code"):
                raise
        time.sleep(0.1)
    raise SystemExit("garage does not answer")


def main(arguments: list[str]) -> int:
    """Run the suite; return pytest's exit code."""
    program = shutil.which("garage")
    if program is None:
        print(HOW, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="s3shim-garage-") as work, garage(program, Path(work)) as found:
        command = [sys.executable, "-m", "pytest", "-q", "tests/contract", "-k", "garage", *arguments]
        return subprocess.call(command, env={**os.environ, GARAGE: " ".join(found)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
