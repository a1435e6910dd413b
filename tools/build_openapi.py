"""Build the OpenAPI document of the functions' routes: `make openapi`.

Powertools generates it, here and not in the functions: they would have to carry pydantic, which
costs a cold start more than everything that they do. The routes are those that the handlers
registered, the credentials those of the matrix of rights, the errors the classes of
`headroom.core.errors`; `tools.openapi` adds what each route takes and answers.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.models import (
    APIKey,
    APIKeyIn,
    HTTPBearer,
    Server,
    Tag,
)
from aws_lambda_powertools.event_handler.openapi.params import Body, Header
from aws_lambda_powertools.event_handler.openapi.params import Path as PathParameter
from pydantic import BaseModel, Field, create_model

from headroom.core.errors import HeadroomError, InvalidRequest, PaymentDeclined, SpendRefused
from headroom.organizations.domain.organization import ROLES
from headroom.organizations.wire.rights import ANY, RIGHTS, Right
from tools.openapi import bodies, notifications
from tools.openapi.endpoints import ENDPOINTS, TAGS, Endpoint

DOCUMENT: Final = Path(__file__).parents[1] / "functions" / "serve_documents" / "openapi.json"
FUNCTIONS: Final = (
    "authorize_spend",
    "ingest_usage",
    "administer_organization",
    "serve_billing",
    "manage_wallet",
    "administer_notifications",
    "serve_member",
)
VERSION: Final = "1"

DESCRIPTION: Final = """\
Extra usage after the seat's allowance: exact, capped, explained.

Money is a string in minor units of the organization's currency (cents for USD). Settings are \
whole; metered spend may carry a fraction, exact. Moments are RFC 3339 in UTC; a billing period is \
a calendar month in the organization's time zone.

