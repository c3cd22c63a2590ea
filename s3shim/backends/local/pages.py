"""The file of the index, page by page, without LMDB: what it would trust is looked at first."""

from __future__ import annotations

from pathlib import Path

import lmdb
from lmdb.verify import VerifyError, verify


def page_faults(path: Path) -> tuple[list[str], list[str]]:
    """Return what makes an index file dangerous to open, and what is lost space and no more.

    Nobody may write the file meanwhile. OSError where it cannot be read.
    """
    try:
        found: list[str] = verify(str(path))  # type: ignore[no-untyped-call]
    except OSError:
        raise
    except VerifyError as error:
        found = [str(error)]
    except Exception as error:  # a file that the walker is not made for
        found = [f"{type(error).__name__}: {error}"]
    lost = [fault for fault in found if "neither reachable nor in the freeDB" in fault]
    return [fault for fault in found if fault not in lost], lost


def is_cut(env: lmdb.Environment, path: Path) -> bool:
    """Whether an index file is shorter than its pages: by unused ones, or because its end is lost."""
    return path.stat().st_size < (env.info()["last_pgno"] + 1) * env.stat()["psize"]
