"""The table of settings: flags, environment names and the documentation all come from it.

A flag ``--x-y`` is ``S3SHIM_X_Y`` in the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from s3shim.config import addresses, parsers
from s3shim.config.record import LOCAL, NATS, S3
from s3shim.wire.hosts import parse_external_url, parse_trusted

PREFIX = "S3SHIM_"

_REFERRER_POLICIES = (
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
)


@dataclass(slots=True, frozen=True)
class Setting:
    """One row of the table. ``default`` is text as a person would write it; None is "not set".

    ``backends`` are the storages that it means something for, none for all. The text of one that is
    ``secret`` is never shown.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str
    flag: bool = True
    backends: tuple[str, ...] = ()
    secret: bool = False

    @property
    def option(self) -> str:
        """The flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment name."""
        return PREFIX + self.name.upper()

    @property
    def is_switch(self) -> bool:
        """Whether the flag takes no value."""
        return self.parse is parsers.switch


_COMMON = (
    Setting("backend", parsers.choice(LOCAL, NATS, S3), LOCAL, "the storage: local, nats or s3"),
    Setting("data", parsers.path, "./data", "the directory that holds everything"),
    Setting(
        "listen",
        parsers.listen,
        "127.0.0.1:9000",
        "HOST:PORT, [IPV6]:PORT, or :PORT for every IPv4 address; port 0 takes a free one",
    ),
    Setting("workers", parsers.count(1, 256), "2", "processes that serve requests"),
    Setting("threads", parsers.count(1, 256), "8", "requests at once in each of them"),
    Setting("credentials", parsers.path, None, "JSON file of access keys; default DATA/credentials.json"),
    Setting(
        "region", parsers.region, "us-east-1", "region of the buckets; any accepts every one in a signature"
    ),
    Setting(
        "domains", parsers.domains, None, "host names NAME for which BUCKET.NAME is the bucket, by commas"
    ),
    Setting(
        "external_url",
        parse_external_url,
        None,
        "URL under which clients reach the service through a proxy that changes Host or takes a prefix away",
    ),
    Setting(
        "trusted_proxies",
        parse_trusted,
        None,
        "addresses and networks, by commas, whose X-Forwarded-* headers are believed; unix for a Unix socket",
    ),
    Setting(
        "min_part_size",
        parsers.size(1, 5 * 2**30),
        "5MiB",
        "smallest part of a multipart upload but the last",
    ),
    Setting("max_put_size", parsers.size(1, 5 * 2**40), "5GiB", "largest object in a single request"),
    Setting(
        "upload_expiry",
        parsers.count(0, 10**9),
        "604800",
        "seconds until an abandoned multipart upload is aborted; 0 is never",
    ),
    Setting(
        "meta_header_case",
        parsers.choice("lower", "title"),
        "lower",
        "x-amz-meta-* of answers in lower case, or title for X-Amz-Meta-*",
    ),
    Setting("log_format", parsers.choice("logfmt", "json"), "logfmt", "logfmt or json, to standard error"),
    Setting(
        "log_level",
        parsers.choice("debug", "info", "warning", "error", warn="warning"),
        "info",
        "debug, info, warning or error",
    ),
    Setting(
        "metrics_endpoint",
        parsers.either,
        "on",
        "whether GET /metrics without credentials is answered with metrics: on or off",
    ),
    Setting(
        "stats_endpoint",
        parsers.switch,
        "false",
        "answer GET /stats without credentials with the state of the service in JSON",
    ),
    Setting("header_timeout", parsers.seconds(0.1), "10", "seconds for a request head, from its first byte"),
    Setting(
        "idle_timeout", parsers.seconds(0.1), "60", "seconds without a byte moving in a body or an answer"
    ),
    Setting("body_timeout", parsers.seconds(0), "0", "seconds for a whole body to come; 0 is no limit"),
    Setting("request_timeout", parsers.seconds(0), "0", "seconds for a whole request; 0 is no limit"),
    Setting(
        "min_body_rate",
        parsers.count(0, 10**9),
        "1024",
        "bytes per second, on the whole, that a body must come with after 30 seconds; 0 is no limit",
    ),
    Setting("connections", parsers.count(1, 10**6), "8192", "open connections of each worker, idle ones too"),
    Setting("keepalive", parsers.count(0, 86400), "20", "seconds to keep a connection without a request"),
    Setting("graceful_timeout", parsers.count(0, 86400), "90", "seconds that running requests get at a stop"),
    Setting(
        "behind_proxy", parsers.switch, "false", "a proxy in front speaks TLS: no warning about plain HTTP"
    ),
    Setting(
        "tls_cert", parsers.path, None, "PEM file of the certificate and its chain: HTTPS; needs the key"
    ),
    Setting(
        "tls_key", parsers.path, None, "PEM file of the certificate's key; both are read again at SIGHUP"
    ),
    Setting("allow_root", parsers.switch, "false", "run as root without a warning"),
    Setting(
        "open_access",
        parsers.switch,
        "false",
        "let everybody read, change and delete everything, without keys: for a network of its own",
    ),
    Setting("server_header", parsers.header, "s3shim", "Server on every answer"),
    Setting("frame_options", parsers.choice("DENY", "SAMEORIGIN"), None, "X-Frame-Options on every answer"),
    Setting("referrer_policy", parsers.choice(*_REFERRER_POLICIES), None, "Referrer-Policy on every answer"),
    Setting(
        "access_key",
        parsers.access_key,
        None,
        "fixes the access key; needs the secret",
        flag=False,
        secret=True,
    ),
    Setting(
        "secret_key",
        parsers.secret_key,
        None,
        "fixes the secret key; needs the access key",
        flag=False,
        secret=True,
    ),
)

