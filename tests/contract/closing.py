"""Closing periods as the deployed application does: its handlers, under its state machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from functions.chase_invoices import handler as chase_invoices
from functions.close_periods import handler as close_periods
from functions.invoice_organization import handler as invoice_organization
from functions.serve_billing import handler as serve_billing
from functions.settle_invoice import handler as settle_invoice
from headroom.billing.domain.invoice import Invoice
from headroom.billing.store.invoices import list_invoices
from headroom.billing.usecases.collection import Collector
from headroom.billing.usecases.invoices import shown
from headroom.core.clock import Clock
from headroom.payments.gateways.payments import Payments
from tests.in_process import Context, sample
from tests.memory_files import MemoryFiles
from tests.memory_table import MemoryTable
from tests.state_machine import Histories, History, definition, execute

FUNCTIONS = (close_periods, invoice_organization, chase_invoices, settle_invoice, serve_billing)


class Timepiece(Clock):
    """A clock for tests to set; the whole application follows it."""

    # A frozen dataclass lets nobody set anything, and a test has to.
    def __init__(self, moment: datetime) -> None:
        object.__setattr__(self, "moment", moment)

    def now(self) -> datetime:
        moment: datetime = self.__dict__["moment"]
        return moment

    def set(self, moment: datetime) -> None:
        object.__setattr__(self, "moment", moment)


class Bureau:
    """The functions of a close over a table in memory, with queue and executions beside it."""

    def __init__(
        self,
        table: MemoryTable,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
        payments: Payments | None = None,
    ) -> None:
        self.table = table
        self.files = MemoryFiles()
        self.clock = Timepiece(now)
        self.messages: list[dict[str, Any]] = []
        self.delays: list[int] = []
        self.started: dict[str, dict[str, Any]] = {}
        self.pending: list[dict[str, Any]] = []
        self.machine = definition("ClosingMachine")
        self.histories = Histories()
        for module in FUNCTIONS:
            monkeypatch.setattr(module, "table", table)
            monkeypatch.setattr(module, "clock", self.clock)
            if hasattr(module, "files"):
                monkeypatch.setattr(module, "files", self.files)
            if hasattr(module, "collector"):
                collector = Collector(payments, cast("Any", module).collector.terms)
                monkeypatch.setattr(module, "collector", collector)
        monkeypatch.setattr(close_periods, "queue", self)
        monkeypatch.setattr(invoice_organization, "executions", self)

    # The queue, and the starting of executions.

    def send_spread(self, messages: Any) -> int:
        found = list(messages)
        self.messages += [dict(message) for message, _ in found]
        self.delays += [delay for _, delay in found]
        return len(found)

    def start(self, name: str, document: Mapping[str, Any]) -> None:
        if name not in self.started:
            self.started[name] = dict(document)
            self.pending.append(dict(document))

    # What the schedules bring about.

    def hand_out(self) -> int:
        """Run the schedule of closes once, and deliver its messages."""
        answer = close_periods.handler(sample("close_periods/schedule"), cast("Any", Context()))
        while self.messages:
            event = sample("invoice_organization/closing_queue")
            event["Records"][0]["body"] = json.dumps(self.messages.pop())
            delivered = invoice_organization.handler(event, cast("Any", Context()))
            assert delivered == {"batchItemFailures": []}
        return int(answer["handed_out"])

    def run(self) -> None:
        """Hand out what is due and carry every execution to its end."""
        self.hand_out()
        while self.pending:
            self.execute(self.pending.pop(0))

    def execute(self, document: dict[str, Any]) -> None:
        execute(self.machine, document, self.step, self.wait, History.new(self.histories))

    def step(self, event: dict[str, Any]) -> Any:
        # Step Functions carries JSON, and nothing else.
        event = json.loads(json.dumps(event))
        return json.loads(json.dumps(invoice_organization.handler(event, cast("Any", Context()))))

    def wait(self, seconds: float) -> None:
        self.clock.set(self.clock.now() + timedelta(seconds=seconds))

    def chase(self) -> int:
        event = sample("chase_invoices/schedule")
        context = cast("Any", Context(remaining_millis=800_000))
        return int(chase_invoices.handler(event, context)["looked_at"])

    def settle(self, invoice: Invoice, **changes: Any) -> dict[str, Any]:
        event = sample("settle_invoice/paid") | {
            "organization_id": invoice.org_id,
            "invoice_id": invoice.invoice_id,
        }
        answer: dict[str, Any] = settle_invoice.handler(
            {name: value for name, value in (event | changes).items() if value is not None},
            cast("Any", Context()),
        )
        return answer

    # What there is to see.

    def invoices(self, org_id: str) -> list[Invoice]:
        return list(list_invoices(self.table, org_id))

    def shown(self, invoice: Invoice) -> dict[str, Any]:
        return shown(self.table, self.files, invoice)
