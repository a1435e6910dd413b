"""What an operator ordered on the CloudWatch dashboard and confirmed: done, audited, said."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.console.usecases.operations import carry_out, look_up
from headroom.console.wire.confirmations import check_confirmation
from headroom.console.wire.console import done_page, problem_page
from headroom.console.wire.orders import parse_confirmed, read_pressed
from headroom.core.clock import Clock
from headroom.core.domain.actor import Actor
from headroom.core.errors import HeadroomError
from headroom.core.settings import ConfirmationSettings, Settings
from headroom.core.store.connect import connect
from headroom.notifications.gateways.webhook_key import read_key_of

DESCRIPTION = """\
## Headroom: act on an organization

Called by the buttons of the organization's widget; it shows nothing by itself.
"""

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
read_key = read_key_of(ConfirmationSettings.from_env(os.environ).key_arn)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> str:
    """Carry out an order and return as HTML what became of it."""
    if event.get("describe"):
        return DESCRIPTION
    now = clock.now()
    try:
        asked = read_pressed(event)
        order = parse_confirmed(asked, look_up(table, asked.get("organization", "")))
        check_confirmation(read_key(), order, asked["token"], now)
        organization = carry_out(table, order, _operator(context), now)
    except HeadroomError as error:
        logger.warning("operator's order not carried out", error=str(error))
        return problem_page(str(error))
    logger.info("operator's order carried out", org_id=order.org_id, act=order.act)
    metrics.add_metric("OperatorActs", MetricUnit.Count, 1)
    return done_page(order, organization)


def _operator(context: LambdaContext) -> Actor:
    """Name the invocation, since the console does not say who is at it.

    CloudTrail does, under this request id. The account is the function's own, not the widget's.
    """
    account = context.invoked_function_arn.split(":")[4]
    return Actor("operator", f"aws:{account}:{context.aws_request_id}")
