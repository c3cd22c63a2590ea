"""The fence: what an operation does not honour is refused before its body is read.

A parameter or header that a server does not know may change what the request means, so a write
that carries one is NotImplemented, never carried out without it. A read refuses what the service
model knows and the operation does not honour, because its answer would be wrong, and ignores
what nobody knows, as AWS does.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from s3shim.errors import Code, S3Error
from s3shim.routes.model import WRITING, Member, Model, ModelOperation
from s3shim.routes.operation import not_implemented_header, not_implemented_parameter
from s3shim.wire.request import PRESIGN_ITEMS, S3Request

_OPERATION_ID = "x-id"
_AMZ = "x-amz-"
_SSE_C = "server-side-encryption-customer-"

# Names that reach nearly every request and mean nothing to the fence; they spare it the slower look.
_ORDINARY = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "expect",
        "expires",
        "host",
        "origin",
        "referer",
        "te",
        "transfer-encoding",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ]
)


@dataclass(slots=True)
class Values:
    """The values of one header or parameter: those that pass, and the codes for the others."""

    accepted: AbstractSet[str]
    known: AbstractSet[str]
    known_code: Code
    unknown_code: Code
    several: bool = False

    def check(self, name: str, value: str) -> None:
        """Raise the code for ``value`` unless it is an accepted one, or a list of such."""
        if value in self.accepted or (self.several and _listed(value) <= self.accepted):
            return
        code = self.known_code if value in self.known else self.unknown_code
        if code is Code.NotImplemented:
            raise not_implemented_header(name)
        raise S3Error(code, ArgumentName=name, ArgumentValue=value[:100])


class Fence:
    """The fence of one operation. ``honours`` are the names of the members that pass."""

    __slots__ = (
        "_model",
        "_name",
        "_parameters",
        "_passing",
        "_prefixes",
        "_query",
        "_values",
        "_watched",
        "check",
    )

    def __init__(self, model: Model, operation: ModelOperation, honours: AbstractSet[str]) -> None:
        self._model = model
        self._name = operation.name
        members = operation.members.values()
        honoured = [member for member in members if member.name in honours]
        own = {member.wire for member in members if member.place == "header"}
        headers = {member.wire for member in honoured if member.place == "header"}
        prefixes = [member.wire for member in honoured if member.place == "headers"]
        self._prefixes = (*prefixes, *model.transport_prefixes)
        self._query = {member.wire for member in honoured if member.place == "query"} | model.transport_query
        if operation.selector:
            self._query.add(operation.selector)
        self._values = _header_checks(model, operation, honoured)
        self._parameters = _parameter_checks(operation, honoured)
        self._passing = (headers | model.transport_headers | _ORDINARY) - self._values.keys()
        self.check = self._check_write if operation.method in WRITING else self._check_read
        sse_c = {
            member.wire
            for other in model.operations.values()
            for member in other.members.values()
            if member.place == "header" and _SSE_C in member.wire
        }
        self._watched = (own - headers) | sse_c | (self._values.keys() & own)

    def _check_write(self, request: S3Request) -> None:
        headers = request.headers
        passing = self._passing
        if not passing.issuperset(headers.names()):
            for name, value in headers.items():
                if name not in passing:
                    self._check_header(name, value)
        if request.query_string:
            presigned = request.presigned
            for name, value in request.query.items:
                if presigned and _stands_for_header(name):
                    continue
                if name in self._query:
                    self._check_parameter(name, value)
                elif name != _OPERATION_ID or value != self._name:
                    raise not_implemented_parameter(name)

    def _check_header(self, name: str, value: str) -> None:
        check = self._values.get(name)
        if check is not None:
            check.check(name, value)
            return
        if name.startswith(self._prefixes):
            return
        # A peer in front of us may read x_amz_acl as x-amz-acl.
        folded = name.replace("_", "-")
        if folded.startswith((_AMZ, "if-")) or folded == "content-range":
            raise not_implemented_header(name)

    def _check_parameter(self, name: str, value: str) -> None:
        check = self._parameters.get(name)
        if check is not None:
            check.check(name, value)

    def _check_read(self, request: S3Request) -> None:
        names = request.headers.names()
        if not self._watched.isdisjoint(names):
            for name, value in request.headers.items():
                if name in self._watched:
                    check = self._values.get(name)
                    if check is None:
                        raise not_implemented_header(name)
                    check.check(name, value)
        if request.query_string:
            for name, value in request.query.items:
                if name in self._query:
                    self._check_parameter(name, value)
                elif name in self._model.query_names or (name == _OPERATION_ID and value != self._name):
                    raise not_implemented_parameter(name)


def _stands_for_header(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(_AMZ) and lower not in PRESIGN_ITEMS


def _header_checks(model: Model, operation: ModelOperation, honoured: list[Member]) -> dict[str, Values]:
    """Return the checks by header name."""
    own = {member.wire: member for member in operation.members.values() if member.place == "header"}
    checks = {
        member.wire: _one_of(member.values, several=member.several)
        for member in honoured
        if member.place == "header" and member.values
    }
    for header, rule in model.value_rules.items():
        member = own.get(header)
        if member is not None and (rule.everywhere or member in honoured):
            checks[header] = Values(rule.accepted, rule.values.union(member.values), rule.known, rule.unknown)
        elif rule.everywhere:
            checks[header] = Values(rule.accepted, frozenset(), Code.NotImplemented, Code.NotImplemented)
    return checks


def _parameter_checks(operation: ModelOperation, honoured: list[Member]) -> dict[str, Values]:
    """Return the checks by parameter name."""
    checks = {
        member.wire: _one_of(member.values)
        for member in honoured
        if member.place == "query" and member.values
    }
    for name, value in operation.literals.items():
        if value:
            checks[name] = _one_of([value])
    return checks


def _one_of(values: Iterable[str], *, several: bool = False) -> Values:
    return Values(frozenset(values), frozenset(), Code.InvalidArgument, Code.InvalidArgument, several)


def _listed(value: str) -> set[str]:
    return {item.strip(" \t") for item in value.split(",")}
