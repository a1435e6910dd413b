"""The page Settings > Usage: static files that use only the public API. It can read nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.errors import NotFound
from headroom.core.settings import PageSettings
from headroom.core.wire.http import HttpAnswer, Request, failure
from headroom.core.wire.static import FOR_EVER, File, Release, serve

HERE: Final = Path(__file__).parent
ROOT: Final = ("", "settings")
# Test cards of the payment processor, offered where no real card is ever charged.
EXAMPLE_CARDS: Final = (
    ("pm_card_visa", "succeeds"),
    ("pm_card_chargeCustomerFail", "declines"),
    ("pm_card_authenticationRequired", "asks_its_holder"),
)

logger = Logger()
settings = PageSettings.from_env(os.environ)
release = Release(HERE / "assets")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> HttpAnswer:
    """Answer one request of API Gateway."""
    request = Request(event)
    match request.path if request.method == "GET" else ():
        case ("", "settings", "usage"):
            return _page(request)
        case ("", "settings", "config.json"):
            return serve(request, CONFIG, {"cache-control": "no-cache"})
        case ("", "settings", "assets", release.digest, *name) if file := release.find(
            "/".join(name)
        ):
            return serve(request, file, {"cache-control": FOR_EVER})
        case ("", "") | ("", "settings") | ("", "settings", ""):
            return _redirect(request)
    return failure(request, NotFound("path: there is nothing here"))


def _page(request: Request) -> HttpAnswer:
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "no-referrer",
        "strict-transport-security": "max-age=31536000",
    }
    return serve(request, PAGE, headers)


def _redirect(request: Request) -> HttpAnswer:
    # Relative, because a stage or an emulator may have put a path before ours.
    location = "usage" if request.path == ("", "settings", "") else "settings/usage"
    return {
        "statusCode": 302,
        "headers": {"location": location, "request-id": request.id, "cache-control": "no-cache"},
        "body": "",
        "isBase64Encoded": False,
    }


def _build_page() -> File:
    base = f"assets/{release.digest}"
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{base}/{name}">' for name in release.names(".js")
    )
    text = (HERE / "page.html").read_text()
    text = text.replace("{{assets}}", base).replace("{{preloads}}", preloads)
    return File.of("page.html", text.encode())


def _policy() -> str:
    token = urlsplit(settings.token_endpoint)
    issuer = f" {token.scheme}://{token.netloc}" if settings.token_endpoint else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{issuer}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _build_config() -> File:
    config = {
        "sign_in": {
            "issuer": settings.issuer,
            "client_id": settings.client_id,
            "authorization_endpoint": settings.authorization_endpoint,
            "token_endpoint": settings.token_endpoint,
            "end_session_endpoint": settings.end_session_endpoint or None,
            "scope": settings.scope,
            # The API takes the token that is made out to it: to the page itself, where both have
            # one name at the issuer, else an access token for the API.
            "token": "id_token" if settings.client_id == settings.audience else "access_token",
            "audience": settings.audience,
        }
        if settings.authorization_endpoint and settings.token_endpoint
        else None,
        "top_up": {"least": str(settings.top_up_min_cents), "most": str(settings.top_up_max_cents)},
        "payment_methods_url": settings.payment_methods_url or None,
        "example_cards": [
            {"id": card, "behaviour": behaviour}
            for card, behaviour in (EXAMPLE_CARDS if settings.stage == "local" else ())
        ],
    }
    return File.of("config.json", json.dumps(config, separators=(",", ":")).encode())


PAGE: Final = _build_page()
POLICY: Final = _policy()
CONFIG: Final = _build_config()
