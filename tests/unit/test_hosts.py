"""What a client has addressed, seen through proxies."""

from __future__ import annotations

import pytest

from s3shim.config import ConfigError, load
from s3shim.errors import S3Error
from s3shim.wire.hosts import Proxies, Seen

PROXY = "10.0.0.7"
DOMAINS = ("s3.example.com",)


def made(external: str = "", trusted: str = "") -> Proxies:
    flags = [*(["--external-url", external] if external else [])]
    flags += ["--trusted-proxies", trusted] if trusted else []
    config = load(flags, {})
    return Proxies(config.external_url, config.trusted_proxies)


def seen(
    proxies: Proxies, peer: str = PROXY, arrived: str = "up:9000", path: str = "/b/k", **headers: str
) -> tuple[str, str, str]:
    sent = {f"x-forwarded-{name}": value for name, value in headers.items()}
    return tuple(proxies.seen(peer, sent.get, "http", arrived, path, DOMAINS))


@pytest.mark.parametrize(
    ("url", "host", "path", "wanted"),
    [
        ("https://s3.example.com", "up:9000", "/b/k", ("https", "s3.example.com", "/b/k")),
        ("https://s3.example.com/", "up:9000", "/", ("https", "s3.example.com", "/")),
        ("http://s3.example.com:8080", "s3.example.com", "/b/k", ("http", "s3.example.com:8080", "/b/k")),
        ("https://x.org/store", "up", "/b/k%2F+", ("https", "x.org", "/store/b/k%2F+")),
        ("https://x.org/store", "up", "/store/k", ("https", "x.org", "/store/store/k")),
        ("https://x.org/store", "up", "/", ("https", "x.org", "/store")),
        ("https://x.org/store/", "up", "/", ("https", "x.org", "/store/")),
        ("https://x.org/store/", "up", "//k", ("https", "x.org", "/store//k")),
        ("https://x.org/a/b%C3%A4", "up", "/b/", ("https", "x.org", "/a/b%C3%A4/b/")),
        # A bucket named by the host keeps its name and is not below the prefix; the port is the outer one.
        ("https://x.org:8443/store", "B.s3.example.com", "/k", ("https", "B.s3.example.com:8443", "/k")),
        ("https://x.org", "b.s3.example.com:9000", "/k", ("https", "b.s3.example.com", "/k")),
        ("https://[::1]:8443", "b.s3.example.com:9000", "/k", ("https", "b.s3.example.com:8443", "/k")),
        ("https://[::1]", "b.s3.example.com:9000", "/k", ("https", "b.s3.example.com", "/k")),
    ],
)
def test_the_external_url(url: str, host: str, path: str, wanted: tuple[str, str, str]) -> None:
    assert seen(made(url), arrived=host, path=path) == wanted
    assert seen(made(url, PROXY), arrived=host, path=path) == wanted
    # Who is not a trusted proxy where there are some comes directly.
    assert seen(made(url, PROXY), "10.0.0.8", arrived=host, path=path) == ("http", host, path)


def test_headers_of_a_trusted_proxy() -> None:
    proxies = made(trusted="10.0.0.0/24")
    assert seen(proxies) == Seen("http", "up:9000", "/b/k")
    headers = {"host": "s3.example.com:8443", "proto": "https", "prefix": "/"}
    assert seen(proxies, **headers) == ("https", "s3.example.com:8443", "/b/k")
    assert seen(proxies, "10.0.1.7", **headers) == ("http", "up:9000", "/b/k")
    assert seen(proxies, host="spoofed, s3.example.com")[1] == "s3.example.com"


def test_headers_win_over_the_external_url() -> None:
    proxies = made("https://x.org/store", PROXY)
    assert seen(proxies, arrived="up") == ("https", "x.org", "/store/b/k")
    assert seen(proxies, prefix="/store/") == ("https", "x.org", "/store/b/k")
    assert seen(proxies, proto="http") == ("http", "x.org", "/store/b/k")
    # The prefix belongs to the host of the URL.
    assert seen(proxies, host="y") == ("https", "y", "/b/k")
    assert seen(proxies, host="x.org") == ("https", "x.org", "/store/b/k")
    assert seen(proxies, "10.0.0.8", arrived="x.org") == ("http", "x.org", "/store/b/k")
    assert seen(proxies, "10.0.0.8", arrived="X.org") == ("http", "X.org", "/b/k")


