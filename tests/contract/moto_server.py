"""A moto server that answers one request at a time: by itself it mixes up what goes on in one object at once.

It closes the bytes of an object that is replaced under whoever reads them, and computes an ETag by moving the
position at which others read.
"""

from __future__ import annotations

import sys
from io import BytesIO
from threading import Lock

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream


class OneByOne:
    """A WSGI application that reads bodies side by side, and answers requests one after the other."""

    def __init__(self, app) -> None:
        self._app = app
        self._lock = Lock()

    def __call__(self, environ, start_response):
        environ["wsgi.input"] = BytesIO(get_input_stream(environ).read())
        environ["wsgi.input_terminated"] = True
        with self._lock:
            answer = self._app(environ, start_response)
            try:
                return list(answer)
            finally:
                getattr(answer, "close", lambda: None)()


def main() -> None:
    """Serve at the port that is the only argument."""
    app = OneByOne(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)


if __name__ == "__main__":
    main()
