"""The HTTP server: a gunicorn worker class. It knows WSGI and sockets, and nothing of S3."""

from s3shim.server.worker import Worker

__all__ = ["Worker"]
