"""A proxy in front of a nats-server that can lose what passes it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

_PUBLISH = re.compile(rb"H?PUB (\S+) ")
_ANSWER = re.compile(rb"H?MSG \S+ \d+ ")


class Proxy:
    """Listens on ``url`` and forwards to ``server``, whole messages one by one.

    ``sent`` is asked of each message of the client, with its subject and itself, ``answered`` of each of the
    server. What it returns is done: PASS, DROP, or CUT: nothing of it and nothing after it passes on any
    connection. CUT_AFTER lets the message itself pass first.
    """

    PASS, DROP, CUT, CUT_AFTER = "pass", "drop", "cut", "cut after"

    def __init__(self, server: str) -> None:
        self.server = server
        self._target = urlsplit(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.sent: Callable[[bytes, bytes], str] = lambda subject, message: self.PASS
        self.answered: Callable[[bytes], str] = lambda message: self.PASS
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            for sock in self._open:
                with_reset(sock)
            self._open.clear()

    def shut(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        """End everything."""
        self.shut()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection((self._target.hostname, self._target.port))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open += [client, server]
            for source, sink, decide in (
                (client, server, self._of_client),
                (server, client, self._of_server),
            ):
                threading.Thread(target=self._forward, args=(source, sink, decide), daemon=True).start()

    def _of_client(self, line: bytes, message: bytes) -> str:
        found = _PUBLISH.match(line)
        return self.sent(found[1], message) if found else self.PASS

    def _of_server(self, line: bytes, message: bytes) -> str:
        return self.answered(message) if _ANSWER.match(line) else self.PASS

    def _forward(self, source, sink, decide) -> None:
        reader = source.makefile("rb")
        try:
            while line := reader.readline():
                message = line
                if _PUBLISH.match(line) or _ANSWER.match(line):
                    message += reader.read(int(line.split()[-1]) + 2)
                decision = decide(line, message)
                if decision in (self.PASS, self.CUT_AFTER):
                    sink.sendall(message)
                if decision in (self.CUT, self.CUT_AFTER):
                    self.cut()
                    return
        except (OSError, ValueError):
            pass
        finally:
            with_reset(source)
            with_reset(sink)


def with_reset(sock: socket.socket) -> None:
    """Close a connection at once, from any thread."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
