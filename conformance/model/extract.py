"""Make s3shim/data/operations.json from botocore's service model of S3.

Run ``python conformance/model/extract.py > s3shim/data/operations.json``; a unit test compares the
file with what this makes from the installed botocore.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import parse_qsl

import botocore
from botocore.loaders import Loader

_PLACES = {"querystring": "query", "header": "header", "headers": "headers"}


def extract() -> str:
    """Return the data file: JSON, one line per operation."""
    model = Loader().load_service_model("s3", "service-2", api_version="2006-03-01")
    lines = [
        f"{json.dumps(name)}: {json.dumps(_operation(model, operation))}"
        for name, operation in sorted(model["operations"].items())
    ]
    body = ",\n".join(lines)
    return f'{{"botocore": {json.dumps(botocore.__version__)},\n"operations": {{\n{body}\n}}}}\n'


def _operation(model: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    path, _, query = operation["http"]["requestUri"].partition("?")
    entry: dict[str, Any] = {"method": operation["http"]["method"], "path": path}
    literals = dict(parse_qsl(query, keep_blank_values=True))
    literals.pop("x-id", None)
    if literals:
        entry["query"] = literals
    if operation.get("deprecated"):
        entry["deprecated"] = True
    if operation.get("httpChecksum", {}).get("requestAlgorithmMember"):
        entry["checksummed"] = True
    shape = model["shapes"][operation["input"]["shape"]] if "input" in operation else {"members": {}}
    required = shape.get("required", [])
    entry["members"] = {
        name: _member(model["shapes"], name, member, name in required)
        for name, member in shape["members"].items()
        if member.get("location") != "uri"
    }
    return entry


def _member(shapes: dict[str, Any], name: str, member: dict[str, Any], required: bool) -> dict[str, Any]:
    place = _PLACES.get(member.get("location", ""), "body")
    entry: dict[str, Any] = {"in": place}
    if place == "body":
        return entry
    entry["name"] = member.get("locationName", name)
    shape = shapes[member["shape"]]
    if shape["type"] == "list":
        entry["list"] = True
        shape = shapes[shape["member"]["shape"]]
    if "enum" in shape:
        entry["values"] = shape["enum"]
    if required:
        entry["required"] = True
    return entry


if __name__ == "__main__":
    sys.stdout.write(extract())
