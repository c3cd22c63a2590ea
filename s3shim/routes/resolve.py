"""From a request to its operation. A miss is an operation too, one that answers an error."""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.errors import Code, S3Error
from s3shim.routes.endpoints import PREFLIGHT, service_endpoint
from s3shim.routes.model import READING, WRITING, load
from s3shim.routes.operation import Operation, not_implemented_parameter, refusing
from s3shim.routes.paths import Paths
from s3shim.routes.route import Route, make_miss, make_routes
from s3shim.wire.request import S3Request


class Router:
    """Resolves requests against what a backend of these ``capabilities`` can do. Made once."""

    def __init__(self, capabilities: Capability) -> None:
        model = load()
        self._selectors = model.selectors
        self._routes = make_routes(model, capabilities)
        scopes = {scope for scope, _, _ in self._routes}
        self._misses = {scope: make_miss(model, self._routes, scope) for scope in scopes}
        self._locate = Paths(scopes).locate

    def resolve(self, request: S3Request) -> Operation:
        """Return the operation that the request means; set its bucket and key. Never raises."""
        route = self._misses["service"]
        public = True
        try:
            request.parse()
            endpoint = service_endpoint(request)
            if endpoint is not None:
                return endpoint
            public = False
            scope = self._locate(request)
            if request.method == "OPTIONS":
                return PREFLIGHT
            route = self._misses[scope]
            route = self._choose(scope, request)
            if route.fence is not None:
                route.fence.check(request)
        except S3Error as error:
            refused = route.operation
            return refusing(
                refused.name,
                refused.scope,
                refused.action,
                error,
                method=refused.method,
                selector=refused.selector,
                # Such a target has no one canonical form that a signature could be verified over.
                public=public or error.code is Code.InvalidURI,
            )
        return route.operation

    def _choose(self, scope: str, request: S3Request) -> Route:
        selector = self._selector(request) if request.query_string else ""
        for route in self._routes.get((scope, request.method, selector), ()):
            if route.chosen_by(request):
                return route
        writing = request.method in WRITING
        if selector and (writing or request.method in READING):
            raise not_implemented_parameter(selector)
        miss = self._misses[scope]
        return miss if writing else Route(miss.operation)

    def _selector(self, request: S3Request) -> str:
        query = request.query
        if query.repeated is not None:
            name = query.repeated[:100]
            message = f"The parameter {name} was sent more than once."
            raise S3Error(Code.InvalidArgument, message, ArgumentName=name)
        found = self._selectors.intersection(query.names())
        if len(found) > 1:
            first, second = sorted(found)[:2]
            message = f"Conflicting query string parameters: {first}, {second}"
            raise S3Error(Code.InvalidArgument, message, ArgumentName="ResourceType", ArgumentValue=first)
        return next(iter(found), "")
