"""A proxy between a client and the server that tells in which form the bodies came."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
from collections.abc import Callable

FORMS = (
    "signed-payload",
    "unsigned-payload",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "transfer-encoding-chunked",
    "expect-100-continue",
    "presigned",
)

_PIECE = 65536


def forms_of(head: str) -> set[str]:
    """Return the forms of the request with this head; a request without a body has none but "presigned"."""
    line, _, rest = head.partition("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in _fields(rest)}
    found = {"presigned"} if "X-Amz-Signature=" in line else set()
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    if not chunked and headers.get("content-length", "0") == "0":
        return found
    payload = headers.get("x-amz-content-sha256", "")
    if payload.startswith("STREAMING-"):
        found.add(payload)
    elif payload == "UNSIGNED-PAYLOAD":
        found.add("unsigned-payload")
    elif re.fullmatch("[0-9a-f]{64}", payload):
        found.add("signed-payload")
    # An aws-chunked body may come in HTTP's chunks too; this form is a body in HTTP's alone.
    if chunked and not payload.startswith("STREAMING-"):
        found.add("transfer-encoding-chunked")
    if headers.get("expect", "").lower() == "100-continue":
        found.add("expect-100-continue")
    return found


def _fields(text: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in text.split("\r\n") if line]


class Recorder:
    """Listens on a free port of this machine and hands everything on to ``port``.

    With ``inward`` it speaks TLS to its clients, and with ``outward`` to the server, so that it can read
    what both would hide. ``forms`` is what it has seen since ``forget``.
    """

    def __init__(
        self, port: int, inward: ssl.SSLContext | None = None, outward: ssl.SSLContext | None = None
    ) -> None:
        self.target = ("127.0.0.1", port)
        self.inward = inward
        self.outward = outward
        self.forms: set[str] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        scheme = "http" if inward is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def forget(self) -> set[str]:
        """Return the forms that were seen and begin anew."""
        seen, self.forms = self.forms, set()
        return seen

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self.target)
        try:
            if self.inward is not None:
                client = self.inward.wrap_socket(client, server_side=True)
            if self.outward is not None:
                server = self.outward.wrap_socket(server, server_hostname="127.0.0.1")
            _pass_on(client, server, Requests(lambda head: self.forms.update(forms_of(head))))
        except OSError:
            pass
        finally:
            client.close()
            server.close()


def _pass_on(client: socket.socket, server: socket.socket, requests: Requests) -> None:
    """Hand on what either says until one of them ends; by one thread, for a TLS socket is not for two."""
    while True:
        readable, _, _ = select.select([client, server], [], [])
        for source in readable:
            data = _received(source)
            if data == b"":
                return
            if data is not None and source is client:
                requests.feed(data)
                server.sendall(data)
            elif data is not None:
                client.sendall(data)


def _received(source: socket.socket) -> bytes | None:
    """Return what has come, nothing at the end, None where TLS has said something of its own."""
    source.setblocking(False)
    try:
        data = source.recv(_PIECE)
        while isinstance(source, ssl.SSLSocket) and source.pending():
            data += source.recv(_PIECE)
        return data
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    finally:
        source.setblocking(True)


class Requests:
    """Reads the requests of one connection as they pass and tells each head."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._held = b""
        self._left = 0
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection."""
        self._held += data
        while self._step():
            pass

    def _step(self) -> bool:
        """Take one piece of what is held; whether there was a whole one."""
        if self._left:
            taken = min(self._left, len(self._held))
            self._held = self._held[taken:]
            self._left -= taken
            return taken > 0
        piece = self._until(b"\r\n" if self._chunked else b"\r\n\r\n")
        if piece is None:
            return False
        if not self._chunked:
            self._head(piece.decode("latin-1"))
        elif size := int(piece.split(b";")[0], 16):
            self._left = size + 2
        else:
            # The end: no client has trailers in HTTP's own chunks.
            self._left, self._chunked = 2, False
        return True

    def _head(self, head: str) -> None:
        self._tell(head)
        self._chunked = re.search(r"(?i)\r\ntransfer-encoding: *chunked", head) is not None
        if length := re.search(r"(?i)\r\ncontent-length: *([0-9]+)", head):
            self._left = int(length[1])

    def _until(self, end: bytes) -> bytes | None:
        found, mark, rest = self._held.partition(end)
        if not mark:
            return None
        self._held = rest
        return found
