"""What the comparison over Garage says: what a gateway adds to Garage's own of the same round."""

import pytest

from bench.garage import report
from bench.gateways.report import errors
from bench.gateways.rows import MEASURED
from bench.gateways.run import Comparison
from bench.results import Results, Sample, Spread

MACHINE = {
    "kernel": "Linux 6",
    "processor": "a CPU",
    "cores": "2",
    "memory": "4 GiB",
    "python": "3.11.7",
    "load": "0.5",
}
LARGE = next(row for row in MEASURED if row.name == "put-8m")


def sample(server, number, cpu, p50, ops, wrong=0):
    first = "status 500" if wrong else ""
    return Sample(server, number, "put-8m", 16, wrong, first, ops, p50, p50, 1.0, cpu, 0.0)


@pytest.fixture
def comparison():
    results = Results("2026-01-02", MACHINE, 2)
    results.samples = [
        sample("garage", 1, 100.0, 10.0, 10.0),
        sample("s3shim", 1, 130.0, 9.0, 9.0),
        sample("versitygw", 1, 300.0, 20.0, 5.0, wrong=3),
        sample("garage", 2, 200.0, 30.0, 20.0),
        sample("s3shim", 2, 210.0, 33.0, 20.0),
        sample("s3shim", 3, 9999.0, 99.0, 1.0),
    ]
    return Comparison(results, {"s3shim": {"put-8m": 50 << 20}})


def test_what_is_added_is_counted_round_by_round(comparison):
    results = comparison.results
    assert report.added(results, "s3shim", LARGE, "cpu_us") == Spread(20.0, 10.0, 30.0)
    assert report.added(results, "s3shim", LARGE, "p50_ms") == Spread(1.0, -1.0, 3.0)
    assert report.share(results, "s3shim", LARGE) == Spread(0.95, 0.9, 1.0)
    assert report.added(results, "nobody", LARGE, "cpu_us") is None


def test_a_wrong_answer_has_no_figure_and_is_told(comparison):
    text = report.markdown(comparison)
    line = next(line for line in text.splitlines() if line.startswith("| put 8 MiB"))
    assert line.count("wrong answers") == 3
    assert line.split(" | ")[1:3] == ["150 (100-200)", "20.0 (10.0-30.0)"]
    assert "* versitygw, put 8 MiB: 3 wrong answers, the first: `status 500`" in text
    comparison.results.failures["versitygw"] = "it does not listen"
    assert errors(comparison.results)[-1] == "versitygw did not finish: `it does not listen`"
