"""A failure that nobody expected is told to operators, and to CodeDeploy, not to the client."""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import patch

import pytest

from tests.emitted_metrics import VERSION, fail, invoke, loaded, read_line
from tests.in_process import Application, sample

EDGE_ID = "r4nd0m-id-of-the-edge=="


def crashed(capsys: pytest.CaptureFixture[str], headers: dict[str, str]) -> list[dict[str, Any]]:
    """Let an authorization crash; return the lines of its log."""
    event = sample("authorize_spend/create_authorization")
    event["headers"] |= headers
    with loaded("authorize_spend", "AuthorizeSpend") as handler:
        capsys.readouterr()
        # The logger of a service is made once in a process, and writes where it began to.
        written = patch.object(handler.logger.registered_handler, "stream", sys.stdout)
        with written, patch.object(handler.api, "_authenticate", fail):
            answer = invoke(handler, event)
    assert answer["statusCode"] == 500
    assert "ZeroDivision" not in answer["body"]
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_crash_is_counted_of_the_function_and_of_its_version(
    app: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = crashed(capsys, {})

    counted = [
        sorted(metric.dimensions)
        for line in lines
        for metric in read_line("authorize_spend", json.dumps(line))
        if metric.name == "Crashes"
    ]
    service = ("service", "authorize_spend")
    assert counted == [[service], [("function_version", VERSION), service]]


def test_what_failed_behind_an_edge_is_found_in_its_log(
    app: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """The edge's log has the client's address, which the API behind it does not see."""
    (behind,) = [line for line in crashed(capsys, {"X-Amz-Cf-Id": EDGE_ID}) if "level" in line]
    (direct,) = [line for line in crashed(capsys, {}) if "level" in line]

    assert behind["edge_request_id"] == EDGE_ID
    assert "edge_request_id" not in direct


def test_an_answer_that_was_meant_is_no_crash(
    app: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    with loaded("authorize_spend", "AuthorizeSpend") as handler:
        capsys.readouterr()
        answer = invoke(handler, sample("authorize_spend/create_authorization"))

    assert answer["statusCode"] == 401
    assert "Crashes" not in capsys.readouterr().out