Every answer has a `request-id` header. An error names the field and what was wrong with it, and \
`x-should-retry` says whether the same request may succeed later. Lists take `limit` and `page`, \
a cursor bound to the filters that issued it; array filters repeat with brackets: \
`user_ids[]=a&user_ids[]=b`.\
"""

_ROUTE_PARAMETER: Final = re.compile(r"<(\w+)>")
_PATH_PARAMETERS: Final[dict[str, Any]] = {
    "authorization_id": Annotated[str, PathParameter(pattern="^auth_[A-Za-z0-9_-]{1,128}$")],
    "seat_tier": Annotated[Literal["standard", "premium"], PathParameter()],
    "user_id": Annotated[bodies.UserId, PathParameter()],
    "key_id": Annotated[str, PathParameter(pattern="^key_[0-9a-f]{20}$")],
    "invoice_id": Annotated[str, PathParameter(pattern="^(draft|inv_[0-9]{6}[isc][0-9a-f]{16})$")],
    "payment_id": Annotated[str, PathParameter(pattern="^(top|rld)_[0-9a-f]{24}$")],
    "endpoint_id": Annotated[notifications.EndpointId, PathParameter()],
    "delivery_id": Annotated[notifications.DeliveryId, PathParameter()],
    "spend_limit_id": Annotated[str, PathParameter(pattern="^spl_[A-Za-z0-9_-]{1,128}$")],
    "request_id": Annotated[str, PathParameter(pattern="^slir_[0-9a-v]{20}$")],
}
_PREFER: Final = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="With `no-redirect`, a document that is too large is answered by 200 and "
        '`{"type": "elsewhere", "url"}`, not by 303: a script in a browser cannot read where '
        "that leads.",
    ),
]
_DETAILS: Final[dict[type[HeadroomError], type[BaseModel]]] = {
    InvalidRequest: bodies.FieldDetails,
    SpendRefused: bodies.RefusalDetails,
    PaymentDeclined: bodies.DeclineDetails,
}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "request-id": {
        "description": "The id by which this request is found in the logs.",
        "required": True,
        "schema": {"type": "string"},
    },
    "x-should-retry": {
        "description": "Whether the same request may succeed later.",
        "required": True,
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "retry-after": {
        "description": "Seconds after which asking again is not too soon.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
}
_ETAG: Final[dict[str, Any]] = {
    "description": "The version of the settings, for `If-Match`; figures move without it.",
    "required": True,
    "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
}
_LOCATION: Final[dict[str, Any]] = {
    "description": "Where it is, for five minutes; no credential is needed there.",
    "required": True,
    "schema": {"type": "string", "format": "uri"},
}
_WAITING: Final = (429, 503)
# Powertools describes its own validation, which is not used here.
_UNUSED: Final = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
# The handlers connect to nothing when they are loaded, but they want to know what to.
_ENVIRONMENT: Final = {
    "DOCUMENTS_BUCKET": "none",
    "PAYMENT_TERMS_DAYS": "30",
    "PAST_DUE_GRACE_DAYS": "14",
    "SELLER_NAME": "none",
    "AWS_REGION": "us-east-1",
    "TABLE_NAME": "none",
    "STAGE": "local",
    "POWERTOOLS_METRICS_NAMESPACE": "Headroom",
    "QUEUE_URL": "https://queue.invalid/none",
    "RELOAD_FUNCTION": "none",
    "WEBHOOK_KEY_ARN": "none",
    "WEBHOOK_LOOPBACK": "false",
    "OIDC_ISSUER": "https://issuer.invalid",
    "OIDC_AUDIENCE": "headroom",
    "OIDC_ORGANIZATION_CLAIM": "organization_id",
    "OIDC_KEYS": "https://issuer.invalid/.well-known/jwks.json",
    "STRIPE_API_BASE": "https://api.stripe.com",
    "STRIPE_SECRET_ARN": "none",
    "SETTINGS_URL": "https://headroom.example/settings/usage",
    "TOP_UP_MIN_CENTS": "500",
    "TOP_UP_MAX_CENTS": "1000000",
    "RELOAD_COOL_DOWN_SECONDS": "60",
}


def main() -> None:
    DOCUMENT.write_text(build())
    print(f"Wrote {DOCUMENT.name}: {len(ENDPOINTS)} operations.")


def build() -> str:
    """Return the document as JSON, the same for the same handlers."""
    app = APIGatewayHttpResolver()
    for method, rule, code in routes():
        _register(app, method, rule, code)
    document = json.loads(
        app.get_openapi_json_schema(
            title="Headroom",
            version=VERSION,
            description=DESCRIPTION,
            servers=[Server(url="/")],
            tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
            security_schemes={
                "key": APIKey.model_validate(
                    {
                        "in": APIKeyIn.header,
                        "name": "x-api-key",
                        "description": "A service or admin key. Also read as a bearer token.",
                    }
                ),
                "person": HTTPBearer(
                    bearerFormat="JWT", description="A person's OIDC token; their role decides."
                ),
            },
        )
    )
    for name in _UNUSED:
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            _tidy_operation(operation)
    document = _tidy(document)
    # In the order in which a reader meets them, not that in which the resolver tries them.
    order = list(dict.fromkeys(_openapi_path(rule) for _, rule in ENDPOINTS))
    document["paths"] = {path: document["paths"][path] for path in order}
    _share_failures(document)
    # Relative to the document itself, so that it holds behind any stage or domain.
    document["servers"] = [{"url": "."}]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def routes() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Walk through what the handlers registered: method, rule, and the code behind it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for function in FUNCTIONS:
        api = importlib.import_module(f"functions.{function}.handler").api
        for (method, rule), code in api.routes.items():
            yield method, rule, code


def _register(
    app: APIGatewayHttpResolver, method: str, rule: str, code: Callable[..., Any]
) -> None:
    endpoint, right = ENDPOINTS[method, rule], RIGHTS[method, rule]
    app.route(
        rule,
        method=method,
        summary=endpoint.summary,
        description=_who_may(right),
        tags=[endpoint.tag],
        operation_id=code.__name__,
        security=_security(right),
        responses=_responses(endpoint),
    )(_typed(rule, code.__name__, endpoint))


def _typed(rule: str, name: str, endpoint: Endpoint) -> Callable[..., Any]:
    """Return a function that does nothing, with the signature that Powertools documents."""

    def stands_for_the_route() -> None: ...

    parameters = [
        inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=_PATH_PARAMETERS[each])
        for each in _ROUTE_PARAMETER.findall(rule)
    ]
    parameters += [
        inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None)
        for each, annotation in endpoint.parameters.items()
    ]
    if endpoint.elsewhere:
        parameters.append(
            inspect.Parameter(
                "prefer", inspect.Parameter.KEYWORD_ONLY, annotation=_PREFER, default=None
            )
        )
    if endpoint.body is not None:
        optional = endpoint.body_is_optional
        annotation = Annotated[endpoint.body | None if optional else endpoint.body, Body()]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(
                "body",
                inspect.Parameter.KEYWORD_ONLY,
                annotation=annotation,
                default=None if optional else inspect.Parameter.empty,
            )
        )
    stands_for_the_route.__name__ = name
    stands_for_the_route.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return stands_for_the_route


def _responses(endpoint: Endpoint) -> dict[int, Any]:
    responses: dict[int, Any] = {
        200: {
            "description": "It is done, and holds.",
            "headers": {
                "request-id": _HEADERS["request-id"],
                **({"etag": _ETAG} if endpoint.tagged else {}),
            },
            "content": {
                **({"application/json": {"model": endpoint.answer}} if endpoint.answer else {}),
                **{media: {"schema": {"type": "string"}} for media in endpoint.other_media},
            },
        }
    }
    if endpoint.elsewhere:
        responses[303] = {
            "description": "It is too large to be answered; it waits at the location.",
            "headers": {"request-id": _HEADERS["request-id"], "location": _LOCATION},
            "content": {"application/json": {"model": bodies.Elsewhere}},
        }
    for kind in endpoint.raises:
        status = kind.status.value
        assert status not in responses, f"{endpoint.summary}: two kinds of {status}"
        responses[status] = _failure(status, inspect.getdoc(kind) or "", ENVELOPES[kind])
    responses[500] = _failure(500, "An unexpected failure; try again.", _API_ERROR)
    return dict(sorted(responses.items()))


def _failure(status: int, text: str, model: type[BaseModel]) -> dict[str, Any]:
    named = ("request-id", "x-should-retry", *(("retry-after",) if status in _WAITING else ()))
    return {
        "description": text,
        "headers": {name: _HEADERS[name] for name in named},
        "content": {"application/json": {"model": model}},
    }


_ERROR: Any = Literal["error"]


def _envelope(
    name: str, type_: str, text: str, details: type[BaseModel] | None = None
) -> type[BaseModel]:
    constant = Literal.__getitem__(type_)
    facts: dict[str, Any] = {"type": (constant, ...), "message": (str, ...)}
    if details is not None:
        facts["details"] = (details, ...)
    error = create_model(f"{name}Error", __base__=bodies.Body, **facts)
    return create_model(
        f"{name}Envelope",
        __base__=bodies.Body,
        __doc__=text,
        type=(_ERROR, ...),
        error=(error, ...),
        request_id=(str, Field(description="The `request-id` header again.")),
    )


_KINDS: Final[list[type[HeadroomError]]] = [*HeadroomError.__subclasses__(), PaymentDeclined]
ENVELOPES: Final = {
    kind: _envelope(kind.__name__, kind.type, inspect.getdoc(kind) or "", _DETAILS.get(kind))
    for kind in _KINDS
}
_API_ERROR: Final = _envelope("Unexpected", "api_error", "An unexpected failure; try again.")


def _who_may(right: Right) -> str:
    roles = ", ".join(f"`{role}`" for role in ROLES if role in right.roles)
    scopes = " or ".join(f"`{scope}`" for scope in right.scopes)
    keys = "Every key." if ANY in right.scopes else f"Keys with scope {scopes}."
    who = [keys] if scopes else []
    return " ".join([*who, *([f"People as {roles}."] if roles else [])])


def _security(right: Right) -> list[dict[str, list[str]]]:
    schemes = [*(["key"] if right.scopes else []), *(["person"] if right.roles else [])]
    return [{scheme: []} for scheme in schemes]


def _openapi_path(rule: str) -> str:
    return _ROUTE_PARAMETER.sub(r"{\1}", rule)


def _tidy_operation(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        # A parameter that is not given is absent; it is never null.
        parameter["schema"] = _without_null(parameter["schema"])
        parameter["schema"].pop("description", None)
        if parameter["in"] == "header":
            parameter["name"] = "-".join(part.title() for part in parameter["name"].split("-"))
    if body := operation.get("requestBody"):
        media = body["content"]["application/json"]
        media["schema"] = _without_null(media["schema"])


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: schema[name] for name in schema if name != "anyOf"}, **kinds[0]}


def _tidy(node: Any) -> Any:
    """Take out what says nothing: titles that repeat a name, defaults that mean "not given"."""
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidy(each) for key, each in node.items()}
    if isinstance(properties := tidied.get("properties"), dict):
        for schema in properties.values():
            schema.pop("title", None)
            schema.pop("default", None)
    if isinstance(schema := tidied.get("schema"), dict):
        schema.pop("title", None)
    return tidied


def _share_failures(document: dict[str, Any]) -> None:
    """Say each failure once; most routes have the same ones."""
    shared: dict[str, dict[str, Any]] = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status in ("200", "303"):
                    continue
                schema = response["content"]["application/json"]["schema"]
                name = schema["$ref"].rpartition("/")[2].removesuffix("Envelope")
                shared[name] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


if __name__ == "__main__":
    main()
