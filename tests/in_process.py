"""The functions in this process, driven by the files in events/ over a table in moto."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

# Before the handlers: only clients made after it are moto's.
from moto import mock_aws

from functions.authorize_spend import handler as authorize_spend
from functions.ingest_usage import handler as ingest_usage
from functions.provision_organization import handler as provision_organization
from functions.sweep_holds import handler as sweep_holds
from headroom.core.domain.instants import to_wire
from headroom.core.store.table import DynamoTable
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import find_budget
from headroom.spending.store.ledger import list_lines
from headroom.spending.store.line_record import LineRecord
from tests.template import table_definition

EVENTS = Path(__file__).resolve().parents[1] / "events"
REQUEST_ID = re.compile(r"req_.+")
ERROR_TYPES = {
    400: {"invalid_request_error"},
    401: {"authentication_error"},
    403: {"permission_error"},
    405: {"invalid_request_error"},
    404: {"not_found_error"},
    409: {"conflict_error"},
    413: {"request_too_large"},
    429: {"billing_error", "rate_limit_error"},
    500: {"api_error"},
    503: {"overloaded_error"},
}

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def sample(name: str) -> dict[str, Any]:
    """Return the event in a file of events/, such as "sweep_holds/schedule"."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def sample_body(name: str) -> dict[str, Any]:
    """Return the body inside an event of the API."""
    body: dict[str, Any] = json.loads(sample(name)["body"])
    return body


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands to a handler beside the event."""

    function_name: str = "in-process"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:in-process"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"
    remaining_millis: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_millis


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whose form was found to be as the contract has it."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        assert self.status >= 400, self.body
        error: dict[str, Any] = self.body["error"]
        return error

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and error type, which clients branch on."""
        return self.status, self.error["type"]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Answer:
        """Read what a handler returned, and check what holds for every answer."""
        headers = {name.lower(): value for name, value in raw["headers"].items()}
        assert raw["isBase64Encoded"] is False
        assert headers["content-type"] == "application/json"
        assert REQUEST_ID.fullmatch(headers["request-id"])
        answer = cls(raw["statusCode"], headers, json.loads(raw["body"]))
        assert isinstance(answer.body["type"], str)
        if answer.status != 200:
            answer.check_envelope()
        return answer

    def check_envelope(self) -> None:
        """Check that an error is the envelope of the contract, and nothing besides."""
        assert self.body.keys() == {"type", "error", "request_id"}
        assert self.body["type"] == "error"
        assert self.body["request_id"] == self.headers["request-id"]
        assert self.error["type"] in ERROR_TYPES[self.status]
        assert self.error.keys() - {"details"} == {"type", "message"}
        assert self.error["message"]
        assert self.headers["x-should-retry"] in ("true", "false")
        if self.status in (429, 503):
            assert int(self.headers["retry-after"]) >= 1
        # A client that sent something absurd should not get it back at full length.
        assert len(json.dumps(self.body)) < 2_000


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization as it was provisioned, and the key that its requests go out with."""

    id: str
    service_key: str
    admin_key: str
    members: list[dict[str, str]]


@dataclass(slots=True)
class Application:
    """The four functions over one table."""

    table: DynamoTable
    organizations: int = field(default=0)

    def invoke_provisioning(self, document: Any) -> dict[str, Any]:
        return provision_organization.handler(document, cast("Any", Context()))

    def provision(self, **changes: Any) -> Organization:
        """Create an organization of its own from the sample document with some members changed."""
        self.organizations += 1
        document = sample("provision_organization/organization")
        document["id"] = f"acme-{self.organizations}"
        answer = self.invoke_provisioning(document | changes)
        assert answer["type"] == "organization", answer
        return Organization(
            answer["id"], answer["service_key"], answer["admin_key"], answer["members"]
        )

    def authorize(
        self, organization: Organization, *, idempotency_key: str | None = None, **changes: Any
    ) -> Answer:
        """Ask for the sample authorization with some members changed; None leaves one out."""
        return self.post_authorization(
            organization.service_key,
            changed(sample_body("authorize_spend/create_authorization"), changes),
            {"idempotency-key": idempotency_key},
        )

    def held(self, organization: Organization, **changes: Any) -> str:
        """Return the id of an authorization that must be given."""
        answer = self.authorize(organization, **changes)
        assert answer.status == 200, answer.body
        return str(answer.body["id"])

    def post_authorization(
        self, key: str | None, body: Any, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        event = sample("authorize_spend/create_authorization")
        del event["headers"]["idempotency-key"]
        return self.send(event, key, body, headers)

    def release(self, key: str | None, authorization_id: str) -> Answer:
        event = at(sample("authorize_spend/release_authorization"), authorization_id)
        return self.send(event, key)

    def extend(self, key: str | None, authorization_id: str, body: Any) -> Answer:
        event = at(sample("authorize_spend/extend_authorization"), authorization_id)
        return self.send(event, key, body)

    def post_events(
        self, key: str | None, body: Any, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        return self.send(sample("ingest_usage/record_usage"), key, body, headers)

    def record(self, organization: Organization, *events: Any) -> list[dict[str, Any]]:
        """Return the results of a batch that must be answered."""
        answer = self.post_events(organization.service_key, {"events": list(events)})
        assert answer.status == 200, answer.body
        assert answer.body.keys() == {"type", "results"}
        results: list[dict[str, Any]] = answer.body["results"]
        assert len(results) == len(events)
        return results

    def take(self, *bodies: str) -> list[int]:
        """Deliver messages of the usage queue; return which of them are to be delivered again."""
        batch = sample("ingest_usage/usage_queue")
        first = batch["Records"][0]
        batch["Records"] = [
            {**first, "messageId": f"message-{index}", "body": body}
            for index, body in enumerate(bodies)
        ]
        return [int(failed.removeprefix("message-")) for failed in self.deliver(batch)]

    def deliver(self, batch: dict[str, Any]) -> list[str]:
        """Deliver a batch of the usage queue; return the ids of messages to be delivered again."""
        answer = ingest_usage.handler(deepcopy(batch), cast("Any", Context()))
        assert answer.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def sweep(self, *, remaining_millis: int = 30_000) -> dict[str, Any]:
        context = cast("Any", Context(remaining_millis=remaining_millis))
        answer: dict[str, Any] = sweep_holds.handler(sample("sweep_holds/schedule"), context)
        return answer

    def send(
        self,
        event: dict[str, Any],
        key: str | None,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send an event of the API; a body that is no text goes out as JSON, bytes as base64."""
        event["headers"] |= {"x-api-key": key, **(headers or {})}
        event["headers"] = {
            name: text for name, text in event["headers"].items() if text is not None
        }
        match body:
            case None:
                event.pop("body", None)
            case str():
                event["body"] = body
            case bytes():
                event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
            case _:
                event["body"] = json.dumps(body)
        is_usage = event["rawPath"].startswith("/v1/usage")
        handler = cast("Handler", ingest_usage.handler if is_usage else authorize_spend.handler)
        return Answer.read(handler(event, Context()))

    def everything(self) -> list[dict[str, Any]]:
        """Return every item there is."""
        client = cast("Any", self.table.connection.client)
        items: list[dict[str, Any]] = client.scan(TableName=self.table.name)["Items"]
        return items

    def find_budget(self, organization: Organization, name: str = "ada") -> Budget | None:
        return find_budget(self.table, organization.id, f"user_{name}")

    def budget(self, organization: Organization, name: str = "ada") -> Budget:
        """Return the budget of a member who has asked for something before."""
        budget = self.find_budget(organization, name)
        assert budget is not None
        return budget

    def holds(self, organization: Organization, name: str = "ada") -> int:
        """Return how many open holds a member has."""
        budget = self.find_budget(organization, name)
        return len(budget.holds) if budget else 0

    def lines(self, organization: Organization, name: str = "ada") -> list[LineRecord]:
        """Return a member's lines of the current period, which must agree with the counters."""
        budget = self.find_budget(organization, name)
        if budget is None:
            return []
        lines = list(list_lines(self.table, organization.id, budget.user_id, budget.period))
        assert sum(line.charged for line in lines) == budget.spent
        assert sum(line.unbilled for line in lines) == budget.unbilled
        assert budget.granted == budget.allotment + budget.held + budget.spent
        extra = [hold for hold in budget.holds.values() if hold.source == "extra_usage"]
        assert sum(hold.amount_nanos for hold in extra) == budget.held
        return lines


def usage_event(
    event_id: str, authorization_id: str | None = None, **changes: Any
) -> dict[str, Any]:
    """Return the sample usage event, as of now, with some members changed; None leaves one out."""
    event: dict[str, Any] = sample_body("ingest_usage/record_usage")["events"][0]
    event |= {"id": event_id, "occurred_at": to_wire(datetime.now(UTC))}
    return changed(event, {"authorization_id": authorization_id, **changes})


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


def at(event: dict[str, Any], authorization_id: str) -> dict[str, Any]:
    """Point an event at an authorization."""
    old = event["rawPath"].split("/")[3]
    path = event["rawPath"].replace(old, authorization_id)
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["pathParameters"] = {"proxy": path.removeprefix("/v1/authorizations/")}
    return event


@contextmanager
def application() -> Iterator[Application]:
    """Run the functions over a new table, made from the template."""
    with mock_aws():
        table = authorize_spend.table
        client: Any = table.connection.client
        client.create_table(**table_definition(table.name))
        yield Application(table)
