"""The deployed stack answers as its OpenAPI document says, whoever asks whatever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx2
import pytest
import requests
import schemathesis
from botocore.config import Config
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from headroom.core.store import keys
from tools.build_openapi import DOCUMENT
from tools.local_stack.emulator import ROOT
from tools.local_stack.issuer import Issuer

ROLES = ("primary_owner", "owner", "admin", "member")
CREDENTIALS = ("service_key", "admin_key", *ROLES)
# The document's own example of a member, so that its examples find somebody.
SPARE = "user_ada"
MODEL = "claude-sonnet-4-5"

schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))
load_all_checks()
SESSION = requests.Session()
ANSWERS_AS_DOCUMENTED: Any = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)


@dataclass(frozen=True)
class Tenant:
    """An organization of these tests' own, since they change all that can be changed."""

    org_id: str
    headers: dict[str, dict[str, str]]
    known: dict[str, str]


@pytest.fixture(scope="module", params=["team", "enterprise"])
def tenant(request: pytest.FixtureRequest, stack: dict[str, Any]) -> Tenant:
    plan = request.param
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    answer = client.invoke(
        FunctionName=stack["functions"]["ProvisionOrganization"],
        Payload=json.dumps(_document(plan)).encode(),
    )
    organization = json.loads(answer["Payload"].read())
    org_id = organization["id"]
    issuer = Issuer(ROOT / ".local-e2e" / "issuer.pem")
    headers = {name: {"x-api-key": organization[name]} for name in ("service_key", "admin_key")}
    for role in ROLES:
        token = issuer.token(org_id, f"user_{role}")
        headers[role] = {"authorization": f"Bearer {token}"}
    spare = {"authorization": f"Bearer {issuer.token(org_id, SPARE)}"}
    return Tenant(org_id, headers, _seed(stack["api_url"], plan, headers, spare))


@pytest.fixture
def fresh_minute(stack: dict[str, Any], tenant: Tenant) -> None:
    """Forget the calls of this minute, so that more than the first sixty are looked at."""
    table = boto3.client(
        "dynamodb",
        endpoint_url=stack["aws_endpoint_url"],
        config=Config(retries={"total_max_attempts": 3}),
    )
    minute = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")
    table.delete_item(
        TableName=stack["table_name"], Key=keys.rate(tenant.org_id, minute).attributes()
    )


@schema.parametrize()
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_documented(
    case: schemathesis.Case[Any], stack: dict[str, Any], tenant: Tenant, fresh_minute: None
) -> None:
    # Schemathesis guesses keys too, and a wrong one would hide the token that is to be tried.
    for name in ("x-api-key", "authorization"):
        case.headers.pop(name, None)
    for credential in CREDENTIALS:
        _check(case, stack["api_url"], tenant.headers[credential])
    # Guesses find nobody: the same again about what there is, which is another request.
    case.headers.pop("Idempotency-Key", None)
    guessed = case.path_parameters, case.body
    case.path_parameters = _about(case.path_parameters, tenant.known)
    case.body = _about(case.body, tenant.known)
    if (case.path_parameters, case.body) != guessed:
        for credential in CREDENTIALS:
            _check(case, stack["api_url"], tenant.headers[credential])


def test_the_document_is_open_to_everybody(stack: dict[str, Any]) -> None:
    answer = httpx2.get(f"{stack['api_url']}/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == json.loads(DOCUMENT.read_text())


def test_the_page_is_open_to_everybody(stack: dict[str, Any]) -> None:
    answer = httpx2.get(f"{stack['api_url']}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def _check(case: schemathesis.Case[Any], api_url: str, headers: dict[str, str]) -> None:
    case.call_and_validate(
        api_url, headers=headers, checks=ANSWERS_AS_DOCUMENTED, session=SESSION, timeout=60
    )


def _about(node: Any, known: dict[str, str]) -> Any:
    """Return the same with the ids that exist, and a model that has a price."""
    if isinstance(node, list):
        return [_about(each, known) for each in node]
    if not isinstance(node, dict):
        return node
    return {name: known.get(name) or _about(each, known) for name, each in node.items()}


def _document(plan: str) -> dict[str, Any]:
    members = [(f"user_{role}", role) for role in ROLES] + [(SPARE, "member")]
    return {
        "id": f"openapi-{plan}",
        "plan": plan,
        "name": "Everything that can be changed",
        "extra_usage": {"enabled": True, "members": "everyone"},
        "spend_limit": None,
        "seat_tiers": {
            "standard": {"allowance": [{"window": "PT5H", "amount": "500"}]},
        },
        "members": [
            {
                "user_id": user_id,
                "name": user_id,
                "email": f"{user_id}@{plan}.example",
                "role": role,
                "continue_with_extra_usage": True,
            }
            for user_id, role in members
        ],
        **({"wallet": {"balance": "1000000"}} if plan == "team" else {}),
    }


def _seed(
    api_url: str, plan: str, headers: dict[str, dict[str, str]], spare: dict[str, str]
) -> dict[str, str]:
    """Make one of each thing that has an id, so that ids are not only guessed."""

    def post(path: str, who: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx2.post(f"{api_url}{path}", headers=who, json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    asked = {
        "user_id": SPARE,
        "model": MODEL,
        "input_tokens": 1000,
        "max_tokens": 1000,
    }
    held = post("/v1/authorizations", headers["service_key"], asked)
    moment = datetime.now(UTC) - timedelta(seconds=5)
    event = {
        "id": "msg_seed",
        "user_id": "user_member",
        "model": MODEL,
        "occurred_at": moment.isoformat(),
        "usage": {"input_tokens": 1_000_000, "output_tokens": 100_000},
    }
    post("/v1/usage/events", headers["service_key"], {"events": [event]})
    limit = {"scope": {"type": "user", "user_id": SPARE}, "amount": "5000"}
    known = {
        "user_id": SPARE,
        "model": MODEL,
        "authorization_id": held["id"],
        "spend_limit_id": post("/v1/organizations/spend_limits", headers["admin_key"], limit)["id"],
        "key_id": post(
            "/v1/organizations/api_keys",
            headers["owner"],
            {"name": "spare", "scopes": ["write:usage"]},
        )["id"],
    }
    if plan == "enterprise":
        known["request_id"] = post("/v1/me/spend_limit_increase_requests", spare, {"note": "more"})[
            "id"
        ]
    return known
