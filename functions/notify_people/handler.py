"""Events of the bus that people hear of: told by mail, in their organization's language."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.settings import MailSettings, Settings
from headroom.core.store.connect import connect
from headroom.notifications.gateways.mail import SesMailer
from headroom.notifications.usecases.mail import notify

logger = Logger()
metrics = Metrics()
settings = MailSettings.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
mailer = SesMailer(settings.sender, settings.region)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Tell an event of the bus. If it fails it comes again, and whoever was told is not again."""
    detail = event["detail"]
    told = notify(table, mailer, event["detail-type"], detail, settings.settings_url, clock.now())
    for outcome, user_ids in (("refused", told.refused), ("unknown", told.unknown)):
        if user_ids:
            logger.error(f"mail {outcome}", event_id=detail["id"], user_ids=user_ids)
    metrics.add_metric("MailSent", MetricUnit.Count, told.sent)
    metrics.add_metric("MailFailed", MetricUnit.Count, len(told.refused) + len(told.unknown))
    return {"sent": told.sent}
