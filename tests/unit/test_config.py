"""Settings: which source wins, which values are good, what a refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3shim import __version__, config
from s3shim.config import Address, ConfigError, load


def test_defaults() -> None:
    made = load([], {})
    assert made.data == Path("data")
    assert made.listen == Address("127.0.0.1", 9000)
    assert (made.workers, made.threads) == (2, 8)
    assert made.credentials == Path("data/credentials.json")
    assert made.region == "us-east-1"
    assert (made.block_size, made.min_part_size, made.max_put_size) == (2**20, 5 * 2**20, 5 * 2**30)
    assert (made.header_timeout, made.idle_timeout, made.request_timeout) == (10, 60, 0)
    assert (made.keepalive, made.graceful_timeout) == (20, 90)
    assert (made.log_format, made.log_level) == ("logfmt", "info")
    assert (made.behind_proxy, made.allow_root) == (False, False)
    assert (made.access_key, made.secret_key) == (None, None)


def test_flag_wins_over_environment_wins_over_default() -> None:
    environ = {"S3SHIM_WORKERS": "3", "S3SHIM_THREADS": "5", "HOME": "/"}
    made = load(["--workers", "4"], environ)
    assert (made.workers, made.threads, made.region) == (4, 5, "us-east-1")


def test_credentials_lie_in_the_data_directory_unless_named() -> None:
    assert load(["--data", "/srv/x"], {}).credentials == Path("/srv/x/credentials.json")
    assert load(["--data", "/srv/x", "--credentials", "/etc/k"], {}).credentials == Path("/etc/k")


@pytest.mark.parametrize(
    "setting",
    [s for s in config.SETTINGS if s.default is not None and "local" in (s.backends or ("local",))],
    ids=lambda s: s.name,
)
def test_every_default_is_a_value_that_flag_and_environment_take(setting: config.Setting) -> None:
    default = getattr(load([], {}), setting.name)
    assert getattr(load([], {setting.variable: str(setting.default)}), setting.name) == default
    if default not in (True, False):
        assert getattr(load([setting.option, str(setting.default)], {}), setting.name) == default


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("16384", 16384), ("64KiB", 65536), ("64 KiB", 65536), ("1MiB", 2**20), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert load(["--inline-max", text], {}).inline_max == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("0.0.0.0:5222", Address("0.0.0.0", 5222)),
    ],
)
def test_listen(text: str, address: Address) -> None:
    for flag in ("--listen", "-listen"):
        made = load([flag, text], {})
        assert made.listen == address
        assert str(made.listen) == text
    assert load([f"-listen={text}"], {}).listen == address


def test_a_port_alone_is_every_address() -> None:
    assert load(["--listen", ":5222"], {}).listen == Address("0.0.0.0", 5222)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("listen", "9000"),
        ("listen", ":"),
        ("listen", ":99999"),
        ("listen", "127.0.0.1:65536"),
        ("listen", "::1:9000"),
        ("listen", "127.0.0.1:9000\n"),
        ("workers", "0"),
        ("workers", "-1"),
        ("workers", "1_0"),
        ("workers", "\u0661"),
        ("threads", "257"),
        ("inline-max", "1KB"),
        ("inline-max", "2MiB"),
        ("inline-max", ""),
        ("block-size", "5000"),
        ("block-size", "2KiB"),
        ("max-put-size", "1e3"),
        ("region", "US EAST"),
        ("log-format", "xml"),
        ("log-level", "loud"),
        ("header-timeout", "0"),
        ("idle-timeout", "inf"),
        ("request-timeout", "-1"),
        ("keepalive", "1.5"),
        ("frame-options", "ALLOW"),
        ("data", ""),
    ],
)
def test_a_bad_value_is_refused_and_named(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^--{name} ") as refused:
        load([f"--{name}={text}"], {})
    assert "\n" not in str(refused.value)
    variable = "S3SHIM_" + name.upper().replace("-", "_")
    with pytest.raises(ConfigError, match=f"^{variable} "):
        load([], {variable: text})


def test_a_bad_switch_is_refused() -> None:
    assert load([], {"S3SHIM_BEHIND_PROXY": "yes"}).behind_proxy
    assert not load([], {"S3SHIM_BEHIND_PROXY": "0"}).behind_proxy
    assert load(["--behind-proxy"], {"S3SHIM_BEHIND_PROXY": "0"}).behind_proxy
    with pytest.raises(ConfigError, match="S3SHIM_BEHIND_PROXY"):
        load([], {"S3SHIM_BEHIND_PROXY": "maybe"})


def test_warn_is_warning() -> None:
    assert load(["--log-level", "warn"], {}).log_level == "warning"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="S3SHIM_WORKER in the environment"):
        load([], {"S3SHIM_WORKER": "3"})
    with pytest.raises(ConfigError, match="--worker"):
        load(["--worker", "3"], {})
    with pytest.raises(ConfigError, match="extra"):
        load(["extra"], {})


def test_the_key_pair_comes_together_and_only_from_the_environment() -> None:
    made = load([], {"S3SHIM_ACCESS_KEY": "abc", "S3SHIM_SECRET_KEY": "12345678"})
    assert (made.access_key, made.secret_key) == ("abc", "12345678")
    for alone in ({"S3SHIM_ACCESS_KEY": "abc"}, {"S3SHIM_SECRET_KEY": "12345678"}):
        with pytest.raises(ConfigError, match="together"):
            load([], alone)
    with pytest.raises(ConfigError, match="--secret-key"):
        load(["--secret-key", "12345678"], {})


@pytest.mark.parametrize(
    ("access_key", "secret_key"),
    [("ab", "12345678"), ("a=b", "12345678"), ("a,b", "12345678"), ("a/b", "12345678"), ("abc", "Geheim7"),
     ("abc", "Geheimnis\n"), ("abc", "")],
)  # fmt: skip
def test_a_bad_key_pair_is_refused_without_showing_it(access_key: str, secret_key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load([], {"S3SHIM_ACCESS_KEY": access_key, "S3SHIM_SECRET_KEY": secret_key})
    assert "Geheim" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_document_has_a_row_for_every_setting() -> None:
    rows = [line for line in config.document().splitlines() if "`S3SHIM_" in line]
    assert len(rows) == len(config.SETTINGS)
    for row, setting in zip(rows, config.SETTINGS, strict=True):
        assert f"`{setting.variable}`" in row
        assert (f"`{setting.option}`" in row) == setting.flag
    assert [title for title in config.SECTIONS if title and f"### {title}\n" not in config.document()] == []


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load(["--help"], {})
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(setting.option in shown for setting in config.SETTINGS if setting.flag)


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help_ends_with_0(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load([flag], {})
    assert left.value.code == 0
    assert "--backend" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["-v", "--version", "-version"])
def test_the_version_ends_with_0(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load([flag], {})
    assert left.value.code == 0
    assert capsys.readouterr().out == f"s3shim {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nats-pasword", "Geheimnis"],
        ["--nats-pasword=Geheimnis"],
        ["-natsPasword", "Geheimnis"],
        ["--x", "Geheimnis"],
    ],
)
def test_an_unknown_flag_is_named_without_its_value(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        load(arguments, {})
    assert str(refused.value) == f"unknown argument {arguments[0].partition('=')[0]}"


def test_the_record_does_not_show_its_secret() -> None:
    made = load([], {"S3SHIM_ACCESS_KEY": "abc", "S3SHIM_SECRET_KEY": "Geheimnis"})
    assert "Geheimnis" not in repr(made)
