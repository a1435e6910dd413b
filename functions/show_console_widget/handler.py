"""The operator's widget on the CloudWatch dashboard: find an organization, look, prepare an act."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.console.usecases.operations import inspect, limit_at, look_up
from headroom.console.wire.confirmations import confirmation_token
from headroom.console.wire.console import (
    DESCRIPTION,
    organization_page,
    preview_page,
    problem_page,
    search_page,
)
from headroom.console.wire.orders import ORGANIZATION_LENGTH_MAX, parse_order, read_event
from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError
from headroom.core.settings import ConsoleSettings, Settings
from headroom.core.store.connect import connect
from headroom.notifications.gateways.webhook_key import read_key_of

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
console = ConsoleSettings.from_env(os.environ)
read_key = read_key_of(console.key_arn)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> str:
    """Return the widget's HTML, or its documentation when the console asks for that."""
    if event.get("describe"):
        return DESCRIPTION
    endpoint = context.invoked_function_arn
    words = ""
    now = clock.now()
    try:
        asked = read_event(event)
        words = asked.get("organization", "")[:ORGANIZATION_LENGTH_MAX]
        if not words:
            return search_page(endpoint)
        inspection = inspect(table, look_up(table, words), now)
        if asked.get("view") != "preview":
            return organization_page(inspection, endpoint)
        order = parse_order(asked, inspection.organization)
        present = limit_at(table, inspection.organization, order.place) if order.place else None
        token = confirmation_token(read_key(), order, now)
        return preview_page(order, inspection, present, console.act_function_arn, token)
    except HeadroomError as error:
        if event.get("view") == "preview":
            return problem_page(str(error))
        return search_page(endpoint, words, str(error))
