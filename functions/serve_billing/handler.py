"""What owners and their books see of usage and money: reports."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.clock import Clock
from headroom.gateways.identity import connect_identity
from headroom.settings import IdentitySettings, Settings
from headroom.store.connect import connect
from headroom.usecases.authenticating import Caller
from headroom.usecases.reporting import report
from headroom.wire.api import Api
from headroom.wire.http import Content
from headroom.wire.reports import CSV, parse_report, report_answer, report_csv

# An answer is due before API Gateway gives up; what is not read by then is too much for one.
SPARE_MILLIS = 4_000

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
api = Api(logger, table, clock, connect_identity(IdentitySettings.from_env(os.environ)))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    api.remaining_millis = context.get_remaining_time_in_millis
    return api.resolve(event)


@api.route("GET", "/v1/organizations/usage_report")
def get_usage_report(caller: Caller, now: datetime) -> dict[str, Any] | Content:
    asked = parse_report(api.request, caller.organization, now)
    made = report(table, caller.organization, asked.span, asked.groups, _may_go_on)
    if asked.as_csv:
        return Content(CSV, report_csv(made), "usage_report.csv")
    return report_answer(made, asked.page)


def _may_go_on() -> bool:
    return api.remaining_millis() > SPARE_MILLIS
