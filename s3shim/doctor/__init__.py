"""Why a signature does not match: from what the client signed, what has arrived, or the secret key."""

from s3shim.doctor.diagnosis import Verdict, diagnose
from s3shim.doctor.reading import Unreadable, read

__all__ = ["Unreadable", "Verdict", "diagnose", "read"]