_LOCAL = (
    Setting("inline_max", parsers.size(0, 2**20), "64KiB", "largest object that is kept in the index itself"),
    Setting("block_size", parsers.block_size, "1MiB", "bytes under one checksum, verified on each read"),
    Setting(
        "grace", parsers.count(0, 10**8), "3600", "seconds until the files of what was replaced are unlinked"
    ),
    Setting(
        "allow_unsafe_filesystem",
        parsers.switch,
        "false",
        "serve from a network file system or FUSE, which may lose what was acknowledged",
    ),
)

_FAR = (Setting("account", parsers.account, "default", "account of buckets that do not say whose they are"),)

_NATS_SERVERS = (
    Setting(
        "nats_servers",
        addresses.servers,
        "nats://127.0.0.1:4222",
        "NATS servers, by commas; tls://HOST demands TLS",
        secret=True,
    ),
    Setting("nats_user", parsers.secret(256), None, "user of the login; needs the password", secret=True),
    Setting("nats_password", parsers.secret(1024), None, "password of the login", secret=True),
    Setting("nats_token", parsers.secret(1024), None, "token of the login", secret=True),
    Setting("nats_nkey", parsers.path, None, "file with the seed of an NKey"),
    Setting("nats_creds", parsers.path, None, "file with a JWT and the seed of its NKey"),
    Setting(
        "nats_tls_ca", parsers.path, None, "PEM file of the authorities that sign the servers' certificates"
    ),
    Setting(
        "nats_tls_cert", parsers.path, None, "PEM file of our certificate for the servers; needs the key"
    ),
    Setting("nats_tls_key", parsers.path, None, "PEM file of that certificate's key"),
    Setting("nats_tls_server_name", parsers.host_name, None, "host name in the servers' certificates"),
    Setting("nats_domain", addresses.domain, None, "JetStream domain"),
    Setting("nats_api_prefix", addresses.api_prefix, None, "prefix of JetStream's API, in place of a domain"),
    Setting("nats_replicas", parsers.count(1, 5), "1", "servers that keep each new bucket, or the leases"),
    Setting("nats_timeout", parsers.seconds(0.1), "5", "seconds to wait for an answer of a server"),
)

_NATS = (
    Setting(
        "nats_monitor",
        addresses.monitor,
        None,
        "URL of a server's monitor, which tells whether its writes are durable",
    ),
    Setting("nats_grace", parsers.count(0, 10**8), "60", "seconds until what was replaced is purged"),
    Setting(
        "embedded_nats",
        parsers.path,
        None,
        "run a NATS server of our own with its store in this directory; needs s3shim[embedded-nats]",
    ),
)

