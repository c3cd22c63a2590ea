"""What ends by itself: uploads that nobody completes, and the memory of those that were completed."""

from __future__ import annotations

from itertools import islice

from s3shim.backends.local import upload_rows
from s3shim.backends.local.commit import Committer
from s3shim.backends.local.index import Index
from s3shim.backends.local.settings import Settings
from s3shim.backends.local.tables import Edit
from s3shim.errors import Code, S3Error

BATCH = 1000


def expire_uploads(index: Index, committer: Committer, settings: Settings, before: int) -> int:
    """Abort the uploads that were initiated before a time (ms), one by one; return how many.

    Those whose own records are damaged stay: nobody knows how old they are.
    """
    with index.read() as view:
        keys = upload_rows.initiated(view, before)
    count = 0
    for key in keys:
        try:
            count += _abort(committer, settings, key)
        except S3Error as error:
            if error.code is not Code.InternalError:
                raise
    return count


def _abort(committer: Committer, settings: Settings, key: bytes) -> bool:
    def change(edit: Edit) -> bool:
        if not upload_rows.exists(edit, key):
            return False
        upload_rows.remove(edit, key, settings.due())
        return True

    return committer.run(change, frees=True)


def forget_answers(index: Index, committer: Committer, before: int) -> None:
    """Forget what was answered to the uploads that were completed before a time (ms)."""
    while True:
        with index.read() as view:
            keys = list(islice(upload_rows.answered(view, before), BATCH))
        if not keys:
            return

        def change(edit: Edit, keys: list[bytes] = keys) -> None:
            upload_rows.forget(edit, keys)

        committer.run(change, frees=True)
