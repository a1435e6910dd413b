"""The authorize handler's time beyond its DynamoDB calls, invoked as API Gateway does.

Each request has an idempotency key, as the client package sends one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any

import boto3
from moto import mock_aws
from rich.console import Console

from tests.environment import ENVIRONMENT
from tests.template import table_definition
from tools.bench import scene
from tools.example_models import MODEL
from tools.progress import follow

REQUESTS = 300
TABLE = "bench-handler"


def measure(console: Console, requests: int = REQUESTS) -> float:
    """Return the median in milliseconds, the time inside the client's calls taken away."""
    os.environ |= {**ENVIRONMENT, **scene.FAKE_AWS, "TABLE_NAME": TABLE}
    with mock_aws():
        boto3.client("dynamodb").create_table(**table_definition(TABLE))
        from functions.authorize_spend import handler as function
        from functions.provision_organization import handler as provisioning

        document = {
            "id": "bench",
            "plan": "enterprise",
            "name": "bench",
            "extra_usage": {"enabled": True},
            "spend_limit": None,
            "members": [
                {
                    "user_id": "user_bench",
                    "name": "Bench",
                    "email": "bench@example.com",
                    "role": "primary_owner",
                    "continue_with_extra_usage": True,
                }
            ],
        }
        context: Any = Context()
        key = provisioning.handler(document, context)["service_key"]
        event = _event(key)
        inside = [0.0]
        client: Any = function.table.connection.client
        client._make_api_call = _timed(client._make_api_call, inside)
        times = []
        for number in follow(range(requests), "requests", total=requests, console=console):
            # What the functions log is none of the report.
            with contextlib.redirect_stdout(io.StringIO()):
                inside[0] = 0.0
                event["headers"]["idempotency-key"] = secrets.token_hex(16)
                started = time.perf_counter()
                answer = function.handler(event, context)
                spent = time.perf_counter() - started - inside[0]
                assert answer["statusCode"] == 200, answer
                released = _release(event, json.loads(answer["body"])["id"])
                assert function.handler(released, context)["statusCode"] == 200
            if number >= requests // 10:
                times.append(spent)
        return statistics.median(times) * 1000


class Context:
    """What Lambda tells a function of its invocation."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    aws_request_id = "bench"


def _timed(call: Callable[..., Any], inside: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*arguments, **options)
        finally:
            inside[0] += time.perf_counter() - started

    return timed


def _event(key: str) -> dict[str, Any]:
    path = "/v1/authorizations"
    body = {"user_id": "user_bench", "model": MODEL, "input_tokens": 2048, "max_tokens": 1024}
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"x-api-key": key, "content-type": "application/json"},
        "requestContext": {
            "http": {"method": "POST", "path": path},
            "requestId": "bench",
            "stage": "$default",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def _release(event: dict[str, Any], authorization_id: str) -> dict[str, Any]:
    path = f"/v1/authorizations/{authorization_id}"
    http = {"method": "DELETE", "path": path}
    return {
        **event,
        "rawPath": path,
        "requestContext": {**event["requestContext"], "http": http},
        "body": None,
    }
