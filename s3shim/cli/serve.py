"""gunicorn with our settings, the same for ``s3shim serve`` and for ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import logging
import os
import ssl
import sys
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger as BaseLogger
from gunicorn.sock import create_sockets

from s3shim import logs
from s3shim.cli.banner import banner
from s3shim.cli.memory import return_memory, share_heap
from s3shim.cli.start import (
    FAILED,
    REFUSED,
    UMASK,
    Started,
    StartFailed,
    certificate_of,
    start,
    stop_storage,
    watch_storage,
)
from s3shim.config import Address, Config, ConfigError, load
from s3shim.server.connection import Limits
from s3shim.server.worker import hold_signals_over_forks, worker_class
from s3shim.wsgi import create_app

_SHARED_MEMORY = "/dev/shm"


class Logger(BaseLogger):
    """gunicorn's messages as records of ours; what it says of its daily life is for debugging."""

    def setup(self, cfg: Any) -> None:
        """Leave level, format and stream to s3shim.logs."""
        self.cfg = cfg
        self.error_log = logging.getLogger(f"{logs.LOGGER}.gunicorn")

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log one level lower."""
        self.error_log.debug(msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Standard error is never reopened."""

    def close_on_exec(self) -> None:
        """Standard error stays open."""


class Hooks:
    """What gunicorn calls in the master."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started: Started | None = None
        self.certificate = certificate_of(config)

    def on_starting(self, arbiter: Any) -> None:
        """Get ready, and hand the listening socket over."""
        if arbiter.cfg.bind != [str(self.config.listen)]:
            fail(StartFailed("gunicorn's bind is set by S3SHIM_LISTEN, not by its own option", REFUSED))
        own = self.certificate
        if (arbiter.cfg.certfile, arbiter.cfg.keyfile) != (own and str(own.chain), own and str(own.key)):
            fail(
                StartFailed(
                    "gunicorn's certfile and keyfile are set by S3SHIM_TLS_CERT and S3SHIM_TLS_KEY", REFUSED
                )
            )
        try:
            self.started = start(self.config)
        except StartFailed as failed:
            fail(failed)
        hold_signals_over_forks()
        share_heap()
        arbiter.LISTENERS = create_sockets(arbiter.cfg, arbiter.log, [self.started.listener.detach()])

    def when_ready(self, arbiter: Any) -> None:
        """Show what to do with the server; standard output only, it holds the secret."""
        watch_storage(self.config)
        started = self.started
        assert started is not None
        bound = Address(*arbiter.LISTENERS[0].getsockname()[:2])
        text = banner(
            bound,
            self.config.region,
            started.access_key,
            started.secret_key,
            secure=self.certificate is not None,
            outside=self.config.external_url,
        )
        print(text, flush=True)

    def on_reload(self, arbiter: Any) -> None:
        """Read the certificate again, before the new workers begin."""
        if self.certificate is not None:
            self.certificate.renew()

    def ssl_context(self, cfg: Any, _default: Any) -> ssl.SSLContext | None:
        """Return what the master has read; called in a worker."""
        return self.certificate.context if self.certificate is not None else None

    def on_exit(self, arbiter: Any) -> None:
        """Stop what runs beside the workers; let the code be ours where gunicorn ends as none can start."""
        stop_storage(self.config)
        if isinstance(sys.exception(), HaltServer):
            raise SystemExit(FAILED)
        logging.getLogger(logs.LOGGER).info("stopped")


def fail(failed: StartFailed | ConfigError) -> NoReturn:
    """Print the one line and end the process."""
    print(f"s3shim: {failed}", file=sys.stderr, flush=True)
    raise SystemExit(failed.code if isinstance(failed, StartFailed) else REFUSED)


def settings(config: Config) -> dict[str, Any]:
    """Return gunicorn's settings by name. Logging is set up with them."""
    logs.setup(config.log_format, config.log_level)
    hooks = Hooks(config)
    return {
        "bind": [str(config.listen)],
        "workers": config.workers,
        "threads": config.threads,
        "worker_class": worker_class(
            Limits(
                header=config.header_timeout,
                keepalive=config.keepalive,
                idle=config.idle_timeout,
                request=config.request_timeout,
                rate=config.min_body_rate,
                body=config.body_timeout,
            ),
            return_memory,
        ),
        "worker_connections": config.connections,
        "timeout": 120,
        "graceful_timeout": config.graceful_timeout,
        "keepalive": config.keepalive,
        "max_requests": 0,
        "limit_request_line": 8190,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        # gunicorn's C parser accepts folded headers and bare line feeds.
        "http_parser": "python",
        "http_protocols": "h1",
        "http2_cleartext": "off",
        # No client header reaches PATH_INFO, SCRIPT_NAME, the scheme or the peer's address.
        "forwarder_headers": "",
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "proxy_protocol": "off",
        "certfile": config.tls_cert and str(config.tls_cert),
        "keyfile": config.tls_key and str(config.tls_key),
        "ssl_context": hooks.ssl_context,
        # The worker hands every header line on as sent, and keeps names with "_" out of the environ.
        "header_map": "dangerous",
        "umask": UMASK,
        "control_socket_disable": True,
        "worker_tmp_dir": _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else None,
        # The backend is made after the fork: its threads and its index do not survive one.
        "preload_app": False,
        "reuse_port": False,
        "accesslog": None,
        "errorlog": "-",
        "logger_class": Logger,
        "on_starting": hooks.on_starting,
        "when_ready": hooks.when_ready,
        "on_reload": hooks.on_reload,
        "on_exit": hooks.on_exit,
    }


def settings_from_environment() -> dict[str, Any]:
    """Return the settings for gunicorn.conf.py; a bad one ends the process with one line."""
    try:
        return settings(load())
    except ConfigError as error:
        fail(error)


class Server(BaseApplication):
    """gunicorn run from Python."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__()

    def load_config(self) -> None:
        """Take our settings and nothing else: no file, no environment of gunicorn's own."""
        for name, value in settings(self.config).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application, in a worker."""
        return create_app(self.config)
