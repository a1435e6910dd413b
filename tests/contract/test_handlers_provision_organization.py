from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from headroom.organizations.store.organizations import (
    find_member,
    find_organization,
    find_pool,
    list_members,
)
from headroom.provisioning.usecases.provisioning import organization_id
from tests.in_process import Application, sample

DOCUMENT = "provision_organization/organization"
NANOS_PER_CENT = 10_000_000


def test_the_sample_document_becomes_an_organization(app: Application) -> None:
    answer = app.invoke_provisioning(sample(DOCUMENT))

    service_key, admin_key = answer.pop("service_key"), answer.pop("admin_key")
    assert service_key.startswith("sk-headroom-service-")
    assert admin_key.startswith("sk-headroom-admin-")
    emil = answer["members"][-1].pop("user_id")
    assert emil.startswith("user_")
    assert answer == {
        "type": "organization",
        "id": organization_id("acme-2026"),
        "members": [
            {"user_id": "user_ada", "role": "primary_owner", "seat_tier": "premium"},
            {"user_id": "user_ben", "role": "member", "seat_tier": "standard"},
            {"user_id": "user_chi", "role": "member", "seat_tier": "standard"},
            {"user_id": "user_dora", "role": "member", "seat_tier": "premium"},
            {"role": "member", "seat_tier": "premium"},
        ],
    }
    organization = find_organization(app.table, answer["id"])
    assert organization is not None
    assert (organization.plan, organization.enabled) == ("team", True)
    assert organization.cap_nanos == 50_000 * NANOS_PER_CENT
    pool = find_pool(app.table, answer["id"])
    assert (pool.unallotted, pool.funds) == (50_000 * NANOS_PER_CENT, 10_000 * NANOS_PER_CENT)
    members = {member.user_id: member for member in list_members(app.table, answer["id"])}
    assert members.keys() == {"user_ada", "user_ben", "user_chi", "user_dora", emil}
    assert members["user_dora"].limits == {"monthly": 2_500 * NANOS_PER_CENT}


def test_the_same_document_again_finds_it_and_tells_no_keys(app: Application) -> None:
    first = app.invoke_provisioning(sample(DOCUMENT))
    turned = dict(reversed(sample(DOCUMENT).items()))

    second = app.invoke_provisioning(turned)

    assert second == {name: first[name] for name in ("type", "id", "members")}


def test_the_first_keys_still_work_after_the_second_time(app: Application) -> None:
    document = sample(DOCUMENT) | {"id": "acme-1"}
    acme = app.provision()

    app.invoke_provisioning(document)

    assert app.authorize(acme).status == 200


def test_no_secret_is_in_the_table(app: Application) -> None:
    answer = app.invoke_provisioning(sample(DOCUMENT))

    items = str(app.everything())

    assert answer["id"] in items
    assert answer["service_key"] not in items
    assert answer["admin_key"] not in items


def test_another_document_under_the_same_id_is_a_conflict(app: Application) -> None:
    app.invoke_provisioning(sample(DOCUMENT))

    answer = app.invoke_provisioning(sample(DOCUMENT) | {"spend_limit": "50001"})

    assert answer["type"] == "error"
    assert answer["error"]["type"] == "conflict_error"
    assert answer["request_id"].startswith("req_")
    organization = find_organization(app.table, organization_id("acme-2026"))
    assert organization is not None
    assert organization.cap_nanos == 50_000 * NANOS_PER_CENT


def test_a_conflicting_document_adds_no_members(app: Application) -> None:
    first = app.invoke_provisioning(sample(DOCUMENT))
    document = sample(DOCUMENT)
    document["members"][1]["user_id"] = "user_zoe"

    answer = app.invoke_provisioning(document)

    assert answer["error"]["type"] == "conflict_error"
    assert find_member(app.table, first["id"], "user_zoe") is None


def with_member(**changes: Any) -> dict[str, Any]:
    members = deepcopy(sample(DOCUMENT)["members"])
    members[1] |= changes
    return {"members": members}


