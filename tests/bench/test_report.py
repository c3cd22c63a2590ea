"""What the benchmark says of its measurements."""

import json
from xml.etree import ElementTree

import pytest

from bench import document, report
from bench.growth import run
from bench.growth.points import Growth, Point
from bench.plots.bars import bars
from bench.plots.svg import Log, short
from bench.results import Calls, Results, Sample, Spread, spread

MACHINE = {"kernel": "Linux 6", "processor": "a CPU", "cores": "2", "memory": "4 GiB", "python": "3.11.7"}
SVG = "{http://www.w3.org/2000/svg}"


def sample(server, number, cost, errors=0):
    return Sample(
        server,
        number,
        "get-4k",
        100,
        errors,
        "wrong <bytes>" if errors else "",
        10.0,
        1.0,
        2.0,
        5.0,
        cost,
        7.0,
    )


@pytest.fixture
def results():
    found = Results("2026-01-02", MACHINE, 3, durable_writes=[400.0, 500.0, 450.0])
    for number, cost in enumerate((300.0, 100.0, 200.0), 1):
        found.samples += [sample("s3shim", number, cost), sample("quick", number, cost / 4)]
        found.samples.append(sample("wrong", number, 1.0, errors=number))
    found.versions = {"s3shim": "abc", "quick": "1.0", "wrong": "2.0"}
    found.memory = {"s3shim": [90 << 20]}
    found.calls = {"s3shim": {"put-4k": Calls(20.0, 0.5, {}), "get-4k": Calls(12.5, 0.0, {})}}
    found.damaged = {"s3shim": "refused"}
    return found


def test_a_spread_is_the_median_and_the_ends():
    assert spread([3.0, None, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([None]) is None


def test_the_page_tells_where_others_are_better_and_leaves_out_wrong_answers(results):
    text = report.markdown(results)
    assert (
        "Its processor time is more than another server's, by this factor:\n\n* get 4 KiB: quick 4.0\n"
        in text
    )
    assert "Another server does more operations per second, by this factor:\n\nIn no row.\n" in text
    assert "| get 4 KiB | 200 (100-300) | 50.0 (25.0-75.0) | wrong answers |" in text
    assert "* wrong, get 4 KiB: 6 wrong answers, the first: `wrong <bytes>`" in text
    assert "| s3shim | abc |  | yes | refused | 90.0 |" in text
    assert "| get 4 KiB | 12.5 / 0.00 | - | - |" in text
    assert "450 (400-500) durable writes of 4 KiB" in text


def test_the_terminal_shows_each_server_and_its_errors(results):
    lines = [line.split() for line in report.terminal(results).splitlines()]
    assert ["quick", "50.0", "(25.0-75.0)", "10.0", "1.00", "2.00", "0"] in lines
    assert ["wrong", "1.00", "10.0", "1.00", "2.00", "6", "wrong", "<bytes>"] in lines


def test_the_results_are_written_whole(results, tmp_path):
    results.write(tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert len(kept["samples"]) == 9
    assert kept["calls"]["s3shim"]["put-4k"] == {"every": 20.0, "syncs": 0.5, "names": {}}


def test_bars_are_as_long_as_their_figures(results):
    root = ElementTree.fromstring(bars(results, "cpu_us", "A <title>"))
    widths = [
        float(bar.get("width")) for bar in root.iter(f"{SVG}rect") if bar.get("class") in ("s0", "peer")
    ]
    # The scale goes from 10 to 1,000, and quick needs a quarter; what is wrong has no bar.
    assert len(widths) == 2
    full = (widths[0] - widths[1]) / 0.30103
    assert widths[0] == pytest.approx(0.65051 * full, rel=0.01)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "A <title>" in texts
    assert "no figure, or wrong answers" in texts


def test_a_scale_ends_at_powers_of_ten():
    scale = Log.over([12.0, 340.0], 0.0, 200.0)
    assert scale.decades() == [10.0, 100.0, 1000.0]
    assert scale.at(100.0) == pytest.approx(100.0)
    assert [short(value) for value in (0.25, 35, 1234, 2_000_000)] == ["0.25", "35", "1.23k", "2M"]


def test_growth_has_a_plot_and_a_table_for_what_was_measured():
    growth = Growth("2026-01-02", MACHINE, "abc")
    for place, value in ((1000, 10.0), (1000, 14.0), (1000, 12.0), (10_000, 20.0)):
        growth.points.append(Point("objects", place, "get", "cpu_us", value))
    (one,) = run.plots(growth)
    assert one[0].name == "objects-cpu"
    root = ElementTree.fromstring(one[1])
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    assert "| 1k | 10k |\n|---|---|---|\n| get | 12 | 20 |" in run.markdown(growth)


def test_a_wrong_answer_ends_a_growth():
    with pytest.raises(RuntimeError, match="wrong <bytes>"):
        Growth("", MACHINE, "").add("objects", 1, "get", sample("objects", 1, 1.0, errors=1))


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- growth -->\nold\n<!-- /growth -->\nafter\n")
    document.write("growth", "new\n", [("plot", "<svg/>")], page)
    document.write("growth", "newer\n", [], page)
    assert page.read_text() == "before\n<!-- growth -->\nnewer\n<!-- /growth -->\nafter\n"
    assert (tmp_path / "page" / "plot.svg").read_text() == "<svg/>"
    with pytest.raises(ValueError, match="no marks"):
        document.replaced("text", "growth", "new")


def test_the_page_has_its_marks():
    text = document.PAGE.read_text()
    for mark in ("comparison", "growth"):
        assert document.replaced(text, mark, "x") != text
