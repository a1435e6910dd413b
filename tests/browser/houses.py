"""Organizations for the page's tests: people with names, some of whom have spent."""

from __future__ import annotations

import json
import secrets
from typing import Any

import boto3

from tests.browser.visitors import PEOPLE
from tests.e2e.governed import House

NAMES = (
    "Kim Larsen",
    "Leo Marin",
    "Mia Novak",
    "Noor Haddad",
    "Otto Weiss",
    "Pia Costa",
    "Quentin Noël",
    "Rosa Silva",
    "Sven Dahl",
    "Tara Iyer",
)
ROLES = {"owner": "primary_owner", "admin": "admin"}
ALLOWANCE = [{"window": "PT5H", "amount": "100"}, {"window": "P7D", "amount": "500"}]


def house(stack: dict[str, Any], plan: str, *, members: int = 6, **document: Any) -> House:
    """Provision an organization whose people can sign in: `owner`, `admin`, `m0`, `m1`, …

    `m0` and `m1` have premium seats, which include nothing; the others' include a dollar in five
    hours.
    """
    suffix = secrets.token_hex(3)
    names = {
        "owner": "Olga Brandt",
        "admin": "Ivo Petrov",
        **{f"m{index}": _name(index) for index in range(members)},
    }
    people = {key: f"user_{suffix}_{key}" for key in names}
    wanted = {
        "id": f"page-{suffix}",
        "plan": plan,
        "name": "Globex Engineering",
        "extra_usage": {"enabled": True, "members": "everyone"},
        "spend_limit": "100000",
        "seat_tiers": {"standard": {"allowance": ALLOWANCE}, "premium": {"allowance": []}},
        "members": [
            {
                "user_id": user_id,
                "name": names[key],
                "email": f"{names[key].split()[0].lower()}.{key}@globex.example",
                "role": ROLES.get(key, "member"),
                "seat_tier": "premium" if key in ("owner", "m0", "m1") else "standard",
                "extra_usage": True,
                "continue_with_extra_usage": True,
            }
            for key, user_id in people.items()
        ],
        **({"wallet": {"balance": "25000"}} if plan == "team" else {}),
        **document,
    }
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    answer = client.invoke(
        FunctionName=stack["functions"]["ProvisionOrganization"],
        Payload=json.dumps(wanted).encode(),
    )
    told = json.loads(answer["Payload"].read())
    assert told["type"] == "organization", told
    _let_sign_in(told["id"], names, people)
    return House(stack, told["id"], told["service_key"], told["admin_key"], people)


def settings(house: House) -> dict[str, Any]:
    """What the API says of an organization: what the page did is looked up here."""
    answer = house.send("GET", "/v1/organizations/extra_usage", person="owner")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refusal(house: House, name: str = "m0") -> str | None:
    """Why a member's next small request would not start; None if it does."""
    body = {
        "user_id": house.people[name],
        "model": "claude-sonnet-4-5",
        "input_tokens": 1,
        "max_tokens": 1,
        "ttl_seconds": 1,
    }
    answer = house.send("POST", "/v1/authorizations", body, key=house.service_key)
    return None if answer.status_code == 200 else str(answer.json()["error"]["details"]["reason"])


def _name(index: int) -> str:
    name = NAMES[index % len(NAMES)]
    return name if index < len(NAMES) else f"{name} {index // len(NAMES) + 1}"


def _let_sign_in(org_id: str, names: dict[str, str], people: dict[str, str]) -> None:
    directory = json.loads(PEOPLE.read_text())
    directory["people"] += [
        {
            "organization": org_id,
            "org_id": org_id,
            "user_id": user_id,
            "name": names[key],
            "role": ROLES.get(key, "member"),
        }
        for key, user_id in people.items()
    ]
    PEOPLE.write_text(json.dumps(directory))
