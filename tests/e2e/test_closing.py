"""A month closes on the deployed stack: queue, state machine, bucket and API, under its roles."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx2
import pytest

from headroom.billing.usecases.period_close import SHARD_MEMBERS
from headroom.wallets.domain.payments import Payment
from tests.e2e.paying import Processor, awaited
from tests.fake_payments import ASKING_CARD
from tests.state_machine import definition

MONTH_AND_MORE = timedelta(days=40)
PATIENCE_SECONDS = 180
(_MANY,) = definition("ClosingMachine")["States"]["AreThereManyMembers"]["Choices"]
SHARDS_OF_ONE_EXECUTION = _MANY["NumericGreaterThan"]
# Those whose month has to be over; the others go on in this one.
AHEAD = ("InvoiceOrganization", "ServeBilling", "SettleInvoice")


class Cloud:
    """The services of the local AWS that the close uses."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self._session = boto3.Session("test", "test", region_name=stack["region"])
        cloudformation: Any = self.client("cloudformation")
        (described,) = cloudformation.describe_stacks(StackName="headroom-local")["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def client(self, service: Any) -> Any:
        return self._session.client(service, endpoint_url=self.stack["aws_endpoint_url"])

    def invoke(self, function: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = self.client("lambda").invoke(
            FunctionName=self.stack["functions"][function], Payload=json.dumps(payload).encode()
        )
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    @contextmanager
    def ahead(self, by: timedelta) -> Iterator[None]:
        """Set the test clock of the functions that close."""
        functions = self.client("lambda")
        before: dict[str, dict[str, str]] = {}
        for name in AHEAD:
            place = {"FunctionName": self.stack["functions"][name]}
            found = functions.get_function_configuration(**place)["Environment"]["Variables"]
            before[name] = dict(found)
            found["CLOCK_AHEAD_SECONDS"] = str(int(by.total_seconds()))
            functions.update_function_configuration(**place, Environment={"Variables": found})
        try:
            yield
        finally:
            for name, variables in before.items():
                functions.update_function_configuration(
                    FunctionName=self.stack["functions"][name],
                    Environment={"Variables": variables},
                )

    def close(self, org_id: str, period: str) -> None:
        """Send what `close_periods` sends, and wait until the execution has ended."""
        message = {"organization_id": org_id, "period": period, "attempt": 1}
        queue = self.client("sqs")
        name = self.outputs["ClosingQueueUrl"].rpartition("/")[2]
        url = queue.get_queue_url(QueueName=name)["QueueUrl"]
        queue.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        machine = self.client("stepfunctions")
        patience = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < patience:
            found = machine.list_executions(stateMachineArn=self.outputs["ClosingMachineArn"])
            for execution in found["executions"]:
                if execution["executionArn"] == self.execution(org_id, period):
                    if execution["status"] == "RUNNING":
                        break
                    told = machine.describe_execution(executionArn=execution["executionArn"])
                    assert execution["status"] == "SUCCEEDED", told
                    return
            time.sleep(0.5)
        pytest.fail("the period was not closed in time")

    def execution(self, org_id: str, period: str) -> str:
        machine = self.outputs["ClosingMachineArn"].replace(":stateMachine:", ":execution:")
        return f"{machine}:{org_id}-{period}-1"


@pytest.fixture(scope="module")
def later(stack: dict[str, Any]) -> Iterator[Cloud]:
    """Where the month is over for the functions that close it."""
    cloud = Cloud(stack)
    with cloud.ahead(MONTH_AND_MORE):
        yield cloud


def test_the_schedules_run_under_their_roles(stack: dict[str, Any]) -> None:
    """Nothing is due in the month that runs."""
    cloud = Cloud(stack)

    assert cloud.invoke("ClosePeriods", {}) == {"handed_out": 0}
    assert cloud.invoke("ChaseInvoices", {}).keys() == {"looked_at"}


def test_a_month_closes_on_the_deployed_stack(stack: dict[str, Any], later: Cloud) -> None:
    cloud = later
    tenant, used = _with_usage(cloud, "closing-e2e")
    admin = {"x-api-key": tenant["admin_key"]}

    cloud.close(tenant["id"], used["period"])

    (listed,) = _get(stack, admin, "/v1/organizations/invoices").json()["data"]
    assert (listed["period"], listed["status"]) == (used["period"], "open")
    path = f"/v1/organizations/invoices/{listed['id']}"
    whole = _get(stack, admin, path).json()
    assert whole["subtotal"] == used["amount"]
    assert _get(stack, admin, f"{path}/pdf").content.startswith(b"%PDF-")
    detail = _get(stack, {**admin, "accept": "text/csv"}, path)
    assert detail.text.startswith("user_id,name,")
    draft = _get(stack, admin, "/v1/organizations/invoices/draft").json()
    assert (draft["status"], draft["subtotal"]) == ("draft", "0")
    settled = cloud.invoke(
        "SettleInvoice",
        {
            "organization_id": tenant["id"],
            "invoice_id": listed["id"],
            "action": "paid",
            "reference": "e2e",
            "operator": "e2e",
        },
    )
    assert (settled["status"], settled["amount_due"]) == ("paid", "0")
    credited = cloud.invoke(
        "SettleInvoice",
        {
            "organization_id": tenant["id"],
            "invoice_id": listed["id"],
            "action": "credit",
            "amount": "1",
            "reason": "e2e",
            "reference": "e2e",
            "operator": "e2e",
        },
    )
    assert credited["kind"] == "credit_note"
    assert _get(stack, admin, credited["pdf"]).content.startswith(b"%PDF-")


def test_a_month_of_many_members_closes_in_executions_for_their_shards(
    stack: dict[str, Any], later: Cloud
) -> None:
    others = [
        {"user_id": f"user_{number:04d}", "name": "Other", "email": f"{number}@closing.example"}
        for number in range(SHARDS_OF_ONE_EXECUTION * SHARD_MEMBERS)
    ]
    tenant, used = _with_usage(later, "closing-many-e2e", others)

    later.close(tenant["id"], used["period"])

    admin = {"x-api-key": tenant["admin_key"]}
    (listed,) = _get(stack, admin, "/v1/organizations/invoices").json()["data"]
    shown = _get(stack, admin, f"/v1/organizations/invoices/{listed['id']}").json()
    assert shown["subtotal"] == used["amount"]
    assert [row["user_id"] for row in shown["by_member"]] == ["user_closing"]
    runs = later.client("stepfunctions").list_map_runs(
        executionArn=later.execution(tenant["id"], used["period"])
    )
    assert len(runs["mapRuns"]) == 1


def test_an_invoice_is_charged_to_the_card_on_file_and_paid_when_the_processor_says_so(
    stack: dict[str, Any], later: Cloud
) -> None:
    """The card asks for its holder, so that the event alone tells of the money."""
    processor = Processor(stack)
    tenant, used = _with_usage(later, "charged-e2e")
    admin = {"x-api-key": tenant["admin_key"]}
    customer_id = processor.payments.create_customer(org_id=tenant["id"], name="Closing")
    processor.payments.save_payment_method(customer_id, ASKING_CARD)

    later.close(tenant["id"], used["period"])

    (listed,) = _get(stack, admin, "/v1/organizations/invoices").json()["data"]
    assert (listed["status"], listed["amount_due"]) == ("open", listed["total"])
    (asked,) = _charged(processor, tenant["id"])
    assert asked.state == "needs_action"
    processor.configure(f"payments/{asked.payment_id}/authenticate")
    path = f"/v1/organizations/invoices/{listed['id']}"

    def paid() -> dict[str, Any] | None:
        shown: dict[str, Any] = _get(stack, admin, path).json()
        return shown if shown["status"] == "paid" else None

    assert awaited("the payment", paid)["amount_due"] == "0"
    (payment,) = _charged(processor, tenant["id"])
    assert payment.payment_id == asked.payment_id
    assert (payment.state, str(payment.amount_cents)) == ("succeeded", listed["total"])


def _charged(processor: Processor, org_id: str) -> list[Payment]:
    now, day = datetime.now(UTC), timedelta(days=1)
    listed = processor.payments.list_payments(since=now - day, until=now + day)
    return [payment for payment in listed if org_id in (payment.key or "")]


def _with_usage(
    cloud: Cloud, name: str, others: Sequence[dict[str, str]] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Provision an organization and record something in this month."""
    document = _document()
    document["members"] += others
    tenant = cloud.invoke("ProvisionOrganization", {**document, "id": name})
    posted = httpx2.post(
        f"{cloud.stack['api_url']}/v1/usage/events",
        headers={"x-api-key": tenant["service_key"]},
        json={"events": [_event()]},
        timeout=60,
    )
    used: dict[str, Any] = posted.json()["results"][0]
    assert used["status"] == "recorded"
    return tenant, used


def _get(stack: dict[str, Any], headers: dict[str, str], path: str) -> httpx2.Response:
    answer = httpx2.get(f"{stack['api_url']}{path}", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def _document() -> dict[str, Any]:
    return {
        "plan": "enterprise",
        "name": "Closing",
        "extra_usage": {"enabled": True},
        "spend_limit": None,
        "members": [
            {
                "role": "primary_owner",
                "user_id": "user_closing",
                "name": "Clo Sing",
                "email": "clo@closing.example",
                "continue_with_extra_usage": True,
            }
        ],
    }


def _event() -> dict[str, Any]:
    return {
        "id": "msg_closing",
        "user_id": "user_closing",
        "model": "claude-sonnet-4-5",
        "occurred_at": datetime.now(UTC).isoformat(),
        "usage": {"input_tokens": 12_345, "output_tokens": 6_789},
    }
