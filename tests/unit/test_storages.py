"""What the master does for each storage, and how the application opens it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from s3shim import wsgi
from s3shim.backends.local import StoreRefused
from s3shim.backends.memory import MemoryBackend
from s3shim.cli.storages import FarStorage, LocalStorage, storage_of
from s3shim.config import Config, load

KEYS = {"S3SHIM_ACCESS_KEY": "abc", "S3SHIM_SECRET_KEY": "12345678"}
S3 = ["--backend", "s3", "--upstream-endpoint", "http://127.0.0.1:1"]
PAIR = ["--upstream-access-key", "GKabc", "--upstream-secret-key", "12345678"]


def config(data: Path, *flags: str) -> Config:
    return load(["--data", str(data), *flags], KEYS)


def test_a_far_storage_needs_a_private_directory_and_nothing_else(tmp_path: Path) -> None:
    for flags in (["--backend", "nats"], [*S3, *PAIR]):
        data = tmp_path / flags[1] / "deep"
        storage = storage_of(config(data, *flags))
        assert isinstance(storage, FarStorage)
        storage.prepare()
        assert storage.sweep() == {}
        assert list(data.iterdir()) == []
        assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_the_local_storage_is_made_and_locked_and_swept(tmp_path: Path) -> None:
    storage = storage_of(config(tmp_path / "data"))
    assert isinstance(storage, LocalStorage)
    storage.prepare()
    assert storage.sweep() == {"removed_files": 0}
    with pytest.raises(StoreRefused, match="in use"):
        storage_of(config(tmp_path / "data")).prepare()


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(StoreRefused, match="written by others"):
        storage_of(config(tmp_path, "--backend", "nats")).prepare()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match=f"^{tmp_path}/file/data: Not a directory$"):
        storage_of(config(tmp_path / "file" / "data", "--backend", "nats")).prepare()


@pytest.mark.parametrize(
    ("flag", "flags"),
    [
        ("--nats-nkey", ["--backend", "nats"]),
        ("--nats-creds", ["--backend", "nats"]),
        ("--nats-tls-ca", ["--backend", "nats"]),
        ("--nats-tls-cert", ["--backend", "nats", "--nats-tls-key", __file__]),
        ("--nats-tls-key", ["--backend", "nats", "--nats-tls-cert", __file__]),
        ("--upstream-credentials", S3),
        ("--upstream-ca", [*S3, *PAIR]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_flag(
    tmp_path: Path, flag: str, flags: list[str]
) -> None:
    data, missing = tmp_path / "data", tmp_path / "missing"
    with pytest.raises(StoreRefused, match=f"^{flag} {missing}: No such file or directory$"):
        storage_of(config(data, *flags, flag, str(missing))).prepare()
    with pytest.raises(StoreRefused, match=f"^{flag} {tmp_path}: Is a directory$"):
        storage_of(config(data, *flags, flag, str(tmp_path))).prepare()
    assert not data.exists()
    storage_of(config(data, *flags, flag, __file__)).prepare()


@pytest.mark.parametrize("flags", [[], ["--backend", "nats"], [*S3, *PAIR]], ids=["local", "nats", "s3"])
def test_the_application_opens_the_storage_by_its_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    opened: list[tuple[str, dict[str, Any]]] = []

    def open_backend(scheme: str, **settings: Any) -> MemoryBackend:
        opened.append((scheme, settings))
        return MemoryBackend()

    monkeypatch.setattr(wsgi, "open_backend", open_backend)
    made = config(tmp_path, *flags)
    wsgi.create_app(made)
    ((scheme, settings),) = opened
    assert scheme == made.backend
    if scheme == "local":
        assert settings == {
            "root": tmp_path, "inline_max": 65536, "block_size": 2**20, "readers": 64, "grace": 3600,
            "upload_expiry": 604800,
        }  # fmt: skip
    else:
        assert settings == {"settings": made.nats or made.upstream}
