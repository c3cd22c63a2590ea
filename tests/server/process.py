"""Servers in processes of their own, and raw connections to them."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = ["-m", "gunicorn", "-c", "gunicorn.conf.py", "s3shim.wsgi:app"]

_PATIENCE = 30.0
_ESTABLISHED = "01"


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with ``settings`` as the only ones of s3shim."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("S3SHIM_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(settings or {})}


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """A running server that has said where it listens: at ``host`` and ``port``, or at ``path``."""

    def __init__(
        self,
        arguments: list[str],
        stderr: Path,
        settings: Mapping[str, str] | None = None,
        last: str = "rclone lsd",
    ) -> None:
        self.stderr_path = stderr
        with open(stderr, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment(settings),
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                # A group of its own: a test that sends SIGINT as a terminal does reaches it alone.
                start_new_session=True,
            )
        try:
            self.banner = self._read_until(last)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        found = re.search(r"https?://(127\.0\.0\.1|\[::1\]):([0-9]+)|^unix:(.+)$", self.banner, re.MULTILINE)
        assert found, self.banner
        self.path = found[3]
        self.host, self.port = (found[1] or "").strip("[]"), int(found[2] or 0)

    def _read_until(self, last: str) -> str:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(last):
                return "".join(lines)
        self.process.wait(_PATIENCE)
        raise AssertionError(f"the server did not start: {self.stderr}")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text()

    def shown(self, name: str) -> str:
        """Return what the banner says after ``name``."""
        found = re.search(rf"^  {name} +(.+)$", self.banner, re.MULTILINE)
        assert found, self.banner
        return found[1]

    def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        """Connect; ``tls`` is what the server is checked against, None is plain HTTP."""
        if self.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(_PATIENCE)
            sock.connect(self.path)
        else:
            sock = socket.create_connection((self.host, self.port), timeout=_PATIENCE)
        return Client(sock if tls is None else tls.wrap_socket(sock, server_hostname=self.host))

    def ask(self, request: bytes, tls: ssl.SSLContext | None = None) -> Answer:
        """Send ``request`` on a connection of its own and return the first answer."""
        with self.connect(tls) as client:
            client.send(request)
            return client.answer()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(_PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def workers(server: Server) -> list[int]:
    """Return the process ids of the workers."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connections(pid: int, port: int) -> dict[str, int]:
    """Return how many sockets of a process are connected to ``port`` of this machine, by state."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            held.add(target[8:-1])
    # The kernel tells a socket twice where others come and go while it is read.
    states = {}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and fields[9] in held:
            states[fields[9]] = fields[3]
    established = sum(state == _ESTABLISHED for state in states.values())
    return {"established": established, "other": len(states) - established}


def serve(tmp_path: Path, *flags: str, settings: Mapping[str, str] | None = None) -> Server:
    """Start ``s3shim serve`` on a free port, with its data in ``tmp_path``."""
    listen = [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
    data = [] if "--data" in flags else ["--data", str(tmp_path / "data")]
    arguments = ["-m", "s3shim", "serve", "--allow-root", *listen, *data, *flags]
    return Server(arguments, tmp_path / f"stderr-{time.monotonic_ns()}", settings)


def refused(arguments: list[str], settings: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a server that must not start; return its exit code and standard error."""
    done = ended(arguments, settings)
    assert done.stdout == ""
    return done.returncode, done.stderr


def ended(
    arguments: list[str], settings: Mapping[str, str] | None = None, *, patience: float = _PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a server that ends by itself, within ``patience`` seconds."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


@dataclass
class Answer:
    """An answer as it came: ``headers`` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bytes:
        """Return what comes next; b"" at the end, also where the server resets the connection."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            data = self.receive()
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def answer(self, *, head: bool = False) -> Answer:
        """Return the next answer; its body by Content-Length, or up to the end."""
        status_line, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split()[1])
        length = int(headers.get("content-length", "0"))
        if head or status == 100:
            length = 0
        while len(self.buffer) < length:
            data = self.receive()
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(status, headers, body)

    def ended(self) -> bool:
        """Wait for the end of the connection; whether nothing came before it."""
        return self.buffer == b"" and self.receive() == b""
