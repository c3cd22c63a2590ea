"""The data behind the table, and the page made from it."""

import json
import tomllib
from pathlib import Path

import botocore
import pytest

from conformance.model.extract import extract
from s3shim.routes.model import load
from s3shim.routes.table import TABLE

ROOT = Path(__file__).parents[2]
DATA = ROOT / "s3shim" / "data"


def test_the_data_is_what_botocore_says():
    text = (DATA / "operations.json").read_text()
    assert json.loads(text)["botocore"] == botocore.__version__
    assert text == extract()
    assert len(json.loads(text)["operations"]) == 116


def test_every_entry_of_the_supplement_has_a_source():
    supplement = tomllib.loads((DATA / "supplement.toml").read_text())
    for entries in supplement.values():
        for entry in entries:
            assert entry["source"], entry


def test_rows_are_operations_of_the_model():
    operations = load().operations
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        described = operations[row.name]
        assert (row.scope, row.method, row.selector) == (
            described.scope,
            described.method,
            described.selector,
        )
        assert row.honours <= described.members.keys(), row.name


def test_twins_are_told_apart():
    routes: dict[tuple[str, str, str], list[str]] = {}
    for operation in load().operations.values():
        if not operation.deprecated:
            choice = operation.choice
            mark = (choice.header or choice.query) if choice else ""
            routes.setdefault((operation.scope, operation.method, operation.selector), []).append(mark)
    for route, marks in routes.items():
        assert marks.count("") == 1, route
        assert len(marks) == len(set(marks)), route


@pytest.mark.parametrize(
    "name", ["uploadId", "partNumber", "annotationName", "id", "list-type", "select-type"]
)
def test_parameters_that_the_model_keeps_in_different_places(name):
    assert name in load().query_names
