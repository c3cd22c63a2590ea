"""Every operation of the model behind its fence, by what chooses it."""

from __future__ import annotations

from dataclasses import dataclass

from s3shim.backends.base import Capability
from s3shim.errors import Code, S3Error
from s3shim.routes.fence import Fence
from s3shim.routes.model import WRITING, Choice, Model, ModelOperation
from s3shim.routes.operation import (
    UNKNOWN,
    Operation,
    not_implemented_header,
    not_implemented_parameter,
    refusing,
)
from s3shim.routes.table import MEMBER_NEEDS, TABLE
from s3shim.wire.request import S3Request

# (scope, method, selector)
Routes = dict[tuple[str, str, str], list["Route"]]

# What a request that means no operation is authorised as, by scope.
_ACTIONS = {"service": "s3:ListAllMyBuckets", "bucket": "s3:ListBucket", "object": "s3:GetObject"}


@dataclass(slots=True)
class Route:
    """An operation and its fence; no fence where every request to it is refused anyway."""

    operation: Operation
    choice: Choice | None = None
    fence: Fence | None = None

    def chosen_by(self, request: S3Request) -> bool:
        """Whether the request carries what tells this operation from its twins."""
        choice = self.choice
        if choice is None:
            return True
        return choice.header in request.headers if choice.header else choice.query in request.query


def make_routes(model: Model, capabilities: Capability) -> Routes:
    """Return the routes; of twins the one that needs no choice comes last."""
    rows = {row.name: row for row in TABLE}
    routes: Routes = {}
    for described in model.operations.values():
        if not described.deprecated:
            key = (described.scope, described.method, described.selector)
            route = _route(model, described, rows.get(described.name), capabilities)
            routes.setdefault(key, []).append(route)
    for twins in routes.values():
        twins.sort(key=lambda route: route.choice is None)
    return routes


def make_miss(model: Model, routes: Routes, scope: str) -> Route:
    """Return the route of a method that ``scope`` does not have."""
    methods = sorted({method for at, method, selector in routes if at == scope and not selector})
    error = S3Error(Code.MethodNotAllowed, headers={"Allow": ", ".join([*methods, "OPTIONS"])})
    action = _ACTIONS.get(scope, _ACTIONS["service"])
    nothing = ModelOperation(UNKNOWN, "PUT", "", scope, "", {}, {})
    return Route(refusing(UNKNOWN, scope, action, error), fence=Fence(model, nothing, frozenset()))


def _route(model: Model, described: ModelOperation, row: Operation | None, capabilities: Capability) -> Route:
    if row is None or row.needs not in capabilities:
        return Route(_not_served(described), described.choice)
    honours = row.honours
    if row.method in WRITING:
        none = Capability.NONE
        honours = frozenset(name for name in honours if MEMBER_NEEDS.get(name, none) in capabilities)
    return Route(row, described.choice, Fence(model, described, honours))


def _not_served(described: ModelOperation) -> Operation:
    name = described.name
    choice = described.choice or Choice()
    parameter = described.selector or choice.query
    if choice.header:
        error = not_implemented_header(choice.header)
    elif parameter:
        error = not_implemented_parameter(parameter)
    else:
        error = S3Error(Code.NotImplemented)
    error.message = f"{name} is not implemented."
    return refusing(
        name, described.scope, f"s3:{name}", error, method=described.method, selector=described.selector
    )
