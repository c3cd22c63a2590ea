"""``python -m crash.stale_server serve ...``: a server whose workers keep what they have read for a while.

What no storage of ours may do, and the checker of histories must find.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from s3shim.backends.local import LocalBackend
from s3shim.cli.main import main
from s3shim.model import ObjectStream, ReadyChunks

_SECONDS = 0.2

_kept: dict[tuple[str, str], tuple[float, Any, bytes]] = {}
_get_object = LocalBackend.get_object


def _stale(self: LocalBackend, ref: Any, byte_range: Any, conditions: Any) -> ObjectStream:
    name = ref.bucket, ref.key
    if name not in _kept or _kept[name][0] < time.monotonic() - _SECONDS:
        stream = _get_object(self, ref, byte_range, conditions)
        data = b"".join(stream.chunks)
        stream.chunks.close()
        _kept[name] = time.monotonic(), stream.info, data
    _, info, data = _kept[name]
    return ObjectStream(info, 0, len(data), ReadyChunks(data))


if __name__ == "__main__":
    LocalBackend.get_object = _stale
    sys.exit(main())
