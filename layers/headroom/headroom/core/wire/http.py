"""HTTP as API Gateway hands it over (payload format 2.0): requests in, answers and errors out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from headroom.core.errors import HeadroomError, InvalidRequest, MethodNotAllowed, RequestTooLarge
from headroom.core.wire.fields import parse_json

BODY_LENGTH_MAX: Final = 1_000_000
# What a client prefers who cannot read where a redirect leads, as a page's script (RFC 7240).
NO_REDIRECT: Final = "no-redirect"
# A strong tag that a proxy compressed the answer of comes back as a weak one.
_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,15})"')
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,64}")

# What a function returns to API Gateway.
HttpAnswer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """A successful answer that is a file, not JSON."""

    content_type: str
    body: bytes
    filename: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A successful answer that is too large for this way: it waits at an address."""

    location: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """A successful answer with the version of the settings that it shows, for If-Match."""

    body: Mapping[str, Any]
    version: int


class Request:
    """One request. Nothing of it is read before it is asked for."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        context = event["requestContext"]
        self._event = event
        self._headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
        self.method: str = context["http"]["method"]
        self.id = f"req_{context['requestId']}"
        path, stage = event["rawPath"], context.get("stage", "$default")
        # Except for the default stage, the path begins with the stage's name.
        self.path = tuple(unquote(path.removeprefix(f"/{stage}")).split("/"))

    @property
    def has_body(self) -> bool:
        """Whether anything was sent with the request."""
        return bool(self._event.get("body"))

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name, None if it was not sent."""
        return self._headers.get(name)

    def prefers(self, preference: str) -> bool:
        """Whether the client sent `Prefer` with this preference, perhaps among others."""
        told = (self.header("prefer") or "").lower().split(",")
        return preference in (each.strip() for each in told)

    def body(self) -> bytes:
        """Return the body as it was sent.

        Raises:
            RequestTooLarge: it is more than a megabyte.
            InvalidRequest: the gateway passed it on in a form that it should not have.
        """
        body: str = self._event.get("body") or ""
        if len(body) > BODY_LENGTH_MAX:
            raise RequestTooLarge(f"body: must be at most {BODY_LENGTH_MAX} bytes")
        if not self._event.get("isBase64Encoded"):
            return body.encode(errors="surrogatepass")
        try:
            return base64.b64decode(body, validate=True)
        except ValueError as error:
            raise InvalidRequest("body", "must be a JSON document") from error

    def json(self) -> object:
        """Return the body.

        Raises:
            RequestTooLarge: it is more than a megabyte.
            InvalidRequest: it is not JSON.
        """
        try:
            text = self.body().decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest("body", "must be a JSON document") from error
        return parse_json(text)

    def idempotency_key(self) -> str | None:
        """Return the idempotency key, None if there is none.

        Raises:
            InvalidRequest: it is not 1 to 64 printable characters.
        """
        key = self.header("idempotency-key")
        if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
            raise InvalidRequest("Idempotency-Key", "must be 1 to 64 printable characters")
        return key

    def version_seen(self) -> int | None:
        """Return the version that the settings must still have, None if any will do.

        Raises:
            InvalidRequest: If-Match is none of our tags.
        """
        told = (self.header("if-match") or "*").strip()
        if told == "*":
            return None
        if not (tag := _TAG.fullmatch(told)):
            raise InvalidRequest("If-Match", "must be the etag of an answer")
        return int(tag[1])

    def query(self, known: frozenset[str]) -> dict[str, str]:
        """Return the query's single parameters.

        Raises:
            InvalidRequest: there is one that this route does not know.
        """
        pairs = self._pairs()
        for name, _ in pairs:
            if name.removesuffix("[]") not in known:
                raise InvalidRequest(name[:64], "is not a parameter of this list")
        return {name: value for name, value in pairs if not name.endswith("[]")}

    def query_list(self, name: str) -> list[str]:
        """Return an array parameter, sent as `name[]=a&name[]=b`, or as `name=a` for one."""
        return [value for key, value in self._pairs() if key in (name, f"{name}[]")]

    def _pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self._event.get("rawQueryString") or "", keep_blank_values=True)


def answer(request: Request, body: Mapping[str, Any] | Content | Elsewhere | Tagged) -> HttpAnswer:
    """Return a successful answer."""
    match body:
        case Content():
            return {
                "statusCode": 200,
                "headers": {
                    "content-type": body.content_type,
                    "content-disposition": f'attachment; filename="{body.filename}"',
                    "request-id": request.id,
                },
                "body": base64.b64encode(body.body).decode(),
                "isBase64Encoded": True,
            }
        case Elsewhere():
            place = {"type": "elsewhere", "url": body.location}
            if request.prefers(NO_REDIRECT):
                return _respond(request, 200, place, {"preference-applied": NO_REDIRECT})
            return _respond(request, 303, place, {"location": body.location})
        case Tagged():
            return _respond(request, 200, body.body, {"etag": f'"{body.version}"'})
        case _:
            return _respond(request, 200, body, {})


def failure(request: Request, error: HeadroomError) -> HttpAnswer:
    """Return an error as its envelope, with what a client needs to know about retrying."""
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(error.retry_after_seconds)
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    return _respond(request, error.status.value, error.body(request.id), headers)


def crash(request: Request) -> HttpAnswer:
    """Return an error of which the client learns nothing but that it may try again."""
    error = {"type": "api_error", "message": "an unexpected failure; try again"}
    body = {"type": "error", "error": error, "request_id": request.id}
    return _respond(request, 500, body, {"x-should-retry": "true"})


def _respond(
    request: Request, status: int, body: Mapping[str, Any], headers: Mapping[str, str]
) -> HttpAnswer:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "request-id": request.id, **headers},
        "body": json.dumps(body, separators=(",", ":")),
        "isBase64Encoded": False,
    }
