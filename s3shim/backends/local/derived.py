"""All that makes objects of objects in the local store."""

from __future__ import annotations

from s3shim.backends.local.appending import Appending
from s3shim.backends.local.copying import Copying
from s3shim.backends.local.renaming import Renaming


class Derived(Copying, Renaming, Appending):
    """The part of LocalBackend that makes objects of objects that are there; no byte of them is written."""