def test_without_trusted_proxies_no_header_counts() -> None:
    headers = {"host": "y", "proto": "http", "prefix": "/p", "for": "1.2.3.4"}
    assert seen(made("https://x.org/store"), **headers) == ("https", "x.org", "/store/b/k")
    assert made("https://x.org").remote_ip(PROXY, {"x-forwarded-for": "1.2.3.4"}.get) == PROXY


@pytest.mark.parametrize(
    ("name", "value"),
    [("host", "a b"), ("host", "a/b"), ("prefix", "store"), ("prefix", "/a/../b"), ("prefix", "/a?b"),
     ("prefix", "/a//b"), ("prefix", "/%zz"),
        ("prefix", "/not-that-of-the-url"), ("prefix", "/not-of-the-url"), ("proto", "ftp")],
)  # fmt: skip
def test_bad_headers_of_a_trusted_proxy_are_refused(name: str, value: str) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        seen(made(trusted=PROXY), **{name: value})
    assert seen(made(trusted="10.0.0.8"), **{name: value}) == ("http", "up:9000", "/b/k")


@pytest.mark.parametrize(
    ("peer", "forwarded", "wanted"),
    [
        (PROXY, None, PROXY),
        (PROXY, "", PROXY),
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (PROXY, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (PROXY, "1.1.1.1, 203.0.113.9, 10.0.0.9,fd00::1", "203.0.113.9"),
        (PROXY, "10.0.0.5, 10.0.0.6", "10.0.0.5"),
        (PROXY, "203.0.113.9:4711", "203.0.113.9"),
        (PROXY, "[2001:db8::1]:4711", "2001:db8::1"),
        (PROXY, "[2001:db8::1]", "2001:db8::1"),
        (PROXY, "::ffff:203.0.113.9", "203.0.113.9"),
        # What is no address ends the chain of those who can be believed.
        (PROXY, "1.1.1.1, unknown", PROXY),
        (PROXY, "1.1.1.1, unknown, 10.0.0.9", "10.0.0.9"),
        (PROXY, "1.1.1.1, 010.0.0.1", PROXY),
        ("::ffff:10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("", "203.0.113.9", ""),
    ],
)
def test_the_address_of_the_client(peer: str, forwarded: str | None, wanted: str) -> None:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert made(trusted="10.0.0.0/24, fd00::/8").remote_ip(peer, headers.get) == wanted


def test_a_unix_socket_is_trusted_only_by_name() -> None:
    get = {"x-forwarded-for": "203.0.113.9"}.get
    assert made(trusted="unix").remote_ip("", get) == "203.0.113.9"
    assert made(trusted="0.0.0.0/0,::/0").remote_ip("", get) == ""
    assert made(trusted="unix").remote_ip("127.0.0.1", get) == "127.0.0.1"


def test_the_external_url_is_not_that_of_a_bucket() -> None:
    with pytest.raises(ConfigError, match="S3SHIM_EXTERNAL_URL is the URL of a bucket"):
        load(["--external-url", "https://s3.example.com/", "--domains", "example.com"], {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("external-url", "s3.example.com"),
        ("external-url", "ftp://s3.example.com"),
        ("external-url", "https://"),
        ("external-url", "https://user@x"),
        ("external-url", "https://x/a?b"),
        ("external-url", "https://x/a#b"),
        ("external-url", "https://x/a/../b"),
        ("external-url", "https://x//a"),
        ("trusted-proxies", ""),
        ("trusted-proxies", "nginx"),
        ("trusted-proxies", "10.0.0.1/24"),
        ("trusted-proxies", "10.0.0.0/33"),
        ("trusted-proxies", "*"),
    ],
)
def test_bad_settings(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--{name} .*: must be "):
        load([f"--{name}", text], {})
