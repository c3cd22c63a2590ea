"""All subjects in turn, and the plots of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bench.growth import pages, subjects
from bench.growth.points import Growth, Plot
from bench.growth.subjects import Study
from bench.plots.svg import short

SUBJECTS: dict[str, Callable[[Study], None]] = {
    "clients": subjects.clients,
    "workers": subjects.workers,
    "sizes": subjects.sizes,
    "objects": subjects.objects,
    "nats": pages.pages,
}

_CPU = "processor time, microseconds per operation"
_OPS = "operations per second"
_P50, _P99 = "median latency, ms", "99th percentile, ms"
_IN_BUCKET = "objects in the bucket"
_AT_ONCE = "clients at the same time"
_PROCESSES = "workers, of 8 threads each, with 16 clients"
_BYTES = "bytes of the object"

PLOTS = (
    Plot("objects-cpu", "objects", "cpu_us", "What an operation costs in a growing bucket", _IN_BUCKET, _CPU),
    Plot("objects-p50", "objects", "p50_ms", "How long it takes in a growing bucket", _IN_BUCKET, _P50),
    Plot("objects-start", "objects", "seconds", "From the start to the first answer", _IN_BUCKET, "seconds"),
    Plot("objects-disk", "objects", "bytes_per_key", "Disk per object of 128 bytes", _IN_BUCKET, "bytes"),
    Plot(
        "objects-written", "objects", "written", "Bytes towards the disk", _IN_BUCKET, "bytes per operation"
    ),
    Plot("nats-cpu", "nats", "cpu_us", "A page of 1,000 keys over NATS", _IN_BUCKET, _CPU),
    Plot("nats-p99", "nats", "p99_ms", "A page of 1,000 keys over NATS", _IN_BUCKET, _P99),
    Plot("nats-requests", "nats", "requests", "A page over NATS", _IN_BUCKET, "requests to NATS"),
    Plot("clients-ops", "clients", "ops_per_s", "Objects of 4 KiB, more clients", _AT_ONCE, _OPS),
    Plot("clients-p99", "clients", "p99_ms", "Objects of 4 KiB, more clients", _AT_ONCE, _P99),
    Plot("clients-cpu", "clients", "cpu_us", "Objects of 4 KiB, more clients", _AT_ONCE, _CPU),
    Plot("workers-ops", "workers", "ops_per_s", "Objects of 4 KiB, more workers", _PROCESSES, _OPS),
    Plot("workers-cpu", "workers", "cpu_us", "Objects of 4 KiB, more workers", _PROCESSES, _CPU),
    Plot("sizes-cpu", "sizes", "cpu_us", "Larger and larger objects", _BYTES, _CPU),
    Plot("sizes-p50", "sizes", "p50_ms", "Larger and larger objects", _BYTES, _P50),
)


def run(study: Study, only: list[str]) -> None:
    """Measure the subjects."""
    for name in only or SUBJECTS:
        SUBJECTS[name](study)


def plots(growth: Growth) -> Iterator[tuple[Plot, str]]:
    """Yield the plots of what was measured, with their files."""
    for plot in PLOTS:
        if source := growth.plot(plot, _names(plot.subject)):
            yield plot, source


def _names(subject: str) -> Mapping[float, str]:
    if subject == "sizes":
        return {size: size_name(size) for size in subjects.SIZES}
    if subject in ("objects", "nats"):
        return {count: short(count) for count in subjects.OBJECTS}
    return {number: str(number) for number in subjects.CLIENTS + subjects.WORKERS}


def size_name(size: int) -> str:
    """Return a number of bytes with the unit that leaves the least of it."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >> power:
            return f"{size >> power} {unit}"
    return f"{size} B"


def markdown(growth: Growth) -> str:
    """Return the generated part of the page: each plot, and its figures."""
    machine = growth.machine
    parts = [
        f"Measured on {growth.date} with {growth.version}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['kernel']}, Python {machine['python']}."
    ]
    for plot, _ in plots(growth):
        parts.append(
            f"![{plot.title}: {plot.y_label}](performance/{plot.name}.svg)\n\n{_table(growth, plot)}"
        )
    return "\n\n".join(parts) + "\n"


def _table(growth: Growth, plot: Plot) -> str:
    series, names = growth.series(plot.subject, plot.figure), _names(plot.subject)
    places = sorted({place for there in series.values() for place in there})
    lines = [f"| {plot.y_label} | " + " | ".join(names[place] for place in places) + " |"]
    lines.append("|---" * (len(places) + 1) + "|")
    for name, there in series.items():
        cells = [short(there[place].median) if place in there else "-" for place in places]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
