"""``python -m crash.nats_victim URL DIR SEED HOW``: work on the NATS storage until killed.

It says each operation before it begins and after it was done, in lines of "began|done KEY VERSION SIZE"; a
size of -1 is a delete. With "early" for HOW it says that a put is done before it is. Its threads have keys of
their own.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from crash.content import Piece
from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.settings import NatsSettings
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import S3Error
from s3shim.model import ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody
from tests.contract.uploads import put_parts

THREADS = 4
KEYS = 3
SIZES = (10, 40_000, 700_000, 2_500_000)
GRACE = 1
TIMEOUT = 2.0


def main() -> None:
    """Work."""
    url, path, seed, how = sys.argv[1:]
    backend = NatsBackend(NatsSettings(Path(path), servers=(url,), grace=GRACE, timeout=TIMEOUT))
    backend.start()
    threads = [
        threading.Thread(target=_work, args=(backend, number, random.Random(f"{seed} {number}"), how))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()


def _work(backend: NatsBackend, number: int, dice: random.Random, how: str) -> None:
    while True:
        key = f"{number}/{dice.randrange(KEYS)}"
        version = time.time_ns()
        size = dice.choice((*SIZES, -1))
        _say("began", key, version, size)
        if how == "early":
            _say("done", key, version, size)
        with suppress(S3Error):
            _change(backend, dice, key, Piece(key, version, max(size, 0)), size)
            _say("done", key, version, size)


def _change(backend: NatsBackend, dice: random.Random, key: str, piece: Piece, size: int) -> None:
    if size < 0:
        backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
    elif dice.random() < 0.25:
        half = size // 2
        put_parts(backend, key, [piece.data[:half], piece.data[half:]])
    else:
        body = BytesBody(piece.data, piece=131_072)
        backend.put_object(ObjectRef("bucket", key), body, ObjectMeta(), NO_CONDITIONS)
        if dice.random() < 0.2:
            backend.put_object_tags(ObjectRef("bucket", key), {"a": "b"})


def _say(what: str, key: str, version: int, size: int) -> None:
    os.write(1, f"{what} {key} {version} {size}\n".encode())


if __name__ == "__main__":
    main()
