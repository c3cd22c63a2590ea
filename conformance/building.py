"""The programs in conformance/clients, as built.

What is built lies in build/conformance and is built again when a source file has changed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from conformance.cases import Refused
from conformance.server import ROOT

SOURCES = ROOT / "conformance" / "clients"
_BUILT = ROOT / "build" / "conformance"


def built(name: str, command: list[str]) -> Path:
    """Copy the sources and run ``command`` there, unless they were built as they are; return where."""
    sources, target = SOURCES / name, _BUILT / name
    digest = hashlib.sha256()
    for path in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    stamp = target / "built"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return target
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sources, target)
    print(f"building conformance/clients/{name}", flush=True)
    done = subprocess.run(
        command, cwd=target, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Refused(f"{name} cannot be built: {(done.stderr + done.stdout).strip()[-500:]}")
    stamp.write_text(digest.hexdigest())
    return target
