"""The key pairs that may sign, from the JSON file of nats-s3.

``{"credentials": [{"accessKey": "..", "secretKey": "..", "account": "main", "displayName": "Main"}]}``;
``account`` and ``displayName`` are optional. Keys of one account share everything.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3shim.model import Identity

DEFAULT_ACCOUNT = "default"

_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = frozenset({"accessKey", "secretKey", "account", "displayName"})
_ID_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits + "+/"
_MIN_ACCESS_KEY = 3
_MIN_SECRET_KEY = 8
_READABLE_BY_OTHERS = 0o077

_log = logging.getLogger(__name__)


class CredentialsRefused(Exception):
    """The credentials cannot be used; the text says where and why, and never holds a secret."""


@dataclass(slots=True)
class Credential:
    """One key pair and the account that it acts for."""

    access_key: str
    secret: bytes = field(repr=False)
    account: str
    display_name: str
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Identity(self.account, self.access_key, self.display_name)


class Credentials(Mapping[str, Credential]):
    """Credentials by access key, in the order of the file."""

    def __init__(self, entries: Iterable[Credential]) -> None:
        self._entries = {entry.access_key: entry for entry in entries}
        material = b"".join(len(e.secret).to_bytes(4, "big") + e.secret for e in self._entries.values())
        self._token_key = hmac.digest(material, b"s3shim continuation token", "sha256")

    def __getitem__(self, access_key: str) -> Credential:
        return self._entries[access_key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Credentials of {len(self)} keys>"

    @property
    def token_key(self) -> bytes:
        """A secret of 32 bytes that is the same wherever the credentials are."""
        return self._token_key


def load(path: str | os.PathLike[str]) -> Credentials:
    """Read the file. Raises CredentialsRefused, with the index of the entry where one is at fault."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & _READABLE_BY_OTHERS:
                raise CredentialsRefused(f"{path}: open to its group or to others; run chmod 600 on it")
            raw = file.read()
    except OSError as error:
        raise CredentialsRefused(f"{path}: {error.strerror}") from None
    try:
        document = json.loads(raw)
    except UnicodeDecodeError:
        raise CredentialsRefused(f"{path}: not UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CredentialsRefused(f"{path}: not JSON{where}") from None
    try:
        return Credentials(_entries(document))
    except CredentialsRefused as refused:
        raise CredentialsRefused(f"{path}: {refused}") from None


def fixed(access_key: str, secret_key: str) -> Credentials:
    """Return the one pair as credentials of the default account. Raises CredentialsRefused."""
    return Credentials(_entries({"credentials": [{"accessKey": access_key, "secretKey": secret_key}]}))


def ensure(
    path: str | os.PathLike[str], access_key: str | None = None, secret_key: str | None = None
) -> tuple[str, str]:
    """Return the pair to show to the person who starts the server.

    That is the given pair, else the first of the file, which is made with a random pair where there
    is none. Raises CredentialsRefused.
    """
    if access_key is not None or secret_key is not None:
        given = fixed(access_key or "", secret_key or "")
    else:
        if not os.path.lexists(path):
            _create(Path(path))
        given = load(path)
    first = next(iter(given.values()))
    return first.access_key, first.secret.decode()


def _create(path: Path) -> None:
    pair = {"accessKey": _random(_ID_LETTERS, 20), "secretKey": _random(_SECRET_LETTERS, 40)}
    document = json.dumps({"credentials": [{**pair, "account": DEFAULT_ACCOUNT}]}, indent=2) + "\n"
    unfinished = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            # A link, not a rename: of two first starts at once both must show the same pair.
            os.link(unfinished, path)
        except FileExistsError:
            return
        finally:
            unfinished.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise CredentialsRefused(f"{path}: {error.strerror}") from None


def _random(letters: str, length: int) -> str:
    # Bytes beyond the last whole multiple are thrown away, else the first letters would be likelier.
    limit = 256 - 256 % len(letters)
    chosen: list[str] = []
    while len(chosen) < length:
        chosen += [letters[byte % len(letters)] for byte in os.urandom(2 * length) if byte < limit]
    return "".join(chosen[:length])


def _entries(document: Any) -> Iterator[Credential]:
    if not isinstance(document, dict) or not isinstance(document.get("credentials"), list):
        raise CredentialsRefused('expecting {"credentials": [...]}')
    _warn_unknown("", set(document) - {"credentials"})
    if not document["credentials"]:
        raise CredentialsRefused("credentials: at least one entry is needed")
    seen: set[str] = set()
    for index, entry in enumerate(document["credentials"]):
        try:
            credential = _entry(index, entry)
            if credential.access_key in seen:
                raise CredentialsRefused("accessKey: an earlier entry has the same")
        except CredentialsRefused as refused:
            raise CredentialsRefused(f"credentials[{index}]: {refused}") from None
        seen.add(credential.access_key)
        yield credential


def _entry(index: int, entry: Any) -> Credential:
    if not isinstance(entry, dict):
        raise CredentialsRefused("expecting an object")
    _warn_unknown(f"credentials[{index}].", set(entry) - _FIELDS)
    access_key = _text(entry, "accessKey", "")
    if len(access_key) < _MIN_ACCESS_KEY:
        raise CredentialsRefused(f"accessKey: at least {_MIN_ACCESS_KEY} characters are needed")
    # These three part the Authorization header; what is not printable ASCII does not survive in it.
    if not access_key.isascii() or not access_key.isprintable() or any(c in access_key for c in "=,/"):
        raise CredentialsRefused("accessKey: printable ASCII without '=', ',' and '/' is needed")
    secret_key = _text(entry, "secretKey", "")
    if len(secret_key) < _MIN_SECRET_KEY:
        raise CredentialsRefused(f"secretKey: at least {_MIN_SECRET_KEY} characters are needed")
    account = _text(entry, "account", DEFAULT_ACCOUNT)
    if not _ACCOUNT.fullmatch(account):
        raise CredentialsRefused("account: 1 to 64 of A-Z a-z 0-9 . _ - are needed")
    return Credential(access_key, secret_key.encode(), account, _text(entry, "displayName", account))


def _text(entry: dict[str, Any], name: str, default: str) -> str:
    value = entry.get(name, default)
    if not isinstance(value, str):
        raise CredentialsRefused(f"{name}: expecting a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise CredentialsRefused(f"{name}: half of a surrogate pair is no character")
    return value


def _warn_unknown(where: str, names: set[str]) -> None:
    for name in sorted(names):
        _log.warning("credentials file: the field %s%s is unknown and ignored", where, name[:64])
