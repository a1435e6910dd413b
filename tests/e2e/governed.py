"""A fresh organization on the deployed stack, and what its people and programs send."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx2

from tools.local_stack.emulator import ROOT
from tools.local_stack.issuer import Issuer

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class House:
    """An organization of its own, so that nobody else's calls count against its minute."""

    stack: dict[str, Any]
    org_id: str
    service_key: str
    admin_key: str
    people: dict[str, str]

    def send(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        person: str | None = None,
        key: str | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        headers = {**(headers or {}), **({"x-api-key": key} if key else {})}
        if person:
            headers["authorization"] = f"Bearer {self.token(person)}"
        return httpx2.request(
            method,
            self.stack["api_url"] + path,
            json=body,
            headers=headers,
            params=query,
            timeout=30,
        )

    def token(self, name: str) -> str:
        issuer = Issuer(ROOT / ".local-e2e" / "issuer.pem")
        return issuer.token(self.org_id, self.people[name])

    def spend(self, name: str, output_tokens: int) -> str:
        """Authorize, record, and return what it cost."""
        model, user_id = "claude-sonnet-4-5", self.people[name]
        held = self.send(
            "POST",
            "/v1/authorizations",
            {
                "user_id": user_id,
                "model": model,
                "input_tokens": 1000,
                "max_tokens": output_tokens,
            },
            key=self.service_key,
        )
        assert held.status_code == 200, held.text
        event = {
            "id": f"msg_{secrets.token_hex(8)}",
            "authorization_id": held.json()["id"],
            "user_id": user_id,
            "model": model,
            "occurred_at": datetime.now(UTC).isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": output_tokens},
        }
        told = self.send(
            "POST", "/v1/usage/events", {"events": [event]}, key=self.service_key
        ).json()
        assert told["results"][0]["source"] == "extra_usage", told
        return str(told["results"][0]["amount"])


def provision_house(stack: dict[str, Any], members: int = 4, **document: Any) -> House:
    """Provision an organization, Enterprise unless told: `owner`, `admin`, `m0`, `m1`, …"""
    suffix = secrets.token_hex(4)
    names = ["owner", "admin", *(f"m{index}" for index in range(members))]
    people = {name: f"user_{suffix}_{name}" for name in names}
    wanted = {
        "id": f"house-{suffix}",
        "plan": "enterprise",
        "name": "House",
        "extra_usage": {"enabled": True, "members": "everyone"},
        "spend_limit": "100000",
        "members": [
            {
                "user_id": user_id,
                "name": name,
                "email": f"{name}@{suffix}.example",
                "role": {"owner": "primary_owner", "admin": "admin"}.get(name, "member"),
                "continue_with_extra_usage": True,
            }
            for name, user_id in people.items()
        ],
        **document,
    }
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    answer = client.invoke(
        FunctionName=stack["functions"]["ProvisionOrganization"],
        Payload=json.dumps(wanted).encode(),
    )
    told = json.loads(answer["Payload"].read())
    assert told["type"] == "organization", told
    return House(stack, told["id"], told["service_key"], told["admin_key"], people)
