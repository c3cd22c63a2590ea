"""Foreign clients and suites against a running server; ``python -m conformance --help``."""
