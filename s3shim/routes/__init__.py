"""Which operation a request means, and the fence before it."""

from s3shim.routes.operation import UNKNOWN, Operation
from s3shim.routes.page import document
from s3shim.routes.resolve import Router

__all__ = ["UNKNOWN", "Operation", "Router", "document"]
