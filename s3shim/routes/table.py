"""THE table: one row for each operation that is served.

A row names the members of the service model that its handler honours; the fence refuses the rest.
Where the backend cannot do what a row needs, and for every operation of the model without a row,
the router answers NotImplemented.
"""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.routes.bucket_rows import BUCKET_ROWS
from s3shim.routes.configuration_rows import CONFIGURATION_ROWS
from s3shim.routes.object_rows import OBJECT_ROWS
from s3shim.routes.upload_rows import UPLOAD_ROWS

TABLE = BUCKET_ROWS + CONFIGURATION_ROWS + OBJECT_ROWS + UPLOAD_ROWS

# Members of a write that ask the backend for more than the write itself.
MEMBER_NEEDS = {
    "IfMatch": Capability.CONDITIONAL_WRITE,
    "IfNoneMatch": Capability.CONDITIONAL_WRITE,
    "WriteOffsetBytes": Capability.APPEND,
}
