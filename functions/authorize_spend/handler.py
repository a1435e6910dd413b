"""POST, DELETE and extend authorizations: may this be spent, and hold the money for it."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import SpendRefused
from headroom.core.settings import IdentitySettings, ReloadSettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import digest_of
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api
from headroom.spending.usecases.authorizations import Idempotency, authorize, extend, release
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.refusals import Noticed, notice
from headroom.spending.wire.authorizations import parse_authorization_request, parse_extension
from headroom.wallets.gateways.reloads import LambdaReloads

ENTROPY_BYTES = 6

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
hints = Hints()
reloads = LambdaReloads(ReloadSettings.from_env(os.environ), logger.warning)
noticed = Noticed()
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@api.route("POST", "/v1/authorizations")
def post_authorization(caller: Caller, now: datetime) -> dict[str, Any]:
    body = api.request.json()
    asked = parse_authorization_request(body)
    key = api.request.idempotency_key()
    try:
        held = authorize(
            table,
            hints,
            caller.organization,
            asked,
            now,
            entropy=os.urandom(ENTROPY_BYTES),
            idempotency=Idempotency(key, digest_of(body)) if key else None,
            ask_reload=reloads.ask,
        )
    except SpendRefused as refusal:
        metrics.add_dimension("reason", refusal.facts["reason"])
        metrics.add_metric("AuthorizationRefused", MetricUnit.Count, 1)
        notice(table, noticed, caller.org_id, asked.user_id, refusal, now)
        raise
    metrics.add_metric("AuthorizationHeld", MetricUnit.Count, 1)
    return held


@api.route("DELETE", "/v1/authorizations/<authorization_id>")
def delete_authorization(caller: Caller, now: datetime, authorization_id: str) -> dict[str, Any]:
    return release(table, caller.org_id, authorization_id)


@api.route("POST", "/v1/authorizations/<authorization_id>/extend", once=True)
def post_extension(caller: Caller, now: datetime, authorization_id: str) -> dict[str, Any]:
    ttl, max_tokens = parse_extension(api.request.json())
    return extend(
        table,
        caller.organization,
        authorization_id,
        now,
        ttl=ttl,
        max_tokens=max_tokens,
        ask_reload=reloads.ask,
    )


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)
