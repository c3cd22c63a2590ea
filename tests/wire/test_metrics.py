"""What the service tells of itself to whoever asks without credentials: /metrics and /stats."""

import json
import re

import pytest

from s3shim import __version__
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.measures import Across, Durability, Histogram, Kind, Measure
from s3shim.wsgi import create_app

TEXT = f"""\
# HELP s3shim_build_info The version and the storage of the service; always 1.
# TYPE s3shim_build_info gauge
s3shim_build_info{{backend="local",version="{__version__}"}} 1.0
# HELP process_start_time_seconds When the service began, in seconds since 1970.
# TYPE process_start_time_seconds gauge
process_start_time_seconds TIME
# HELP s3shim_workers Processes that serve requests.
# TYPE s3shim_workers gauge
s3shim_workers 1.0
# HELP s3shim_requests_total Requests that were answered.
# TYPE s3shim_requests_total counter
s3shim_requests_total{{operation="CreateBucket",status="200"}} 1.0
s3shim_requests_total{{operation="GetObject",status="404"}} 2.0
s3shim_requests_total{{operation="Livez",status="200"}} 1.0
"""

MEASURED = """\
# HELP nats_objectstore_buckets_total Buckets.
# TYPE nats_objectstore_buckets_total gauge
nats_objectstore_buckets_total 2.0
# HELP nats_client_state State.
# TYPE nats_client_state gauge
nats_client_state 1.0
# HELP nats_client_reconnects_total Reconnects.
# TYPE nats_client_reconnects_total counter
nats_client_reconnects_total 7.0
# HELP lag_seconds Lag.
# TYPE lag_seconds histogram
lag_seconds_bucket{le="0.5"} 1.0
lag_seconds_bucket{le="1.0"} 1.0
lag_seconds_bucket{le="+Inf"} 2.0
lag_seconds_count 2.0
lag_seconds_sum 2.5
"""


class Measured(MemoryBackend):
    """A storage that measures what the NATS storage does."""

    number: int | None = 2

    def measures(self):
        """See Backend."""
        lag = Histogram((0.5, 1.0))
        lag.observe(0.5)
        lag.observe(2.0)
        return [
            Measure.of("nats_objectstore_buckets_total", "Buckets.", Kind.GAUGE, self.number, Across.ANY),
            Measure.of("nats_client_state", "State.", Kind.GAUGE, 1, Across.LEAST),
            Measure.of("nats_client_reconnects_total", "Reconnects.", Kind.COUNTER, 7),
            Measure("lag_seconds", "Lag.", Kind.HISTOGRAM, {(): lag.numbers}, bounds=lag.bounds),
            Measure.of("unknown", "Unknown.", Kind.GAUGE, None),
        ]

    def durability(self):
        """See Backend."""
        return Durability.DELAYED


@pytest.fixture
def make(credentials_file, tmp_path, signed):
    """Make a client of a service with these flags on a storage of its own."""

    def made(*flags, backend=None):
        config = load(["--data", str(tmp_path), "--credentials", str(credentials_file), *flags], {})
        return signed(create_app(config, backend or MemoryBackend()))

    return made


def text(answer):
    """Return the body with the one number that differs from run to run replaced."""
    body = answer.body.decode()
    assert 1.7e9 < float(re.search(r"^process_start_time_seconds (.*)$", body, re.MULTILINE)[1]) < 1e10
    return re.sub(r"^(process_start_time_seconds) .*$", r"\1 TIME", body, flags=re.MULTILINE)


def test_metrics_exactly(make):
    client = make()
    client.request("PUT", "/a-bucket")
    client.request("GET", "/a-bucket/k")
    client.request("GET", "/a-bucket/k")
    client.request("GET", "/livez", sign=False)
    answer = client.request("GET", "/metrics", sign=False)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert text(answer) == TEXT
    again = client.request("GET", "/metrics", sign=False)
    assert text(again) == TEXT + 's3shim_requests_total{operation="Metrics",status="200"} 1.0\n'


def test_measures_of_the_storage_exactly(make):
    answer = make(backend=Measured()).request("GET", "/metrics", sign=False)
    assert answer.body.decode().endswith("s3shim_workers 1.0\n" + MEASURED)


def test_openmetrics_where_it_is_accepted(make):
    client = make(backend=Measured())
    client.request("GET", "/livez", sign=False)
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3"
    answer = client.request("GET", "/metrics", {"Accept": accept}, sign=False)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    body = answer.body.decode()
    assert (
        '# TYPE s3shim_requests counter\ns3shim_requests_total{operation="Livez",status="200"} 1.0\n' in body
    )
    assert "# TYPE nats_objectstore_buckets_total gauge\nnats_objectstore_buckets_total 2.0\n" in body
    assert body.endswith("lag_seconds_sum 2.5\n# EOF\n")


def test_an_accept_that_nobody_means_is_no_fault(make):
    client = make()
    for accept in ("", "*/*", "text/html;q=x", "application/openmetrics-text;version=y", ";,;", "a" * 4000):
        answer = client.request("GET", "/metrics", {"Accept": accept}, sign=False)
        assert answer.status == 200
        assert b"s3shim_workers 1.0\n" in answer.body


@pytest.mark.parametrize("path", ["/metrics", "/stats"])
def test_only_unsigned_reads_of_the_exact_path(make, path):
    client = make("--stats-endpoint")
    head = client.request("HEAD", path, sign=False)
    assert (head.status, head.body) == (200, b"")
    for method in ("PUT", "DELETE"):
        assert client.request(method, path, sign=False).code == "AccessDenied"
    for target in (f"{path}/", f"{path}/x", path.upper().replace("/", "/a-")):
        assert client.request("GET", target, sign=False).status in (400, 403)
    assert client.request("GET", path).code == "NoSuchBucket"
    assert client.request("PUT", path).status == 200
    assert client.request("PUT", f"{path}/k", body=b"x").status == 200
    assert client.request("GET", f"{path}/k").body == b"x"
    assert client.request("GET", path).xml().findtext("{*}Name") == path[1:]
    assert client.request("GET", path, sign=False).headers["content-type"] != "application/xml"


@pytest.mark.parametrize(
    ("flags", "metrics", "stats"),
    [
        ([], 200, 403),
        (["--metrics-endpoint", "off"], 403, 403),
        (["--metrics-endpoint", "on", "--stats-endpoint"], 200, 200),
        (["--metrics-endpoint", "off", "--stats-endpoint"], 403, 200),
    ],
)
def test_switches(make, flags, metrics, stats):
    client = make(*flags)
    for path, status in (("/metrics", metrics), ("/stats", stats)):
        answer = client.request("GET", path, sign=False)
        assert answer.status == status
        assert answer.code == (None if status == 200 else "AccessDenied")


def test_stats_exactly(make):
    answer = make("--stats-endpoint").request("GET", "/stats", sign=False)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.body)
    assert 0 <= told.pop("uptime_seconds") < 10**6
    assert told == {"version": __version__, "backend": "local", "durability": "unknown"}


def test_stats_of_a_storage_in_nats(make):
    backend = Measured()
    client = make("--stats-endpoint", backend=backend)
    told = json.loads(client.request("GET", "/stats", sign=False).body)
    assert isinstance(told.pop("uptime_seconds"), int)
    assert told == {
        "version": __version__,
        "backend": "local",
        "durability": "delayed",
        "nats_connected": True,
        "nats_reconnects": 7,
        "objectstore_buckets": 2,
    }
    backend.number = None
    assert json.loads(client.request("GET", "/stats", sign=False).body)["objectstore_buckets"] is None
