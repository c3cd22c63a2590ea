"""``python -m s3shim.cli.docs README.md`` writes the table of settings between its marks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from s3shim import config

_SETTINGS = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)


def with_settings(text: str) -> str:
    """Return ``text`` with the table of settings between the marks."""
    return _SETTINGS.sub(lambda marks: f"{marks[1]}{config.document()}{marks[2]}", text)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_settings(page.read_text()))
