"""`kill -9` in the middle of load: what was acknowledged is still there, and the stack goes on."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from tests.e2e.governed import House, provision_house
from tests.e2e.paying import awaited
from tools import processes
from tools.example_models import MODEL
from tools.local_stack.emulator import ROOT, Emulator
from tools.local_stack.stack import up
from tools.restore.ledger import read
from tools.restore.proof import findings

HOME = ROOT / ".local-e2e"
MEMBERS = 4
# Killed when so many events were acknowledged, with all clients in the middle of the next.
ENOUGH = 40
PATIENCE_SECONDS = 240.0


@dataclass
class Load:
    """What clients sent until nobody answered any more, and what they were told."""

    house: House
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    killed: threading.Event = field(default_factory=threading.Event)
    problems: list[str] = field(default_factory=list)

    def send(self, user_id: str) -> None:
        """Authorize and record until the stack is gone."""
        try:
            while not self.killed.is_set():
                # What is not answered is not acknowledged: processes that are slow to start.
                with suppress(httpx2.TransportError):
                    self._send_one(user_id)
        except AssertionError as problem:
            self.problems.append(repr(problem))
            self.enough.set()

    def _send_one(self, user_id: str) -> None:
        body = {"user_id": user_id, "model": MODEL, "input_tokens": 100, "max_tokens": 100}
        key = self.house.service_key
        answer = self.house.send("POST", "/v1/authorizations", body, key=key)
        if answer.status_code >= 500:
            return
        assert answer.status_code == 200, answer.text
        authorization_id = answer.json()["id"]
        self.held.append(authorization_id)
        event = {
            "id": f"msg_{secrets.token_hex(8)}",
            "authorization_id": authorization_id,
            "user_id": user_id,
            "model": MODEL,
            "occurred_at": datetime.now(UTC).isoformat(),
            "usage": {"input_tokens": 100, "output_tokens": 50},
        }
        told = self.house.send("POST", "/v1/usage/events", {"events": [event]}, key=key)
        if told.status_code >= 500:
            return
        assert told.status_code == 200, told.text
        (result,) = told.json()["results"]
        assert result["status"] == "recorded", result
        self.acknowledged[event["id"]] = event
        self.held.remove(authorization_id)
        if len(self.acknowledged) >= ENOUGH:
            self.enough.set()


@pytest.fixture(scope="module")
def load(stack: dict[str, Any]) -> Load:
    """The stack after it was killed under load and brought up again."""
    load = Load(provision_house(stack, MEMBERS))
    clients = [
        threading.Thread(target=load.send, args=(load.house.people[f"m{index}"],))
        for index in range(MEMBERS)
    ]
    for client in clients:
        client.start()
    was_enough = load.enough.wait(PATIENCE_SECONDS)
    kill(HOME / "process.json", load.killed)
    for client in clients:
        client.join(PATIENCE_SECONDS)
    described = up(Emulator(HOME, strict=True))
    assert load.problems == []
    assert was_enough
    assert json.loads(described.read_text())["api_url"] == stack["api_url"]
    return load


def kill(note: Path, killed: threading.Event | None = None) -> None:
    process = processes.recall(note)
    assert process is not None
    if killed is not None:
        killed.set()
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(processes.POLL_SECONDS)


def patiently(load: Load, method: str, path: str, body: object | None = None) -> httpx2.Response:
    """Send until there is an answer: all functions start anew, on a machine that has much to do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = load.house.send(method, path, body, key=load.house.service_key)
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            continue
        if answer.status_code < 500:
            return answer
        assert time.monotonic() < deadline, answer.text


def items(stack: dict[str, Any]) -> list[dict[str, Any]]:
    client = boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])
    scan = client.get_paginator("scan")
    pages = scan.paginate(TableName=stack["table_name"], ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def test_usage_that_was_acknowledged_is_still_there(load: Load) -> None:
    assert len(load.acknowledged) >= ENOUGH
    for event in load.acknowledged.values():
        answer = patiently(load, "POST", "/v1/usage/events", {"events": [event]})
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        assert result["status"] == "duplicate", (event["id"], result)


def test_holds_that_were_acknowledged_are_still_there(load: Load) -> None:
    """Those whose usage was on its way: they can be given back, and once."""
    for authorization_id in load.held:
        path = f"/v1/authorizations/{authorization_id}"
        answer = patiently(load, "DELETE", path)
        # Its usage may have been recorded, and only the answer lost.
        assert answer.status_code in (200, 409), answer.text


def test_ledger_and_counters_agree(load: Load, stack: dict[str, Any]) -> None:
    ledger = read(items(stack))

    assert [each for each in findings(ledger) if each.startswith(load.house.org_id)] == []
    spent = sum(each.spent for each in ledger.organizations[load.house.org_id].budgets)
    unit = 100 * 3_000 + 50 * 15_000
    # What is more was recorded, and nobody was told: its hold is still among those held.
    assert len(load.acknowledged) * unit <= spent
    assert spent <= (len(load.acknowledged) + len(load.held)) * unit


def test_those_who_follow_the_table_hear_of_what_comes_next(
    load: Load, stack: dict[str, Any]
) -> None:
    """Their places in the stream are of the one before; else nothing would reach them for long."""
    endpoint = stack["aws_endpoint_url"]
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    events = boto3.client("events", endpoint_url=endpoint)
    url = sqs.create_queue(QueueName="headroom-test-after-crash")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    rule = {"Name": "after-crash", "EventBusName": stack["event_bus_name"]}
    events.put_rule(**rule, EventPattern=json.dumps({"source": ["headroom"]}))
    targets: list[Any] = [{"Id": "q", "Arn": arn["QueueArn"]}]
    events.put_targets(Rule=rule["Name"], EventBusName=stack["event_bus_name"], Targets=targets)
    try:
        path = "/v1/organizations/spend_limit"
        answer = load.house.send("PUT", path, {"amount": "90000"}, key=load.house.admin_key)
        assert answer.status_code == 200, answer.text

        def heard() -> bool | None:
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            told = [json.loads(each["Body"]) for each in got.get("Messages", [])]
            return (
                any(
                    each["detail-type"] == "spend_limit.changed"
                    and each["detail"]["organization_id"] == load.house.org_id
                    for each in told
                )
                or None
            )

        awaited("the news of the limit", heard)
    finally:
        events.remove_targets(Rule=rule["Name"], EventBusName=rule["EventBusName"], Ids=["q"])
        events.delete_rule(Name=rule["Name"], EventBusName=rule["EventBusName"])
        sqs.delete_queue(QueueUrl=url)


def test_it_comes_up_again_as_often_as_it_is_killed(load: Load, stack: dict[str, Any]) -> None:
    """The journal is made again from the same snapshot each time."""
    before = {(item["pk"]["S"], item["sk"]["S"]) for item in items(stack)}
    lines = {key for key in before if key[0].startswith(f"ORG#{load.house.org_id}")}
    kill(HOME / "process.json")
    up(Emulator(HOME, strict=True))

    after = {(item["pk"]["S"], item["sk"]["S"]) for item in items(stack)}
    assert lines
    assert lines <= after
