"""What may stand in the place of a file of the store: a read is right or an error, at once."""

from random import SystemRandom

from crash.states import SUITE
from crash.suite import Run


def test_whatever_stands_in_the_place_of_a_file_is_never_given_out(tmp_path):
    seed = SystemRandom().randrange(1, 1 << 32)
    outcome = SUITE.run(Run(tmp_path, 2, seed, print))
    assert outcome.failures == [], f"seed {seed}"
    assert outcome.counts["states"] >= 80
    assert outcome.counts["controls caught"] == 2
