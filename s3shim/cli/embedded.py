"""``--embedded-nats``: a NATS server of our own, on this machine and for nobody else.

DIR/LOCK              held by the master whose server it is, its workers, and what watches the server
DIR/nats-server.conf  its configuration, with a password that is made anew at each start
DIR/client.json       the same for the workers
DIR/nats-server.log   its messages, and up to three older files of them
DIR/jetstream/        its store
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import shutil
import socket
import sys
import time
from functools import cache
from pathlib import Path

from s3shim.backends.local import layout
from s3shim.backends.local.layout import StoreRefused
from s3shim.backends.local.mounts import file_system, mounts_of_now, warning
from s3shim.cli.supervisor import Supervisor
from s3shim.config.embedded import HOST, OwnServer, write_private

PROGRAM = "nats-server"

_USER = "s3shim"
_LOWEST_PORT = 10_240
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200
_PREVIOUS = 10.0  # seconds that the server of a master before us gets to end
_TO_BEGIN = 5.0  # seconds that it gets to listen before we go on without it

# Quoted, each value: the parser takes 0123e5 for a number, and 2m for two millions.
_CONFIGURATION = """\
# Written by s3shim at each start.
server_name: "s3shim"
listen: {listen}
http: {http}
jetstream {{
  store_dir: {store}
  sync_interval: "always"
}}
authorization {{
  user: {user}
  password: {password}
}}
log_file: {log}
logfile_size_limit: 16777216
logfile_max_num: 4
"""

log = logging.getLogger(__name__)


class EmbeddedNats:
    """The server with its store in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._supervisor: Supervisor | None = None
        self._own: OwnServer | None = None
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make what it needs, or raise StoreRefused."""
        program = find_program()
        directory = self._directory
        try:
            directory.mkdir(0o700, parents=True, exist_ok=True)
            layout.check_root(directory)
            told = warning(file_system(directory.resolve(), mounts_of_now()))
            if told is not None:
                log.warning("%s: %s", directory, told)
            self._lock = _locked(directory)
            port, monitor_port = free_ports(2)
            own = self._own = OwnServer(port, monitor_port, _USER, secrets.token_hex(16))
            write_private(directory / "nats-server.conf", configuration(own, directory))
            own.write(directory)
        except OSError as error:
            raise StoreRefused(f"{directory}: {error.strerror}") from error
        command = [str(program), "-c", str(directory / "nats-server.conf")]
        self._supervisor = Supervisor(command, [self._lock])

    def start(self) -> None:
        """Start it, and wait a moment until it listens; it need not."""
        assert self._supervisor is not None
        assert self._own is not None
        self._supervisor.start()
        end = time.monotonic() + _TO_BEGIN
        while not _listens(self._own.port):
            if time.monotonic() > end:
                log.warning("the embedded NATS server does not listen yet; see %s", self._log_path)
                return
            time.sleep(0.02)

    def watch(self) -> None:
        """Keep it running from now on, whatever ends."""
        if self._supervisor is not None:
            self._supervisor.watch()

    def stop(self) -> None:
        """Let it stop, after the workers, and wait for it."""
        if self._supervisor is not None:
            self._supervisor.stop()

    @property
    def _log_path(self) -> Path:
        return self._directory / "nats-server.log"


@cache
def embedded_nats(directory: Path) -> EmbeddedNats:
    """Return the one server for this directory in this process, whatever a reload makes anew around it."""
    return EmbeddedNats(directory)


def find_program() -> Path:
    """Return nats-server: that beside this Python, else that of PATH. Raises StoreRefused."""
    beside = Path(sys.executable).parent / PROGRAM
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise StoreRefused(
            f"--embedded-nats needs the program {PROGRAM}, which is neither beside {sys.executable} nor on "
            "PATH: install s3shim[embedded-nats]"
        )
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens at; raises OSError.

    Below those that the system gives to whoever asks for any: a port of that range could be taken while the
    server is started again, even by a client of ours that connects to it, and so to itself.
    """
    highest = _first_ephemeral() - 1
    found: set[int] = set()
    for _ in range(_TRIES):
        port = random.randint(min(_LOWEST_PORT, highest), highest)
        try:
            with socket.create_server((HOST, port)):
                found.add(port)
        except OSError:
            continue
        if len(found) == count:
            return sorted(found)
    raise OSError(0, "no free port was found for the embedded NATS server")


def _first_ephemeral() -> int:
    try:
        return max(int(_EPHEMERAL.read_text().split()[0]), 1025)
    except (OSError, ValueError, IndexError):
        return 32_768  # Linux's own


def configuration(own: OwnServer, directory: Path) -> str:
    """Return the text of nats-server.conf."""
    texts = {
        "listen": f"{HOST}:{own.port}",
        "http": f"{HOST}:{own.monitor_port}",
        "store": str(directory),
        "user": own.user,
        "password": own.password,
        "log": str(directory / "nats-server.log"),
    }
    return _CONFIGURATION.format(
        **{name: json.dumps(text, ensure_ascii=False) for name, text in texts.items()}
    )


def _locked(directory: Path) -> int:
    """Take DIR/LOCK; who held it may just be ending, so wait a little."""
    end = time.monotonic() + _PREVIOUS
    while True:
        try:
            return layout.lock(directory)
        except StoreRefused:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
