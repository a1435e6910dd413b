"""HTTP as API Gateway hands it over: headers in, answers and errors out."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from headroom.errors import HeadroomError, InvalidRequest, NotFound, RequestTooLarge
from headroom.wire.fields import parse_json

BODY_LENGTH_MAX: Final = 1_000_000
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,64}")
_JSON: Final = "application/json"


def new_app(logger: Logger) -> APIGatewayHttpResolver:
    """Return a resolver whose every failure is an error envelope of the wire contract."""
    app = APIGatewayHttpResolver()

    @app.exception_handler(HeadroomError)
    def refuse(error: HeadroomError) -> Response[str]:
        return failure(app, error)

    @app.not_found
    def not_found(_: NotFoundError) -> Response[str]:
        return failure(app, NotFound("path: there is nothing here"))

    @app.exception_handler(Exception)
    def crash(error: Exception) -> Response[str]:
        # The process edge: whatever this is, the client learns nothing of it.
        logger.exception("unexpected failure", exc_info=error)
        return _respond(
            app,
            500,
            {
                "type": "error",
                "error": {"type": "api_error", "message": "an unexpected failure; try again"},
                "request_id": request_id(app),
            },
            {"x-should-retry": "true"},
        )

    return app


def answer(app: APIGatewayHttpResolver, body: dict[str, Any], status: int = 200) -> Response[str]:
    """Return a successful answer."""
    return _respond(app, status, body, {})


def failure(app: APIGatewayHttpResolver, error: HeadroomError) -> Response[str]:
    """Return an error as its envelope, with what a client needs to know about retrying."""
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    return _respond(app, error.status.value, error.body(request_id(app)), headers)


def json_body(app: APIGatewayHttpResolver) -> object:
    """Return the request's body.

    Raises:
        RequestTooLarge: it is more than a megabyte.
        InvalidRequest: it is not JSON.
    """
    body = app.current_event.body or ""
    if len(body) > BODY_LENGTH_MAX:
        raise RequestTooLarge(f"body: must be at most {BODY_LENGTH_MAX} bytes")
    try:
        return parse_json(app.current_event.decoded_body)
    except ValueError as error:
        # Base64 that hides something other than text.
        raise InvalidRequest("body", "must be a JSON document") from error


def header(app: APIGatewayHttpResolver, name: str) -> str | None:
    """Return a request's header, None if it was not sent."""
    value: str | None = app.current_event.headers.get(name)
    return value


def idempotency_key(app: APIGatewayHttpResolver) -> str | None:
    """Return the request's idempotency key, None if it has none.

    Raises:
        InvalidRequest: it is not 1 to 64 printable characters.
    """
    key = header(app, "idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key", "must be 1 to 64 printable characters")
    return key


def query(app: APIGatewayHttpResolver, known: frozenset[str]) -> dict[str, str]:
    """Return the query's single parameters.

    Raises:
        InvalidRequest: there is one that this route does not know.
    """
    given: dict[str, str] = app.current_event.query_string_parameters or {}
    for name in given:
        if name.removesuffix("[]") not in known:
            raise InvalidRequest(name[:64], "is not a parameter of this list")
    return {name: value for name, value in given.items() if not name.endswith("[]")}


def query_list(app: APIGatewayHttpResolver, name: str) -> list[str]:
    """Return an array parameter, sent as `name[]=a&name[]=b`, or as `name=a` for a single one."""
    raw: str = app.current_event.raw_event.get("rawQueryString") or ""
    pairs = parse_qsl(raw, keep_blank_values=True)
    return [value for key, value in pairs if key in (name, f"{name}[]")]


def request_id(app: APIGatewayHttpResolver) -> str:
    """Return the id by which this request is found in the logs."""
    return f"req_{app.current_event.request_context.request_id}"


def _respond(
    app: APIGatewayHttpResolver, status: int, body: dict[str, Any], headers: dict[str, str]
) -> Response[str]:
    return Response(
        status_code=status,
        content_type=_JSON,
        body=json.dumps(body, separators=(",", ":")),
        headers={"request-id": request_id(app), **headers},
    )
