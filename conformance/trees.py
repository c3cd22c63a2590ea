"""Files to send, and the comparison of what came back."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

MIB = 2**20
NAMES = ("plain.txt", "blank in name", "ünïcode-日本", "plus+and%20percent&amp;", "deep/er/than/this", "0")
SIZES = (0, 1, 1000, 65535, 65536, 65537, 300_000)


def write(path: Path, size: int, seed: int = 1) -> Path:
    """Fill ``path`` with ``size`` bytes that depend on ``seed`` alone; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)
    with open(path, "wb") as file:
        for start in range(0, size, MIB):
            file.write(source.randbytes(min(MIB, size - start)))
    return path


def make(directory: Path, files: int, big: int = 0) -> Path:
    """Make a tree of ``files`` small files with awkward names, and one of ``big`` bytes; return it."""
    for number in range(files):
        name = NAMES[number % len(NAMES)]
        write(directory / f"d{number % 7}" / f"{name}-{number}", SIZES[number % len(SIZES)], number)
    if big:
        write(directory / "big.bin", big)
    return directory


def digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by relative name."""
    return {str(path.relative_to(directory)): digest(path) for path in directory.rglob("*") if path.is_file()}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same(one: Path, other: Path) -> None:
    """Demand that two files or two trees hold the same bytes under the same names."""
    if one.is_file():
        assert digest(one) == digest(other), f"{one.name} differs"
        return
    expected, found = digests(one), digests(other)
    names = expected.keys() | found.keys()
    different = sorted(name for name in names if expected.get(name) != found.get(name))
    assert not different, f"{len(different)} of {len(expected)} files differ or are missing: {different[:3]}"
