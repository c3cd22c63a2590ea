"""The load suite; the modules named here hold its cases."""

from conformance.load import complete, memory, overwrites
from conformance.load.base import SUITE

__all__ = ["SUITE", "complete", "memory", "overwrites"]
