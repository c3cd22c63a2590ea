"""The table as a page, docs/operations.md."""

from __future__ import annotations

from collections.abc import Iterable

from s3shim.routes.endpoints import ENDPOINTS
from s3shim.routes.model import Model, ModelOperation, load
from s3shim.routes.table import TABLE

_INTRODUCTION = """\
# Operations

Generated from the table in `s3shim/routes/table.py`, from botocore's service model {version}
(`s3shim/data/operations.json`) and from `s3shim/data/supplement.toml`. Do not edit: run `make docs`.

**The fence.** On PUT, POST and DELETE a query parameter, an `x-amz-*` or `If-*` header or `Content-Range`
that is unknown, or that the operation does not honour, is 501 NotImplemented that names it, before the
body is read. On GET and HEAD a selector, parameter or SSE-C header of the model that is not honoured is
501; what the model does not know is ignored. Repeated parameters, two selectors and bad values are 400.
In a presigned URL an `x-amz-*` parameter counts as the header of that name. `x-id` passes where it names
the operation.
"""


def document() -> str:
    """Return docs/operations.md."""
    model = load()
    parts = [_INTRODUCTION.format(version=model.version), _served(model), _values(model), _transport(model)]
    parts += [_not_served(model), _endpoints()]
    return "\n".join(parts)


def _served(model: Model) -> str:
    lines = [
        f"## Served: {len(TABLE)}",
        "",
        "| operation | request | action | honours | limited values | refused |",
        "|---|---|---|---|---|---|",
    ]
    for row in TABLE:
        described = model.operations[row.name]
        honoured = {name for name in row.honours if not _limited(model, described, name)}
        limited = {name for name in described.members if _limited(model, described, name)}
        refused = described.members.keys() - honoured - limited
        cells = [row.name, _request(described), f"`{row.action}`", *map(_names, (honoured, limited, refused))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _limited(model: Model, described: ModelOperation, member: str) -> bool:
    return described.members[member].wire in model.value_rules


def _values(model: Model) -> str:
    lines = [
        "## Limited values",
        "",
        "An accepted value passes; another one of the model and an unknown one answer the codes given here.",
        "",
        "| header | accepted | another value of the model | unknown value |",
        "|---|---|---|---|",
    ]
    for header, rule in sorted(model.value_rules.items()):
        accepted = _names(rule.accepted) if rule.accepted else "none"
        lines.append(f"| `{header}` | {accepted} | {rule.known.name} | {rule.unknown.name} |")
    return "\n".join([*lines, ""])


def _transport(model: Model) -> str:
    headers = sorted(model.transport_headers) + [f"{prefix}*" for prefix in sorted(model.transport_prefixes)]
    return "\n".join(
        [
            "## Transport",
            "",
            f"Headers that pass anywhere: {_names(headers)}.",
            f"Parameters: {_names(model.transport_query)}.",
            "",
        ]
    )


def _not_served(model: Model) -> str:
    served = {row.name for row in TABLE}
    missing = [described for name, described in sorted(model.operations.items()) if name not in served]
    lines = [f"## Not served (501): {len(missing)}", ""]
    lines += [f"* {described.name}: {_request(described)}" for described in missing]
    return "\n".join([*lines, ""])


def _endpoints() -> str:
    paths = [f"* `GET {path}` ({endpoint.name})" for path, endpoint in ENDPOINTS.items()]
    return "\n".join(["## End points of the service, for requests without credentials", "", *paths, ""])


def _request(described: ModelOperation) -> str:
    literals = described.literals or ({described.selector: ""} if described.selector else {})
    query = "&".join(f"{name}={value}" if value else name for name, value in literals.items())
    text = f"`{described.method} {described.path}{'?' if query else ''}{query}`"
    choice = described.choice
    if choice is not None:
        text += f" with `{choice.header or choice.query}`"
    return text


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
