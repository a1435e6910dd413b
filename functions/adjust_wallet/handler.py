"""Invoked directly, by the vendor's back end or from the console: credit, correct or refund."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError
from headroom.core.settings import PaymentSettings, Settings
from headroom.core.store.connect import connect
from headroom.payments.gateways.stripe import connect_payments
from headroom.payments.usecases.adjustments import adjust
from headroom.payments.wire.wallets import parse_adjustment

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return what was done, or the error envelope; the same id does nothing twice."""
    now = clock.now()
    try:
        return adjust(table, payments, parse_adjustment(event, now), now)
    except HeadroomError as error:
        return error.body(f"req_{context.aws_request_id}")
