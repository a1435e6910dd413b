"""The API's own description: the OpenAPI document, and a page to read it. Open to everybody."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.wire.http import new_app, request_id

HERE: Final = Path(__file__).parent
DOCUMENT: Final = (HERE / "openapi.json").read_text()
PAGE: Final = (HERE / "docs.html").read_text()
_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)

logger = Logger()
app = new_app(logger)


@app.get("/openapi.json")
def get_document() -> Response[str]:
    return _public("application/json", DOCUMENT, "default-src 'none'")


@app.get("/docs")
def get_page() -> Response[str]:
    return _public("text/html; charset=utf-8", PAGE, POLICY)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return app.resolve(event, context)


def _public(content_type: str, body: str, policy: str) -> Response[str]:
    return Response(
        status_code=200,
        content_type=content_type,
        body=body,
        headers={
            "request-id": request_id(app),
            "cache-control": "public, max-age=300",
            "content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
    )


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


POLICY: Final = _policy(PAGE)
