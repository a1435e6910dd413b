"""What the payment processor tells us: POST /v1/payment_events, and every five minutes the rest."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.settings import TermsSettings
from headroom.billing.usecases.collection import Collector, apply_invoice_event
from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError, InvalidRequest, NotFound, Overloaded
from headroom.core.settings import PaymentSettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.http import HttpAnswer, Request, answer, crash, failure
from headroom.organizations.wire.rights import SIGNED
from headroom.payments.gateways.payments import EventUnreadable, SignatureInvalid
from headroom.payments.gateways.stripe import connect_payments
from headroom.payments.usecases.payment_events import apply_payment_event
from headroom.payments.usecases.received_events import PASSING, finish, receive
from headroom.wallets.domain.payments import PaymentEvent
from headroom.wallets.settings import WalletSettings

# What is not done by then is done by the next run.
SPARE_MILLIS = 8_000

logger = Logger()
metrics = Metrics()
crashes = Crashes.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
terms = WalletSettings.from_env(os.environ).terms
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
collector = Collector(payments, TermsSettings.from_env(os.environ).terms)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an event of the processor, or go on with those that nobody finished."""
    if "requestContext" in event:
        return _answer(Request(event))

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > SPARE_MILLIS

    acted, failed = finish(table, _act, clock.now(), may_go_on)
    metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
    metrics.add_metric("PaymentEventsFinished", MetricUnit.Count, acted)
    metrics.add_metric("PaymentEventsWaiting", MetricUnit.Count, failed)
    return {"acted": acted, "failed": failed}


def _answer(request: Request) -> HttpAnswer:
    try:
        return answer(request, _receive(request, clock.now()))
    except PASSING:
        logger.warning("a payment event was not acted on yet", exc_info=True)
        return failure(request, Overloaded("not done yet; send it again"))
    except HeadroomError as error:
        return failure(request, error)
    except Exception:
        # The process edge: logged, and the processor sends it again.
        logger.exception("unexpected failure")
        crashes.count()
        return crash(request)


def _receive(request: Request, now: datetime) -> dict[str, Any]:
    if (request.method, "/".join(request.path)) not in SIGNED:
        raise NotFound("path: there is nothing here")
    signature = request.header("stripe-signature")
    if signature is None:
        raise InvalidRequest("Stripe-Signature", "is missing")
    try:
        event = payments.read_event(request.body(), signature, now)
    except SignatureInvalid as error:
        raise InvalidRequest("Stripe-Signature", "does not fit the body, or is too old") from error
    except EventUnreadable as error:
        # The processor sends it again for days; an operator who reads this knows of it by then.
        logger.exception("a signed payment event cannot be read")
        raise InvalidRequest(
            "body", f"must be an event of the payment processor: {error}"
        ) from error
    new = receive(table, event, _act, now)
    logger.info("payment event", event_id=event.event_id, kind=event.kind, acted=new)
    metrics.add_metric("PaymentEventsReceived", MetricUnit.Count, 1)
    return {"type": "payment_event", "id": event.event_id, "status": "acted" if new else "ignored"}


def _act(event: PaymentEvent, now: datetime) -> None:
    if not apply_invoice_event(table, collector, event, now):
        apply_payment_event(table, payments, event, now, terms)
