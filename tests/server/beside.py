"""The master and the workers of ``s3shim serve``, with an application that tells what its storage was told.

Run as ``python -m tests.server.beside FLAGS``. GET /slow takes 2 seconds, anything else is answered at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from s3shim.cli.hooks import fail
from s3shim.cli.serve import Server
from s3shim.config import ConfigError, load
from s3shim.config.embedded import nats_settings


class Telling(Server):
    """The server with another application."""

    def load(self) -> Any:
        """Make the application, in a worker."""
        settings = nats_settings(self.config)
        assert settings is not None
        told = {
            "pid": os.getpid(),
            "servers": settings.servers,
            "user": settings.user,
            "password": settings.password,
            "monitor": settings.monitor,
        }

        def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/slow":
                time.sleep(2)
            body = json.dumps(told).encode()
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]

        return answer


if __name__ == "__main__":
    try:
        Telling(load(sys.argv[1:])).run()
    except ConfigError as error:
        fail(error)
