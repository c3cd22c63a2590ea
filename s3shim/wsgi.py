"""Where the objects are made: ``create_app`` for Python, ``s3shim.wsgi:app`` for gunicorn."""

from __future__ import annotations

from s3shim.auth import credentials
from s3shim.auth.authenticate import Authenticator, OpenAccess
from s3shim.backends import open_backend
from s3shim.backends.base import Backend
from s3shim.config import Config, load
from s3shim.config.opening import backend_settings
from s3shim.gateway import Gateway
from s3shim.routes import Router
from s3shim.service import service_of


def create_app(config: Config, backend: Backend | None = None) -> Gateway:
    """Return the WSGI application for ``config``, on ``backend`` or on the storage that it names.

    Starts the backend, so it is called in the process that serves the requests, after the fork.
    """
    if config.access_key and config.secret_key:
        known = credentials.fixed(config.access_key, config.secret_key)
    else:
        known = credentials.load(config.credentials)
    if backend is None:
        backend = open_backend(config.backend, **backend_settings(config))
    backend.start()
    service = service_of(config, known.token_key, backend)
    authenticate: Authenticator | OpenAccess = Authenticator(known, config.region)
    if config.open_access:
        far = config.nats or config.upstream
        authenticate = OpenAccess(far.account if far is not None else credentials.DEFAULT_ACCOUNT)
    gateway = Gateway(backend, Router(backend.capabilities), authenticate, service)
    gateway.extra_headers.append(("Server", config.server_header))
    if config.frame_options:
        gateway.extra_headers.append(("X-Frame-Options", config.frame_options))
    if config.referrer_policy:
        gateway.extra_headers.append(("Referrer-Policy", config.referrer_policy))
    return gateway


def __getattr__(name: str) -> Gateway:
    # Made when gunicorn asks for it and not at import: importing a module starts nothing.
    if name == "app":
        return create_app(load())
    raise AttributeError(name)