_UPSTREAM = (
    Setting(
        "upstream_endpoint",
        addresses.endpoint,
        None,
        "URL of the S3 behind; its scheme decides on TLS",
        secret=True,
    ),
    Setting(
        "upstream_access_key",
        parsers.secret(256),
        None,
        "access key at the S3 behind; needs the secret",
        secret=True,
    ),
    Setting("upstream_secret_key", parsers.secret(1024), None, "secret key at the S3 behind", secret=True),
    Setting(
        "upstream_session_token", parsers.secret(16384), None, "session token of that key pair", secret=True
    ),
    Setting(
        "upstream_credentials", parsers.path, None, "file with that key pair, read again when it changes"
    ),
    Setting(
        "upstream_profile", parsers.header, None, "profile of the AWS configuration that has the key pair"
    ),
    Setting("upstream_region", parsers.upstream_region, "us-east-1", "region that requests are signed for"),
    Setting(
        "upstream_addressing",
        parsers.choice("path", "virtual"),
        "path",
        "whether the bucket is in the path or in the host name",
    ),
    Setting("upstream_ca", parsers.path, None, "PEM file of the authorities that sign its certificate"),
    Setting("upstream_bucket", addresses.bucket, None, "one bucket that holds all of ours, as prefixes"),
    Setting(
        "upstream_records",
        addresses.bucket,
        "s3shim-records",
        "bucket there for what we keep of our own, where each of our buckets is one",
    ),
    Setting("upstream_prefix", addresses.key_prefix, None, "what all keys begin with there"),
    Setting(
        "upstream_dialect",
        parsers.choice("auto", "garage", "minio", "aws", "ceph", "moto", "s3shim", "generic"),
        "auto",
        "what the S3 behind can do; auto asks it",
    ),
    Setting("upstream_connections", parsers.count(1, 1024), "32", "open connections of each worker to it"),
    Setting("upstream_connect_timeout", parsers.seconds(0.1), "3", "seconds to connect"),
    Setting("upstream_first_byte_timeout", parsers.seconds(0.1), "30", "seconds until an answer begins"),
    Setting("upstream_idle_timeout", parsers.seconds(0.1), "60", "seconds without a byte moving"),
    Setting(
        "upstream_deadline", parsers.seconds(0.1), "60", "seconds in all until a request is not tried again"
    ),
    Setting("upstream_attempts", parsers.count(1, 10), "4", "times that a request is tried"),
    Setting(
        "upstream_block_size",
        parsers.block_size,
        "1MiB",
        "largest body that is sent in one request that can be repeated",
    ),
    Setting(
        "upstream_leases",
        parsers.switch,
        "false",
        "keep writers on several machines out of each other's way, by leases at --nats-servers",
    ),
    Setting(
        "upstream_lease_time",
        parsers.seconds(1),
        "5",
        "seconds that a gateway may pause; a lease of one that died is in the way for twice as long",
    ),
)


def _of(backends: tuple[str, ...], rows: tuple[Setting, ...]) -> tuple[Setting, ...]:
    return tuple(replace(row, backends=backends) for row in rows)


SECTIONS = {
    "": _COMMON,
    "The local storage": _of((LOCAL,), _LOCAL),
    "NATS and another S3": _of((NATS, S3), _FAR),
    "The servers of NATS, for the storage or for --upstream-leases": _of((NATS, S3), _NATS_SERVERS),
    "NATS": _of((NATS,), _NATS),
    "Another S3": _of((S3,), _UPSTREAM),
}
"""The settings by the title under which they are shown."""

SETTINGS = tuple(setting for rows in SECTIONS.values() for setting in rows)


def document() -> str:
    """Return the settings as Markdown, a table for each title."""
    return "\n".join(_section(title, rows) for title, rows in SECTIONS.items())


def _section(title: str, rows: tuple[Setting, ...]) -> str:
    lines = [f"### {title}", ""] if title else []
    lines += ["| Flag | Environment | Default | Meaning |", "|---|---|---|---|"]
    for row in rows:
        flag = f"`{row.option}`" if row.flag else ""
        default = "" if row.default is None else f"`{row.default}`"
        lines.append(f"| {flag} | `{row.variable}` | {default} | {row.help} |")
    return "\n".join(lines) + "\n"
