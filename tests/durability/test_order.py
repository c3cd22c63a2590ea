"""Every write is durable before it is acknowledged, as far as the order of its steps shows."""

from crash import recorder
from crash.suite import Run
from crash.tracing import can_trace


def test_the_order_of_every_write(tmp_path):
    recorders = [recorder.WITHIN]
    if can_trace():
        recorders.append(recorder.STRACE)
    outcome = recorder.run(Run(tmp_path, 1, 1, print), recorders)
    assert outcome.failures == []
    controls = len(recorder.CONTROLS) + len(recorder.START_CONTROLS) + 1
    assert outcome.counts["writes in order"] == (len(recorder.WRITES) + 1) * len(recorders)
    assert outcome.counts["starts in order"] == 4 * len(recorders)
    assert outcome.counts["controls caught"] == controls * len(recorders)
