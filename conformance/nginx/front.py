"""A server of our own with nginx before it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from conformance.cases import program
from conformance.server import ROOT, Server

DEPLOYED = ROOT / "deploy" / "nginx"
BAD = Path(__file__).parent

_PATIENCE = 10.0
_AROUND = """\
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    include {work}/site.conf;
}}
"""


class BehindNginx(Server):
    """``s3shim serve`` behind nginx; ``port`` and ``endpoint`` are nginx's, and ``{port}`` in a flag is, too.

    ``site`` is a configuration, of which only the address of s3shim, what nginx listens on and the place of
    the certificate are replaced; it is spoken to without TLS unless ``certificate`` (a PEM file with the
    key in it) is given.
    """

    def __init__(
        self,
        directory: Path,
        flags: Sequence[str] = (),
        site: Path = DEPLOYED / "s3shim.conf",
        certificate: Path | None = None,
    ) -> None:
        port = _free_port()
        flags = [flag.format(port=port) for flag in flags]
        super().__init__(directory, [*flags, "--trusted-proxies", "127.0.0.1", "--log-level", "debug"])
        self.backend_port = self.port
        self.port = port
        self.work = directory / "nginx"
        self.work.mkdir()
        self.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        (self.work / "site.conf").write_text(self._site(site.read_text(), certificate))
        user = "user root;" if os.geteuid() == 0 else ""
        (self.work / "nginx.conf").write_text(_AROUND.format(work=self.work, user=user))
        self.nginx = subprocess.Popen(
            [program("nginx"), "-e", str(self.work / "error.log"), "-c", str(self.work / "nginx.conf")],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _site(self, text: str, certificate: Path | None) -> str:
        tls = "listen 443 ssl;" in text
        replaced = [
            ("server 127.0.0.1:9000;", f"server 127.0.0.1:{self.backend_port};"),
            (
                "listen 443 ssl;" if tls else "listen 80;",
                f"listen 127.0.0.1:{self.port}{' ssl' if certificate else ''};",
            ),
        ]
        for before, after in replaced:
            if text.count(before) != 1:
                raise RuntimeError(f"the configuration has no line with {before}")
            text = text.replace(before, after)
        lines = []
        for line in text.splitlines():
            name = line.split()[0] if line.strip() else ""
            if name in ("ssl_certificate", "ssl_certificate_key"):
                line = f"{name} {certificate};" if certificate else ""
            lines.append(line)
        return "\n".join(lines) + "\n"

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self.nginx.poll() is not None or time.monotonic() > end:
                    log = (self.work / "error.log").read_text()
                    raise RuntimeError(f"nginx did not start: {log[-500:]}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop nginx and the server."""
        self.nginx.terminate()
        self.nginx.wait(_PATIENCE)
        super().stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
