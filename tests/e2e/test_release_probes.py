"""The hook that CodeDeploy asks before traffic shifts, asked by hand in the deployed stack."""

from __future__ import annotations

import json
from typing import Any

import boto3


def test_the_versions_of_a_deployed_stack_answer_their_probes(stack: dict[str, Any]) -> None:
    """It goes under its own role, by the versions' ARNs, to every function of the API."""
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])

    ended = client.invoke(FunctionName=stack["functions"]["SmokeRelease"], Payload=b"{}")

    assert "FunctionError" not in ended
    assert json.loads(ended["Payload"].read()) == {"failures": []}
