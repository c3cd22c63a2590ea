"""What is measured: the version of each server."""

from __future__ import annotations

import re
import shutil
import subprocess

from bench import tree
from bench.servers import OURS, Recipe


def version(recipe: Recipe) -> str:
    """Return what a server says of its version; a Go program that says nothing, its commit."""
    if recipe.name == OURS:
        return tree.version()
    if recipe.version:
        done = subprocess.run(recipe.version, capture_output=True, text=True, check=False)
        found = re.search(r"\S*\d+\.\d+\S*", done.stdout + done.stderr)
        return found[0] if found else "?"
    program = shutil.which(recipe.programs[0])
    done = subprocess.run(["go", "version", "-m", str(program)], capture_output=True, text=True, check=False)
    found = re.search(r"vcs\.revision=([0-9a-f]{10})", done.stdout)
    return found[1] if found else "?"
