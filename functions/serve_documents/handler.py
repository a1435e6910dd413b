"""The API's own description: the OpenAPI document, and a page to read it. Open to everybody.

It answers as well what the gateway has no route for: a 404, or a 405 at a path that has one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.wire.http import HttpAnswer, Request, failure
from headroom.core.wire.paths import nothing_at

HERE: Final = Path(__file__).parent
DOCUMENT: Final = (HERE / "openapi.json").read_text()
PAGE: Final = (HERE / "docs.html").read_text()
_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> HttpAnswer:
    """Answer one request of API Gateway."""
    request = Request(event)
    served = SERVED.get("/".join(request.path)) if request.method == "GET" else None
    if served is None:
        return failure(request, nothing_at(request.method, request.path, answered()))
    content_type, body, policy = served
    return {
        "statusCode": 200,
        "headers": {
            "content-type": content_type,
            "request-id": request.id,
            "cache-control": "public, max-age=300",
            "content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
        "body": body,
        "isBase64Encoded": False,
    }


@cache
def answered() -> frozenset[tuple[str, str]]:
    """Return the methods and rules that any function answers."""
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, operations in json.loads(DOCUMENT)["paths"].items()
        for method in operations
    }
    return frozenset(described | {("GET", path) for path in (*SERVED, *PAGE_PATHS)} | NOT_DESCRIBED)


def _policy(page: str) -> str:
    """Allow the page its own script and style, and to read the document beside it."""
    sources: dict[str, str] = {}
    for kind, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        sources[kind] = f"'sha256-{digest}'"
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; "
        f"script-src {sources['script']}; style-src {sources['style']}"
    )


# What is no part of the API: where the payment processor calls, and the page of `serve_page`.
NOT_DESCRIBED: Final = frozenset({("POST", "/v1/payment_events")})
PAGE_PATHS: Final = ("/", "/settings", "/settings/", "/settings/usage", "/settings/config.json")
# What is served, to everybody: content type, content, and what the content may load.
SERVED: Final[Mapping[str, tuple[str, str, str]]] = {
    "/openapi.json": ("application/json", DOCUMENT, "default-src 'none'"),
    "/docs": ("text/html; charset=utf-8", PAGE, _policy(PAGE)),
}
