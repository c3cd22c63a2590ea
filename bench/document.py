"""docs/performance.md: the parts between marks are made by a run, and so are the plots beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.tree import ROOT

PAGE = ROOT / "docs" / "performance.md"


def replaced(text: str, mark: str, part: str) -> str:
    """Return ``text`` with ``part`` between the marks of that name. ValueError where they are not there."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no marks {begin.strip()} and {end}")
    return f"{before}{begin}{part}{end}{after}"


def write(mark: str, part: str, plots: Iterable[tuple[str, str]], page: Path = PAGE) -> None:
    """Put ``part`` into the page, and the plots, by name and source, beside it."""
    page.write_text(replaced(page.read_text(), mark, part))
    directory = page.parent / page.stem
    directory.mkdir(exist_ok=True)
    for name, source in plots:
        (directory / f"{name}.svg").write_text(source)
