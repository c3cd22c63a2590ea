"""The key pair for the upstream, read again where it was rotated."""

from __future__ import annotations

import configparser
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error

_AWS_FILE = Path("~/.aws/credentials")


class KeyPair(NamedTuple):
    """A key pair, with the token of a session where it is one of a session."""

    access_key: str
    secret_key: str
    session_token: str | None = None


class Keys:
    """Gives the key pair of the settings; a file is read again once its time or size is another."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._seen: tuple[int, int, int] | None = None
        self._read: KeyPair | None = None

    def current(self) -> KeyPair:
        """Return the key pair. Raises ServiceUnavailable where none can be read."""
        settings = self._settings
        if settings.access_key and settings.secret_key:
            return KeyPair(settings.access_key, settings.secret_key, settings.session_token)
        path = settings.credentials or _AWS_FILE.expanduser()
        try:
            status = path.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino
            with self._lock:
                if self._read is None or seen != self._seen:
                    # A file that is being rewritten may be unreadable for a moment: the old pair serves on.
                    self._read, self._seen = _parse(path.read_text(), settings.profile or "default"), seen
                return self._read
        except (OSError, ValueError, configparser.Error) as error:
            if self._read is not None:
                return self._read
            raise S3Error(
                Code.ServiceUnavailable, f"The key pair of the storage cannot be read: {error}"
            ) from None


def _parse(text: str, profile: str) -> KeyPair:
    """Return the pair in an AWS credentials file, or in one of two lines: access key, secret key."""
    if "[" not in text and "=" not in text:
        lines = text.split()
        if len(lines) not in (2, 3):
            raise ValueError("expected the access key and the secret key, one a line")
        return KeyPair(lines[0], lines[1], lines[2] if len(lines) == 3 else None)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text if "[" in text else f"[{profile}]\n{text}")
    if not parser.has_section(profile):
        raise ValueError(f"no profile {profile!r}")
    section = parser[profile]
    access, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not access or not secret:
        raise ValueError(f"profile {profile!r} lacks aws_access_key_id or aws_secret_access_key")
    return KeyPair(access, secret, section.get("aws_session_token"))
