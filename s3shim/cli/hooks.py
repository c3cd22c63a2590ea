"""What gunicorn calls in its master and in its workers: the start, the end, the metrics, the certificate."""

from __future__ import annotations

import logging
import ssl
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from gunicorn.errors import HaltServer
from gunicorn.sock import create_sockets

from s3shim import logs
from s3shim.cli.banner import banner
from s3shim.cli.memory import share_heap
from s3shim.cli.start import (
    FAILED,
    REFUSED,
    Started,
    StartFailed,
    certificate_of,
    start,
    stop_storage,
    watch_storage,
)
from s3shim.config import Address, Config, ConfigError
from s3shim.metrics import board
from s3shim.server.worker import hold_signals_over_forks
from s3shim.waiting import WAITS


class Hooks:
    """They are called in the master where they do not say otherwise."""

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
        board().open(self.config.workers)
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

    def pre_fork(self, arbiter: Any, worker: Any) -> None:
        """Give the next worker a place for its metrics."""
        board().hire(worker.age)

    def worker_exit(self, arbiter: Any, worker: Any) -> None:
        """Let the metrics have what the worker did last; called in it."""
        show = board().show
        if show is not None:
            show()

    def child_exit(self, arbiter: Any, worker: Any) -> None:
        """Keep the counters of a worker that has ended."""
        board().bury(worker.age)

    def on_reload(self, arbiter: Any) -> None:
        """Read the certificate again, before the new workers begin."""
        if self.certificate is not None:
            self.certificate.renew()

    def ssl_context(self, cfg: Any, _default: Any) -> ssl.SSLContext | None:
        """Return what the master has read; called in a worker."""
        return self.certificate.context if self.certificate is not None else None

    @staticmethod
    def waits(announce: Callable[[], None]) -> None:
        """In a worker: the storage tells the server when it is about to wait."""
        WAITS.tell(announce)

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
