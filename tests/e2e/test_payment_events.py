"""The processor's events reach the deployed function, which knows them by their signature."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import boto3
import httpx2
import pytest

from tests.e2e.paying import Processor


@pytest.fixture(scope="module")
def processor(stack: dict[str, Any]) -> Processor:
    return Processor(stack)


def event_of_somebody() -> dict[str, Any]:
    """A payment that is none of ours, as other software of the vendor has them."""
    suffix = secrets.token_hex(8)
    return {
        "id": f"evt_{suffix}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(time.time()),
        "data": {"object": {"object": "payment_intent", "id": f"pi_{suffix}", "amount": 100}},
    }


def test_a_signed_event_is_taken_once(stack: dict[str, Any], processor: Processor) -> None:
    """The function may read the secret and write the table, and nothing tells the two apart."""
    event = event_of_somebody()

    answers = []
    for _ in range(3):
        payload, signature = processor.signed(event)
        answers.append(
            httpx2.post(
                f"{stack['api_url']}/v1/payment_events",
                content=payload,
                headers={"stripe-signature": signature, "content-type": "application/json"},
                timeout=30,
            )
        )

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [a.json()["status"] for a in answers] == ["acted", "ignored", "ignored"]
    assert processor.event_state(event["id"]) == "acted"


def test_a_stranger_is_not_listened_to(stack: dict[str, Any], processor: Processor) -> None:
    event = event_of_somebody()
    payload, signature = processor.signed(event)

    for body, header in [
        (payload, "t=1,v1=00"),
        (payload, None),
        (payload.replace(b"100", b"999"), signature),
        (b"", signature),
        (b"\xff\xfe", signature),
    ]:
        answer = httpx2.post(
            f"{stack['api_url']}/v1/payment_events",
            content=body,
            headers={"stripe-signature": header} if header else {},
            timeout=30,
        )
        assert answer.status_code == 400, answer.text
    assert processor.event_state(event["id"]) is None


def test_the_schedule_finds_nothing_left_over(stack: dict[str, Any]) -> None:
    """The function may query the index of what is due."""
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    answer = client.invoke(FunctionName=stack["functions"]["ReceivePaymentEvent"], Payload=b"{}")

    assert json.loads(answer["Payload"].read()) == {"acted": 0, "failed": 0}
