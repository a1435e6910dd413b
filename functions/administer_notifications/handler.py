"""Which mail an organization wants, and where its webhooks go: /v1/organizations/notifications."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.clock import Clock
from headroom.domain.organization import Organization
from headroom.errors import NotFound
from headroom.gateways.identity import connect_identity
from headroom.settings import IdentitySettings, Settings
from headroom.store.connect import connect
from headroom.store.organizations import find_organization
from headroom.usecases.authenticating import Caller
from headroom.usecases.preferences import change_preferences, preferences_to_wire
from headroom.wire.api import Api
from headroom.wire.notifications import parse_preferences

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
api = Api(logger, table, clock, connect_identity(IdentitySettings.from_env(os.environ)))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)


@api.route("GET", "/v1/organizations/notifications")
def get_notifications(caller: Caller, now: datetime) -> dict[str, Any]:
    return preferences_to_wire(_settings(caller))


@api.route("PUT", "/v1/organizations/notifications")
def put_notifications(caller: Caller, now: datetime) -> dict[str, Any]:
    wanted = parse_preferences(api.request.json())
    change_preferences(table, caller.org_id, wanted, caller.actor, now)
    return preferences_to_wire(_settings(caller))


def _settings(caller: Caller) -> Organization:
    """The settings as they are now: those that came with a key may be seconds old."""
    organization = find_organization(table, caller.org_id)
    if organization is None:
        raise NotFound("organization: there is none with this id")
    return organization
