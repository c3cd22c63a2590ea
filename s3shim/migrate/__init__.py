"""Everything of one storage into another, exactly, by the contract of storages alone."""

from s3shim.migrate.progress import Mode, Outcome, Progress
from s3shim.migrate.run import Migration

__all__ = ["Migration", "Mode", "Outcome", "Progress"]
