"""gunicorn with our settings, the same for ``s3shim serve`` and for ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import logging
import os
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger as BaseLogger

from s3shim import logs
from s3shim.cli.hooks import Hooks, fail
from s3shim.cli.memory import return_memory
from s3shim.cli.start import UMASK
from s3shim.config import Config, ConfigError, load
from s3shim.server.connection import Limits
from s3shim.server.worker import worker_class
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
            hooks.waits,
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
        "pre_fork": hooks.pre_fork,
        "worker_exit": hooks.worker_exit,
        "child_exit": hooks.child_exit,
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
