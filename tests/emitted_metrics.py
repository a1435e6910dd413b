"""The metrics that the handlers really emit under the environment that the template gives them.

Each handler is executed anew under its function's own variables, and its output is read as
CloudWatch reads it. What it leads to is replaced where only its result is counted.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from types import ModuleType
from typing import Any, Final, cast, get_args
from unittest.mock import patch

# Before the handlers: only clients made after it are moto's.
from moto import mock_aws

from headroom.core.errors import SpendRefused
from headroom.core.store.keys import budget as budget_key
from headroom.notifications.domain.webhooks import EVENT_TYPES
from headroom.notifications.usecases.mail import Told
from headroom.payments.usecases.reconciliation import DRIFT, Proof
from headroom.spending.domain.allotment import Reason
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import BudgetRecord
from tests.environment import ENVIRONMENT
from tests.in_process import Context, sample, usage_event
from tests.resolved_template import Resolved
from tests.template import TEMPLATE, table_definition, template

ROOT: Final = TEMPLATE.parent
VERSION: Final = "7"
# The values that these dimensions take; each of them is emitted.
ANNOUNCED: Final = frozenset(EVENT_TYPES) | {DRIFT}
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


# Provisions an organization and returns its service key.
Provision = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Emitted:
    """A metric as CloudWatch keeps it: another set of dimensions is another metric."""

    function: str
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    unit: str

    @property
    def names(self) -> frozenset[str]:
        """The names of its dimensions."""
        return frozenset(name for name, _ in self.dimensions)


def function_folders() -> dict[str, str]:
    """Return the folder of each function by its logical id."""
    return {
        name: resource["Properties"]["CodeUri"].rstrip("/").removeprefix("functions/")
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@cache
def emitted_metrics() -> frozenset[Emitted]:
    """Return what all handlers emit in the scenes below."""
    folders = {folder: name for name, folder in function_folders().items()}
    found: set[Emitted] = set()
    with provisioning() as provision:
        for folder, scene in SCENES.items():
            said = io.StringIO()
            with contextlib.redirect_stdout(said), loaded(folder, folders[folder]) as handler:
                scene(handler, provision)
            for line in said.getvalue().splitlines():
                found |= set(read_line(folder, line))
    return frozenset(found)


def read_line(folder: str, line: str) -> Iterator[Emitted]:
    """Read a line of a log as CloudWatch does; one that is no metric has none.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if '"_aws"' not in line:
        return
    told = json.loads(line)
    for directive in told["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                assert metric["Name"] in told
                dimensions = frozenset((name, told[name]) for name in names)
                yield Emitted(
                    folder, directive["Namespace"], metric["Name"], dimensions, metric["Unit"]
                )


@contextlib.contextmanager
def provisioning() -> Iterator[Provision]:
    """Make a table, and hand out what provisions an organization in it."""
    with mock_aws(), loaded("provision_organization", "ProvisionOrganization") as handler:
        table = handler.table
        table.connection.client.create_table(**table_definition(table.name))

        def provision() -> str:
            document = sample("provision_organization/organization")
            return str(invoke(handler, document | {"id": f"acme-{next(ids)}"})["service_key"])

        ids = count(1)
        yield provision


@contextlib.contextmanager
def loaded(folder: str, name: str) -> Iterator[ModuleType]:
    """Execute a handler as Lambda does, in its function's environment."""
    given = Resolved(Stage="prod").environment(name)
    powertools = {variable: given[variable] for variable in given if "POWERTOOLS" in variable}
    environment = {**ENVIRONMENT, **powertools, "AWS_LAMBDA_FUNCTION_VERSION": VERSION}
    path = ROOT / "functions" / folder / "handler.py"
    spec = importlib.util.spec_from_file_location(f"deployed_{folder}", path)
    assert spec is not None
    assert spec.loader is not None
    handler = importlib.util.module_from_spec(spec)
    with patch.dict(os.environ, environment):
        spec.loader.exec_module(handler)
        yield handler


def invoke(handler: ModuleType, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler.handler(event, cast("Any", Context()))
    return answer


def fail(*_: Any, **__: Any) -> Any:
    """Stand where something breaks that nobody expected."""
    raise ZeroDivisionError


def refuse(reason: Reason) -> Callable[..., Any]:
    def refusing(*_: Any, **__: Any) -> Any:
        raise SpendRefused("", facts={"reason": reason}, retryable=True, retry_after_seconds=1)

    return refusing


def crash(handler: ModuleType, event: dict[str, Any]) -> None:
    """Let a request of the API end as a 500."""
    with patch.object(handler.api, "_authenticate", fail):
        assert invoke(handler, event)["statusCode"] == 500


def spend(handler: ModuleType, provision: Provision) -> None:
    event = sample("authorize_spend/create_authorization")
    event["headers"]["x-api-key"] = provision()
    assert invoke(handler, event)["statusCode"] == 200
    for reason in REASONS:
        with patch.object(handler, "authorize", refuse(reason)), patch.object(handler, "notice"):
            assert invoke(handler, event)["statusCode"] in (429, 503)
    crash(handler, event)


def ingest(handler: ModuleType, provision: Provision) -> None:
    recorded, rejected = usage_event("msg_1"), usage_event("msg_2", model="")
    unpriced = usage_event("msg_3", model="none")
    event = sample("ingest_usage/record_usage")
    event["headers"]["x-api-key"] = provision()
    for together in ([recorded], [recorded, rejected, unpriced]):
        body = json.dumps({"events": together})
        assert invoke(handler, {**event, "body": body})["statusCode"] == 200
    crash(handler, event)
    with patch.object(handler, "_record_all", fail):
        assert invoke(handler, sample("ingest_usage/usage_queue"))["batchItemFailures"]


def served(example: str) -> Callable[[ModuleType, Provision], None]:
    """A function of the API that counts nothing but its crashes."""
    return lambda handler, _: crash(handler, sample(example))


def swept(handler: ModuleType, _: Provision) -> None:
    invoke(handler, sample("sweep_holds/schedule"))


def closed(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler, "hand_out", lambda *_: []):
        invoke(handler, sample("close_periods/schedule"))


def chased(handler: ModuleType, _: Provision) -> None:
    invoke(handler, sample("chase_invoices/schedule"))


def digested(handler: ModuleType, _: Provision) -> None:
    invoke(handler, sample("digest_requests/schedule"))


def reloaded(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler.queue, "send", lambda _: 10):
        invoke(handler, sample("reload_wallet/schedule"))
    with patch.object(handler, "reload_marked", lambda *_: 1):
        invoke(handler, sample("reload_wallet/crossed"))
    with patch.object(handler, "reload_marked", fail):
        assert invoke(handler, sample("reload_wallet/crossed"))["batchItemFailures"]


def reconciled(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler.queue, "send", lambda *_, **__: 10):
        invoke(handler, sample("reconcile_wallets/schedule"))
        message = {"organization_id": "org_1", "looks": handler.POOL_LOOKS_MAX}
        batch = {"Records": [{"messageId": "1", "body": json.dumps(message)}]}
        with patch.object(handler, "reconcile_pool", lambda *_: Proof(is_moving=True)):
            assert not invoke(handler, batch)["batchItemFailures"]
        with patch.object(handler, "reconcile_pool", fail):
            assert invoke(handler, batch)["batchItemFailures"]


def paid(handler: ModuleType, _: Provision) -> None:
    invoke(handler, sample("receive_payment_event/schedule"))
    event = sample("receive_payment_event/payment_succeeded")
    with (
        patch.object(handler, "payments"),
        patch.object(handler, "receive", lambda *_: True),
    ):
        handler.payments.read_event.return_value.event_id = "evt_1"
        handler.payments.read_event.return_value.kind = "other"
        assert invoke(handler, event)["statusCode"] == 200
        handler.payments.read_event.side_effect = fail
        assert invoke(handler, event)["statusCode"] == 500


def published(handler: ModuleType, _: Provision) -> None:
    records = [
        {
            "eventName": "INSERT",
            "dynamodb": {"NewImage": {"detail_type": {"S": name}, "detail": {"S": "{}"}}},
        }
        for name in sorted(ANNOUNCED)
    ]
    with patch.object(handler.bus, "publish", lambda _: None):
        invoke(handler, {"Records": records})


def followed(handler: ModuleType, _: Provision) -> None:
    before = Budget(
        "org_1", "user_1", "2026-11", "standard", allotment=70, held=20, spent=10, granted=100
    )
    after = replace(before, allotment=20, held=80, spent=50, granted=150, unbilled=5)
    records = [_changed(before, after), _changed(after, before)]
    with patch.object(handler, "follow_budgets", lambda *_: None):
        invoke(handler, {"Records": records})


def _changed(before: Budget, after: Budget) -> dict[str, Any]:
    return {
        "eventName": "MODIFY",
        "dynamodb": {"OldImage": _image(before), "NewImage": _image(after)},
    }


def _image(budget: Budget) -> dict[str, Any]:
    key = budget_key(budget.org_id, budget.user_id)
    return {**key.attributes(), **BudgetRecord.from_domain(key, budget).to_item()}


def told(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler, "notify", lambda *_: Told(sent=1)):
        invoke(handler, sample("notify_people/threshold_reached"))


def delivered(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler, "fan_out", lambda *_: 1):
        invoke(handler, sample("deliver_webhooks/event"))
    with patch.object(handler, "fan_out", fail):
        assert invoke(handler, sample("deliver_webhooks/event"))["batchItemFailures"]


def acted(handler: ModuleType, _: Provision) -> None:
    with (
        patch.object(handler, "look_up"),
        patch.object(handler, "parse_confirmed"),
        patch.object(handler, "read_key"),
        patch.object(handler, "check_confirmation"),
        patch.object(handler, "carry_out"),
        patch.object(handler, "done_page"),
    ):
        invoke(handler, sample("act_from_console/pause"))


def invoiced(handler: ModuleType, _: Provision) -> None:
    with patch.object(handler, "seal"), patch.object(handler, "write_invoice"):
        for step in ("seal", "invoice"):
            invoke(handler, sample(f"invoice_organization/{step}"))
    with patch.object(handler.executions, "start", fail):
        assert invoke(handler, sample("invoice_organization/closing_queue"))["batchItemFailures"]


SCENES: Final[dict[str, Callable[[ModuleType, Provision], None]]] = {
    "act_from_console": acted,
    "administer_notifications": served("administer_notifications/get_notifications"),
    "administer_organization": served("administer_organization/get_extra_usage"),
    "authorize_spend": spend,
    "chase_invoices": chased,
    "close_periods": closed,
    "deliver_webhooks": delivered,
    "digest_requests": digested,
    "follow_spend": followed,
    "ingest_usage": ingest,
    "invoice_organization": invoiced,
    "manage_wallet": served("manage_wallet/get_wallet"),
    "notify_people": told,
    "publish_events": published,
    "receive_payment_event": paid,
    "reconcile_wallets": reconciled,
    "reload_wallet": reloaded,
    "serve_billing": served("serve_billing/invoices"),
    "serve_member": served("serve_member/get_extra_usage"),
    "sweep_holds": swept,
}
