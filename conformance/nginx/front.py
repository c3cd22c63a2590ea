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
from tests.server.process import free_port

DEPLOYED = ROOT / "deploy" / "nginx"
BAD = Path(__file__).parent

_PATIENCE = 10.0
_AROUND = """\
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/error.log warn;
{user}
events {{ worker_connections 256; }}
http {{
    log_format both "$status $upstream_status $request_method $request_uri";
    access_log {work}/access.log both;
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
    key in it) is given. ``authority`` is the file by which a client trusts that. Raises
    Refused where there is no nginx.
    """

    def __init__(
        self,
        directory: Path,
        flags: Sequence[str] = (),
        site: Path = DEPLOYED / "s3shim.conf",
        certificate: Path | None = None,
        authority: str | None = None,
    ) -> None:
        nginx = program("nginx")
        port = free_port()
        flags = [flag.format(port=port) for flag in flags]
        flags += ["--trusted-proxies", "127.0.0.1", "--log-level", "debug"]
        super().__init__(directory, flags, authority)
        self.backend_port = self.port
        self.port = port
        self.work = directory / "nginx"
        self.work.mkdir()
        self.errors = self.work / "error.log"
        self.requests = self.work / "access.log"
        self.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        (self.work / "site.conf").write_text(self._site(site.read_text(), certificate))
        user = "user root;" if os.geteuid() == 0 else ""
        (self.work / "nginx.conf").write_text(_AROUND.format(work=self.work, user=user))
        self.nginx = subprocess.Popen(
            [nginx, "-e", str(self.errors), "-c", str(self.work / "nginx.conf")],
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
                    raise RuntimeError(f"nginx did not start: {self.errors.read_text()[-500:]}") from None
                time.sleep(0.05)
            else:
                return

    def verdict(self) -> tuple[str, str]:
        """Return the verdict on what nginx did, and the reason.

        It must have handed on every request and every answer, and have nothing to warn of, such as a body
        that it wrote to its disk.
        """
        lines = self.requests.read_text(errors="replace").splitlines()
        # Where s3shim cannot be reached, nginx says that it was told so.
        own = [line for line in lines if len({*line.split()[:2]}) > 1 or line.startswith(("502", "504"))]
        complaints = self.errors.read_text(errors="replace").splitlines()
        if not lines:
            return "fail", "no request came through nginx"
        if own:
            return "fail", f"{len(own)} answers are nginx's own, the first: {own[0][:500]}"
        return ("fail", f"nginx says: {complaints[0][:500]}") if complaints else ("pass", "")

    def stop(self) -> None:
        """Stop nginx and the server."""
        self.nginx.terminate()
        self.nginx.wait(_PATIENCE)
        super().stop()
