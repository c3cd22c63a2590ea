"""``python -m crash.careless``: s3shim without the count of a body's bytes, for tests that must notice it."""

from __future__ import annotations

import sys
from typing import Any

from s3shim.cli.main import main
from s3shim.server.body import BodyCutShort, LengthBody
from s3shim.wire.body import RequestBody


def _take_what_comes() -> None:
    begin = RequestBody.__init__

    def begin_without_length(self: RequestBody, *given: Any) -> None:
        begin(self, *given)
        self.chunked = self.chunked or bool(self.length)
        self.length = None

    RequestBody.__init__ = begin_without_length
    receive = LengthBody._next

    def end_where_it_ends(self: LengthBody, size: int) -> bytes:
        try:
            return receive(self, size)
        except BodyCutShort:
            return b""

    LengthBody._next = end_where_it_ends


if __name__ == "__main__":
    _take_what_comes()
    sys.exit(main())
