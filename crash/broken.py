"""``python -m crash.broken NAME serve ...``: the server with one thing wrong, which a suite must find out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import lmdb

from s3shim.backends.local import objects, writing
from s3shim.backends.local.commit import Committer
from s3shim.backends.local.tables import Edit
from s3shim.cli.main import main

DELAY = 0.05


def acknowledge_early() -> None:
    """The answer goes out when the change is made, the commit comes 50 ms later."""

    def run(self: Any, change: Callable[[Edit], Any], *, frees: bool = False) -> Any:
        answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

        def work() -> None:
            try:
                with self._index.write() as txn:
                    answers.put((change(Edit(txn, self._index.tables)), None))
                    time.sleep(DELAY)
            except Exception as error:
                answers.put((None, error))

        Thread(target=work).start()
        result, error = answers.get()
        if error is not None:
            raise error
        return result

    Committer.run = run


def write_in_two_commits() -> None:
    """The tags of an object come in a commit of their own, a little later."""
    put_object = objects.writing.put_object

    def put(store: Any, ref: Any, body: Any, meta: Any, conditions: Any) -> Any:
        tags, meta.tags = meta.tags, {}
        info = put_object(store, ref, body, meta, conditions)
        if tags:
            time.sleep(DELAY)
            writing.put_object_tags(store, ref, tags)
        return info

    objects.writing.put_object = put


def leave_data_unsynced() -> None:
    """No fdatasync of a file's data."""
    os.fdatasync = lambda fd: None


def leave_index_unsynced() -> None:
    """No sync of the index."""
    opened = lmdb.open

    def unsynced(path: str, **settings: Any) -> lmdb.Environment:
        return opened(path, **{**settings, "sync": False, "metasync": False})

    lmdb.open = unsynced


def leave_all_unsynced() -> None:
    """No sync of either."""
    leave_data_unsynced()
    leave_index_unsynced()


BREAKS = {
    "early-acknowledgement": acknowledge_early,
    "two-commits": write_in_two_commits,
    "no-data-sync": leave_data_unsynced,
    "no-index-sync": leave_index_unsynced,
    "no-sync": leave_all_unsynced,
}

if __name__ == "__main__":
    BREAKS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