def with_tier(tier: Any) -> dict[str, Any]:
    return {"seat_tiers": {"standard": tier}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a" * 65}, "id"),
        ({"id": "../acme"}, "id"),
        ({"id": "acme#1"}, "id"),
        ({"id": 7}, "id"),
        ({"plan": None}, "plan"),
        ({"plan": "free"}, "plan"),
        ({"plan": ["team"]}, "plan"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": 0}, "time_zone"),
        ({"language": "tlh"}, "language"),
        ({"extra_usage": True}, "extra_usage"),
        ({"extra_usage": {"enabled": "yes"}}, "extra_usage.enabled"),
        ({"extra_usage": {"members": "nobody"}}, "extra_usage.members"),
        ({"extra_usage": {"on": True}}, "extra_usage.on"),
        ({"spend_limit": 50000}, "spend_limit"),
        ({"spend_limit": "-1"}, "spend_limit"),
        ({"spend_limit": "1.5"}, "spend_limit"),
        ({"spend_limit": "1" * 16}, "spend_limit"),
        ({"seat_tiers": []}, "seat_tiers"),
        ({"seat_tiers": {"gold": {}}}, "seat_tiers.gold"),
        (with_tier(None), "seat_tiers.standard"),
        (with_tier({"limit": "1"}), "seat_tiers.standard.limit"),
        # Seat tiers have limits on Enterprise only.
        (with_tier({"spend_limit": "1"}), "seat_tiers.standard.spend_limit"),
        (with_tier({"allowance": {}}), "seat_tiers.standard.allowance"),
        (with_tier({"allowance": [{}]}), "seat_tiers.standard.allowance.0.window"),
        (
            with_tier({"allowance": [{"window": "PT0H", "amount": "1"}]}),
            "seat_tiers.standard.allowance.0.window",
        ),
        (
            with_tier({"allowance": [{"window": "PT5H", "amount": 1}]}),
            "seat_tiers.standard.allowance.0.amount",
        ),
        (
            with_tier({"allowance": [{"window": "PT5H", "amount": "1"}] * 2}),
            "seat_tiers.standard.allowance",
        ),
        (
            with_tier({"allowance": [{"window": f"PT{h}H", "amount": "1"} for h in range(1, 5)]}),
            "seat_tiers.standard.allowance",
        ),
        ({"members": None}, "members"),
        ({"members": []}, "members"),
        ({"members": {}}, "members"),
        ({"members": ["ada"]}, "members.0"),
        (with_member(user_id="ben"), "members.1.user_id"),
        (with_member(user_id="user_ada"), "members.1.user_id"),
        (with_member(name=None), "members.1.name"),
        (with_member(email="ben"), "members.1.email"),
        (with_member(email="ben@\ud800", user_id=None), "members.1.email"),
        (with_member(role="king"), "members.1.role"),
        (with_member(seat_tier="gold"), "members.1.seat_tier"),
        (with_member(extra_usage=1), "members.1.extra_usage"),
        (with_member(continue_with_extra_usage="no"), "members.1.continue_with_extra_usage"),
        (with_member(spend_limit=2500), "members.1.spend_limit"),
        (with_member(nickname="Benny"), "members.1.nickname"),
        ({"wallet": []}, "wallet"),
        ({"wallet": {}}, "wallet.balance"),
        ({"wallet": {"balance": "-1"}}, "wallet.balance"),
        ({"wallet": {"balance": "1", "currency": "USD"}}, "wallet.currency"),
        ({"plan": "enterprise"}, "wallet"),
        ({"tax": {"name": "VAT", "rate": "0.2"}}, "tax"),
        ({"plan": "enterprise", "wallet": None, "tax": "0.2"}, "tax"),
        ({"plan": "enterprise", "wallet": None, "tax": {"rate": "0.2"}}, "tax.name"),
        ({"plan": "enterprise", "wallet": None, "tax": {"name": "V", "rate": 0.2}}, "tax.rate"),
        ({"plan": "enterprise", "wallet": None, "tax": {"name": "V", "rate": "0.0"}}, "tax.rate"),
        ({"plan": "enterprise", "wallet": None, "tax": {"name": "V", "rate": "20"}}, "tax.rate"),
        ({"secret": 1}, "secret"),
        ({"\ud800": 1}, "?"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else "",
)
def test_every_wrong_field_is_named_and_nothing_is_created(
    app: Application, changes: dict[str, Any], field: str
) -> None:
    document = {
        name: value for name, value in {**sample(DOCUMENT), **changes}.items() if value is not None
    }

    answer = app.invoke_provisioning(document)

    assert answer.keys() == {"type", "error", "request_id"}
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["details"] == {"field": field}
    assert answer["error"]["message"].startswith(f"{field}: ")
    assert app.everything() == []


@pytest.mark.parametrize("document", [None, [], "acme", 7, True], ids=str)
def test_what_is_no_document_is_refused(app: Application, document: Any) -> None:
    answer = app.invoke_provisioning(document)

    assert answer["error"]["details"] == {"field": "body"}


def test_what_may_be_left_out_has_its_default(app: Application) -> None:
    member = {"name": "Ada", "email": "ada@acme.example", "role": "primary_owner"}

    answer = app.invoke_provisioning(
        {"id": "bare", "plan": "enterprise", "name": "Bare", "members": [member]}
    )

    assert answer["members"][0].keys() == {"user_id", "role", "seat_tier"}
    organization = find_organization(app.table, answer["id"])
    assert organization is not None
    assert (organization.currency, organization.time_zone, organization.language) == (
        "USD",
        "UTC",
        "en",
    )
    assert (organization.enabled, organization.cap_nanos) == (False, None)
