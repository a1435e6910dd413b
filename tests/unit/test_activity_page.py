"""The page tells what was changed, and by whom, by the names that people know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page import Answer, Node, Scene, draw

AT = "2026-11-28T10:00:00Z"
HOOK = "https://acme.example/hook_one"
ANN = {"user_id": "user_ann", "name": "Ann Ode"}


def change(action: str, actor: dict[str, str], subject: str = "org_1", **facts: Any) -> Any:
    before, after = facts.get("before", {}), facts.get("after", {})
    return {
        "id": "aud_000000000002",
        "at": AT,
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": before,
        "after": after,
    }


OPERATOR = {"type": "operator", "id": "aws:000000000000:c0ffee"}
NAMED_OPERATOR = {"type": "system", "id": "carla@vendor.example"}
SYSTEM = {"type": "system", "id": "headroom"}
PERSON = {"type": "user", "id": "user_ann"}

CHANGES = {
    "operator": change("tax.changed", OPERATOR, after={"tax": None}),
    "key": change("settings.changed", {"type": "api_key", "id": "key_1", "name": "Nightly job"}),
    "nameless key": change("settings.changed", {"type": "api_key", "id": "key_1"}),
    "processor": change(
        "invoice.payment_received",
        {"type": "system", "id": "payment_processor"},
        "inv_1",
        before={"status": "past_due", "amount_due": "1200.5"},
        after={"status": "paid", "amount_due": "0", "number": "X-0007", "reference": "ch_a_b"},
    ),
    "adjusted": change(
        "wallet.adjusted",
        NAMED_OPERATOR,
        after={
            "id": "op_1",
            "kind": "adjustment",
            "amount": "-50.333",
            "entry_id": "ent_1",
            "reason": "booked_twice",
        },
    ),
    "rotated": change(
        "webhook_endpoint.secret_rotated",
        PERSON,
        "whe_1",
        before={"rotation": 1},
        after={"rotation": 2, "url": HOOK},
    ),
    "created": change(
        "webhook_endpoint.created",
        PERSON,
        "whe_1",
        after={"url": HOOK, "description": "our_own", "event_types": None, "status": "enabled"},
    ),
    "moved": change(
        "webhook_endpoint.changed",
        PERSON,
        "whe_1",
        before={"url": HOOK, "event_types": ["a.b_c", "d"]},
        after={"url": "https://b.example/", "event_types": None},
    ),
    "closed": change(
        "billing_period.close_retried",
        SYSTEM,
        "2026-10",
        before={"due_at": AT},
        after={"due_at": AT, "period": "2026-10"},
    ),
    "reloaded": change(
        "wallet.reload_retried",
        SYSTEM,
        "wallet",
        before={"auto_reload": "declined"},
        after={"auto_reload": "due"},
    ),
    "member": change("member.changed", PERSON, "user_ann", before={"role": "member"}),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Node]]:
    """The changes by their names here, as each language shows them."""
    answers = [
        Answer("organizations/audit", {"data": list(CHANGES.values()), "has_more": False}),
        Answer("organizations/members", {"data": [ANN]}),
    ]
    languages = ("en", "fr")
    scenes = [Scene("activity", None, answers, language) for language in languages]
    bodies = draw(scenes, tmp_path_factory.mktemp("page"))
    return {
        language: dict(zip(CHANGES, body.all("div", "change"), strict=True))
        for language, body in zip(languages, bodies, strict=True)
    }


@pytest.fixture
def rows(drawn: dict[str, dict[str, Node]]) -> dict[str, Node]:
    return drawn["en"]


def by(row: Node) -> str:
    return row.all("span", "small")[0].text.split(" · ")[0]


def facts(row: Node) -> list[str]:
    return [each.text for each in row.all("li")]


def test_who_did_it_is_said_by_name(rows: dict[str, Node]) -> None:
    assert {name: by(row) for name, row in rows.items()} == {
        "operator": "an operator of Headroom",
        "key": "the API key Nightly job",
        "nameless key": "an API key",
        "processor": "the payment processor",
        "adjusted": "carla@vendor.example, operator of Headroom",
        "rotated": "Ann Ode",
        "created": "Ann Ode",
        "moved": "Ann Ode",
        "closed": "Headroom",
        "reloaded": "Headroom",
        "member": "Ann Ode",
    }


def test_what_was_changed_is_said_by_name(rows: dict[str, Node]) -> None:
    titles = {name: row.all("span")[1].text for name, row in rows.items()}
    assert titles["rotated"] == f"Secret of a webhook replaced · {HOOK}"
    assert titles["created"] == f"Webhook added · {HOOK}"
    assert titles["moved"] == "Webhook changed · https://b.example/"
    assert titles["closed"] == "Close of a month tried again · October 2026"
    assert titles["processor"] == "Payment of an invoice received · X-0007"
    assert titles["member"] == "Member changed · Ann Ode"
    assert titles["operator"] == "Tax changed"


def test_facts_are_said_in_words_and_texts_as_they_were_written(rows: dict[str, Node]) -> None:
    assert facts(rows["adjusted"]) == [
        "Kind Adjustment",
        "Amount -$0.50333",
        "Reason booked_twice",
    ]
    assert facts(rows["created"]) == [
        "Description our_own",
        "Events every event",
        "State enabled",
    ]
    assert facts(rows["moved"]) == [
        f"Address {HOOK} → https://b.example/",
        "Events a.b_c, d → every event",
    ]
    assert facts(rows["rotated"]) == ["Version of the secret 1 → 2"]
    assert facts(rows["processor"])[:2] == ["State Past due → Paid", "Due $12.005 → $0.00"]
    assert facts(rows["reloaded"]) == ["Auto-reload Declined → Due"]


def test_no_id_is_shown_that_stands_nowhere_else(drawn: dict[str, dict[str, Node]]) -> None:
    said = " ".join(row.text for rows in drawn.values() for row in rows.values())
    for internal in ("op_1", "ent_1", "whe_1", "inv_1", "key_1", "aws:", "user_", "c0ffee"):
        assert internal not in said


def test_french_has_its_own_words(drawn: dict[str, dict[str, Node]]) -> None:
    rows = drawn["fr"]
    assert by(rows["operator"]) == "un opérateur de Headroom"
    assert by(rows["key"]) == "la clé d’API Nightly job"
    assert facts(rows["processor"])[0] == "État En retard → Payée"


def test_an_answered_request_says_by_whom(tmp_path: Path) -> None:
    person = {"type": "user_actor", "user_id": "user_ann", "name": "Ann Ode"}
    key = {"type": "scoped_api_key_actor", "scoped_api_key_id": "key_1"}
    requests = [
        {"id": "r", "actor": person, "resolved_at": AT, "resolved_by": by, "status": "denied"}
        for by in (person, key, {**key, "name": "Nightly job"})
    ]
    path = "organizations/spend_limit_increase_requests"
    answers = [
        Answer("organizations/extra_usage", {"requests": {"enabled": True}}),
        Answer(path, {"data": []}, {"status[]": "pending"}),
        Answer(path, {"data": requests, "has_more": False}),
    ]
    (body,) = draw([Scene("requests", {"mayChange": False}, answers)], tmp_path)

    said = [each.text for each in body.all("span", "small")]
    assert [text.split(" by ")[1] for text in said] == [
        "Ann Ode",
        "an API key",
        "the API key Nightly job",
    ]
