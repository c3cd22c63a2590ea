"""``python -m crash.unfair NAME serve ...``: the server with one rule of races, stops or resources broken."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any

from s3shim.backends.local import completing, upload_rows, writing
from s3shim.backends.local.holder import Watchdog
from s3shim.backends.local.tables import Edit, View
from s3shim.cli.main import main
from s3shim.model import ObjectInfo, UploadRef
from s3shim.server.connection import Connection
from s3shim.server.worker import Worker


def check_conditions_early() -> None:
    """Conditions are looked at before the body is read, and not again in the commit."""
    check = writing.check_target

    def look(view: View, bucket_id: int, key: str, conditions: Any) -> Any:
        if isinstance(view, Edit):
            return view.current(bucket_id, key)
        return check(view, bucket_id, key, conditions)

    writing.check_target = look


def delete_full_buckets() -> None:
    """A bucket is deleted whatever is in it."""
    Edit.is_empty = lambda self, bucket_id: True


def answer_every_completion() -> None:
    """A completion of other parts than those that were completed is told that it was done."""

    def answered(edit: Edit, upload: UploadRef, fingerprint: str) -> ObjectInfo:
        sequence, _ = upload_rows.parse_id(upload)
        found = upload_rows.completed(edit, sequence)
        if found is None:
            raise upload_rows.no_such_upload(upload)
        return found.record.info(upload.key)

    completing._answered = answered


def stop_at_once() -> None:
    """A worker that is to stop does not wait for its requests."""
    Worker.handle_exit = Worker.handle_quit


def keep_memory() -> None:
    """Each connection leaves a mebibyte behind."""
    close = Connection.close
    kept: list[bytes] = []

    def keep(self: Connection) -> None:
        kept.append(b"x" * (1 << 20))
        close(self)

    Connection.close = keep


def keep_sockets() -> None:
    """No connection is closed."""
    kept: list[Connection] = []
    Connection.close = lambda self: kept.append(self)


def stop_in_commits(limit: float) -> None:
    """A worker that writes an object named stop-now stops itself in its commit; the watch waits ``limit``."""
    put_record, begin = Edit.put_record, Watchdog.__init__

    def put(self: Edit, bucket_id: int, key: str, record: Any) -> None:
        put_record(self, bucket_id, key, record)
        if key == "stop-now":
            os.kill(os.getpid(), signal.SIGSTOP)

    Edit.put_record = put
    Watchdog.__init__ = lambda self, marks, _: begin(self, marks, limit)


def stop_unwatched() -> None:
    """The same, and nobody watches."""
    stop_in_commits(1)
    Watchdog.look = lambda self, now: None


BREAKS = {
    "stops-for-1": partial(stop_in_commits, 1),
    "stops-for-10": partial(stop_in_commits, 10),
    "stops-unwatched": stop_unwatched,
    "keeps-memory": keep_memory,
    "keeps-sockets": keep_sockets,
    "abrupt-stop": stop_at_once,
    "unconditional": check_conditions_early,
    "bucket-forgotten": delete_full_buckets,
    "every-completion": answer_every_completion,
}

if __name__ == "__main__":
    BREAKS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
