"""Whether a store is sound: its index, its files, and what each says of the other.

Reads only. Works while a server uses the store: all is seen as it was at one instant, and what was in use
then is not unlinked meanwhile.
"""

from s3shim.backends.local.fsck.check import check, check_view
from s3shim.backends.local.fsck.report import Report

__all__ = ["Report", "check", "check_view"]
