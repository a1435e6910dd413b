"""What `make up` promises: a file that says where everything is, the same one each time."""

from __future__ import annotations

import json
import stat
from typing import Any

import boto3
import httpx2

from tests.template import template
from tools.local_stack.emulator import ROOT, Emulator
from tools.local_stack.stack import up

HOME = ROOT / ".local-e2e"


def test_the_file_says_where_everything_is(stack: dict[str, Any]) -> None:
    endpoint = stack["aws_endpoint_url"]
    dynamodb = boto3.client("dynamodb", endpoint_url=endpoint, region_name=stack["region"])
    functions = boto3.client("lambda", endpoint_url=endpoint, region_name=stack["region"])
    sqs = boto3.client("sqs", endpoint_url=endpoint, region_name=stack["region"])

    assert dynamodb.describe_table(TableName=stack["table_name"])["Table"]["TableStatus"]
    assert sqs.get_queue_attributes(QueueUrl=stack["usage_queue_url"])
    deployed = {
        name
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert deployed <= stack["functions"].keys()
    for name in stack["functions"].values():
        assert functions.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name
    assert httpx2.post(f"{stack['api_url']}/v1/authorizations").status_code == 401


def test_it_names_a_team_and_an_enterprise_organization_that_can_be_used(
    stack: dict[str, Any],
) -> None:
    organizations = stack["organizations"]
    assert sorted(organization["plan"] for organization in organizations) == ["enterprise", "team"]
    for organization in organizations:
        assert organization.keys() == {"id", "plan", "service_key", "admin_key", "members"}
        assert organization["id"].startswith("org_")
        for member in organization["members"]:
            assert member.keys() - {"token"} == {"user_id", "seat_tier", "role"}
        assert "primary_owner" in {member["role"] for member in organization["members"]}
        answer = httpx2.post(
            f"{stack['api_url']}/v1/authorizations",
            headers={"x-api-key": organization["service_key"]},
            json={
                "user_id": organization["members"][0]["user_id"],
                "model": "claude-sonnet-4-5",
                "input_tokens": 1,
                "max_tokens": 1,
                "ttl_seconds": 1,
            },
        )
        assert answer.status_code == 200


def test_the_keys_in_it_are_for_its_owner_only(stack: dict[str, Any]) -> None:
    for name in ("stack.json", "keys.json"):
        assert stat.S_IMODE((HOME / name).stat().st_mode) == 0o600


def test_bringing_it_up_again_changes_nothing(stack: dict[str, Any]) -> None:
    again = up(Emulator(HOME, strict=True))

    assert without_tokens(json.loads(again.read_text())) == without_tokens(stack)


def without_tokens(stack: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is signed anew each time, because it expires."""
    organizations = [
        {
            **organization,
            "members": [
                {name: value for name, value in member.items() if name != "token"}
                for member in organization["members"]
            ],
        }
        for organization in stack["organizations"]
    ]
    return {**stack, "organizations": organizations}
