"""What a rename demands of its source and of its target.

Source: "RenameObject" in the Amazon S3 API Reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from s3shim.conditions import NO_CONDITIONS, Conditions, check_copy, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo


@dataclass(slots=True)
class Rename:
    """A rename within ``bucket``, of the key ``source`` to the key ``target``.

    ``token`` is what the client calls this rename by, so that a second request is known for the same one;
    empty where it gives none.
    """

    bucket: str
    source: str
    target: str
    source_conditions: Conditions = field(default_factory=lambda: NO_CONDITIONS)
    target_conditions: Conditions = field(default_factory=lambda: NO_CONDITIONS)
    token: str = ""

    def is_done(self, token: str, source: str) -> bool:
        """Whether this rename has brought the object to the target; it came from ``source`` by ``token``.

        Raises IdempotencyParameterMismatch for the same token with another source.
        """
        if not self.token or token != self.token:
            return False
        if source != self.source:
            raise S3Error(Code.IdempotencyParameterMismatch)
        return True

    def check(self, source: ObjectInfo, target: ObjectInfo | None) -> None:
        """Raise PreconditionFailed, or NoSuchKey for an If-Match on a target that is not there.

        ``target`` is the object that is replaced, None where there is none.
        """
        check_copy(self.source_conditions, source)
        conditions = self.target_conditions
        if conditions is NO_CONDITIONS:
            return
        check_write(conditions, target)
        second = None if target is None else target.last_modified // 1000 * 1000
        since = conditions.if_modified_since
        if since is not None and (second is None or second <= since):
            raise S3Error(Code.PreconditionFailed, Condition="If-Modified-Since")
        since = conditions.if_unmodified_since
        if since is not None and second is not None and second > since:
            raise S3Error(Code.PreconditionFailed, Condition="If-Unmodified-Since")
