"""The operations of S3 as data: botocore's service model and a hand-written supplement.

The model alone cannot route (many operations share method and path) and lacks what clients send;
the supplement says what tells operations apart and what else may come.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from s3shim.errors import Code

WRITING = frozenset({"PUT", "POST", "DELETE"})
READING = frozenset({"GET", "HEAD"})

SCOPES = {"/": "service", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "object"}


@dataclass(slots=True)
class Member:
    """An input of an operation. ``place`` is header, headers (a prefix), query, body or form (a field).

    ``wire`` is its name on the wire, headers in lower case; ``values`` are the values that the model knows;
    a header with ``several`` of them has commas between.
    """

    name: str
    place: str
    wire: str = ""
    values: tuple[str, ...] = ()
    several: bool = False


@dataclass(slots=True)
class Choice:
    """What a request must carry to mean this operation and not its twin: a ``query`` item or a ``header``."""

    query: str = ""
    header: str = ""


@dataclass(slots=True)
class ModelOperation:
    """An operation of the model. ``literals`` are the query items of its URI.

    ``scope`` is service, bucket or object; an operation with a path of its own has that as its scope.
    """

    name: str
    method: str
    path: str
    scope: str
    selector: str
    literals: dict[str, str]
    members: dict[str, Member]
    deprecated: bool = False
    choice: Choice | None = None


@dataclass(slots=True)
class ValueRule:
    """Which values of a header pass, and the codes for the others.

    ``everywhere``: an accepted value changes nothing, so it passes where the operation has no such header.
    """

    accepted: frozenset[str]
    values: frozenset[str]
    known: Code
    unknown: Code
    everywhere: bool


@dataclass(slots=True)
class Model:
    """All of it. ``selectors`` choose an operation; ``query_names`` are all parameters of the model."""

    version: str
    operations: dict[str, ModelOperation] = field(default_factory=dict)
    selectors: frozenset[str] = frozenset()
    query_names: frozenset[str] = frozenset()
    transport_headers: frozenset[str] = frozenset()
    transport_prefixes: tuple[str, ...] = ()
    transport_query: frozenset[str] = frozenset()
    value_rules: dict[str, ValueRule] = field(default_factory=dict)


@cache
def load() -> Model:
    """Return the model with its supplement; read once."""
    data = files("s3shim").joinpath("data")
    source = json.loads(data.joinpath("operations.json").read_text("utf-8"))
    supplement = tomllib.loads(data.joinpath("supplement.toml").read_text("utf-8"))
    model = Model(version=source["botocore"])
    for name, entry in source["operations"].items():
        model.operations[name] = _operation(name, entry)
    for entry in supplement["operation"]:
        model.operations[entry["name"]] = _operation(entry["name"], {"members": {}, **entry})
    checksummed = {name for name, entry in source["operations"].items() if entry.get("checksummed")}
    _add_members(model, supplement, checksummed)
    _add_choices(model, supplement)
    _add_transport(model, supplement)
    operations = model.operations.values()
    model.selectors = frozenset(operation.selector for operation in operations if operation.selector)
    parameters = {
        m.wire for operation in operations for m in operation.members.values() if m.place == "query"
    }
    literals = {name for operation in operations for name in operation.literals}
    model.query_names = model.selectors | parameters | literals
    return model


def _operation(name: str, entry: dict[str, Any]) -> ModelOperation:
    literals: dict[str, str] = entry.get("query", {})
    members = {
        member: Member(
            member, given["in"], _wire(given), tuple(given.get("values", ())), given.get("list", False)
        )
        for member, given in entry["members"].items()
    }
    return ModelOperation(
        name=name,
        method=entry["method"],
        path=entry["path"],
        scope=SCOPES.get(entry["path"], entry["path"]),
        selector=next(iter(literals), ""),
        literals=literals,
        members=members,
        deprecated=entry.get("deprecated", False),
    )


def _wire(given: dict[str, Any]) -> str:
    name: str = given.get("name", "")
    return name if given["in"] == "query" else name.lower()


def _add_members(model: Model, supplement: dict[str, Any], checksummed: set[str]) -> None:
    for entry in supplement["member"]:
        for operation in model.operations.values():
            if operation.name in entry.get("operations", ()) or operation.scope in entry.get("scopes", ()):
                operation.members.setdefault(entry["name"], Member(entry["name"], "header", entry["header"]))
    for entry in supplement["checksum"]:
        for name in sorted(checksummed | set(entry["operations"])):
            for member, header in entry["members"].items():
                model.operations[name].members.setdefault(member, Member(member, "header", header.lower()))


def _add_choices(model: Model, supplement: dict[str, Any]) -> None:
    for entry in supplement["selector"]:
        for name in entry["operations"]:
            model.operations[name].selector = entry["query"]
    for entry in supplement["choice"]:
        for name in entry["operations"]:
            model.operations[name].choice = Choice(entry.get("query", ""), entry.get("header", ""))


def _add_transport(model: Model, supplement: dict[str, Any]) -> None:
    entries = supplement["transport"]
    model.transport_headers = frozenset(name for entry in entries for name in entry.get("headers", ()))
    model.transport_prefixes = tuple(name for entry in entries for name in entry.get("prefixes", ()))
    model.transport_query = frozenset(name for entry in entries for name in entry.get("query", ()))
    for entry in supplement["values"]:
        rule = ValueRule(
            accepted=frozenset(entry["accepted"]),
            values=frozenset(entry.get("values", ())),
            known=Code[entry["known"]],
            unknown=Code[entry["unknown"]],
            everywhere=not entry.get("only_members", False),
        )
        model.value_rules.update(dict.fromkeys(entry["headers"], rule))
