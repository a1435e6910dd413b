"""The same Idempotency-Key and body replay the first answer; with another body it is a conflict."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from headroom.organizations.wire.rights import RIGHTS
from tests.memory_table import MemoryTable
from tests.unit.test_rights import ROUTES, House, call, house, issuer

__all__ = ["house", "issuer"]  # Fixtures.

# These file their answer in a transaction of their own, with the money that it tells of.
BY_THEMSELVES = {
    ("POST", "/v1/authorizations"),
    ("POST", "/v1/organizations/wallet/top_ups"),
}
# This one moves on a payment that was ordered before, at most once however often it is asked; the
# answer is how it stands now, and where its holder confirms it, which is kept nowhere.
ABOUT_NOW = {("POST", "/v1/organizations/wallet/payments/<payment_id>/confirm")}
MEMBER = "user_house_member"
EVENT = {
    "id": "msg_1",
    "user_id": MEMBER,
    "model": "claude-sonnet-4-5",
    "occurred_at": "2026-11-24T12:00:00Z",
    "usage": {"input_tokens": 10, "output_tokens": 10},
}
SCOPE = {"type": "user", "user_id": MEMBER}
NEW = {"name": "New", "email": "new@house.example"}

# Route, who calls, a body, and another body.
CASES: list[tuple[str, str, Any, Any]] = [
    ("/v1/organizations/extra_usage/enable", "owner", None, {}),
    ("/v1/organizations/extra_usage/disable", "owner", None, {}),
    ("/v1/organizations/members", "owner", NEW, {**NEW, "role": "admin"}),
    (
        "/v1/organizations/api_keys",
        "owner",
        {"name": "k", "scopes": ["write:usage"]},
        {"name": "l", "scopes": ["write:usage"]},
    ),
    (
        "/v1/organizations/spend_limits",
        "owner",
        {"scope": SCOPE, "amount": "500"},
        {"scope": SCOPE, "amount": "501"},
    ),
    (
        "/v1/organizations/webhook_endpoints",
        "owner",
        {"url": "https://a.example/"},
        {"url": "https://b.example/"},
    ),
    ("/v1/me/spend_limit_increase_requests", "member", {"note": "a"}, {"note": "b"}),
    ("/v1/usage/events", "write:usage", {"events": [EVENT]}, {"events": [{**EVENT, "id": "m"}]}),
]


class Died(BaseException):
    """The function died. Not an Exception, so that nothing on the way may catch it."""


class Client:
    """Somebody who calls one route under one idempotency key."""

    def __init__(
        self, house: House, monkeypatch: pytest.MonkeyPatch, path: str, who: str, key: str = "k-1"
    ) -> None:
        self.module: ModuleType = ROUTES["POST", path]
        house.connect(self.module, monkeypatch)
        credential = house.key(who) if ":" in who else house.person(who)
        self.path, self.headers = path, {**credential, "idempotency-key": key}

    def post(self, body: Any) -> tuple[int, dict[str, Any]]:
        return call(self.module, "POST", self.path, self.headers, body)


def test_every_post_takes_an_idempotency_key() -> None:
    posts = {place for place in RIGHTS if place[0] == "POST"}
    once = {place for place in posts if place in ROUTES[place].api._once}
    assert posts - once == (BY_THEMSELVES | ABOUT_NOW) & posts


@pytest.mark.parametrize(("path", "who", "body", "other"), CASES, ids=[case[0] for case in CASES])
def test_a_repeat_replays_the_first_answer_and_does_nothing(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    who: str,
    body: Any,
    other: Any,
) -> None:
    client = Client(house, monkeypatch, path, who)
    status, first = client.post(body)
    assert status == 200, first
    left = dict(house.table.items)

    again = client.post(body)
    assert again == (200, {name: first[name] for name in first if name != "secret"})
    assert house.table.items == left

    status, refused = client.post(other)
    assert (status, refused["error"]["type"]) == (409, "conflict_error")
    assert house.table.items == left


@pytest.mark.parametrize(("path", "who", "body", "other"), CASES, ids=[case[0] for case in CASES])
def test_a_request_that_was_cut_off_anywhere_is_finished_by_its_repeat(
    monkeypatch: pytest.MonkeyPatch,
    issuer: Any,
    path: str,
    who: str,
    body: Any,
    other: Any,
) -> None:
    """Nothing is made twice: there are as many items of each kind as without the crash."""

    def run(die_at: int | None) -> tuple[int, dict[str, int]]:
        house = House(issuer)
        client = Client(house, monkeypatch, path, who)
        calls = 0

        def step(name: str) -> None:
            nonlocal calls
            calls += 1
            if calls == die_at:
                raise Died

        house.table.step = step
        if die_at is not None:
            with pytest.raises(Died):
                client.post(body)
            house.table.step = lambda name: None
        status, answer = client.post(body)
        assert status == 200, answer
        return calls, kinds(house.table)

    calls, wanted = run(None)
    for number in range(1, calls + 1):
        assert run(number)[1] == wanted, f"died at call {number}"


def kinds(table: MemoryTable) -> dict[str, int]:
    """How many items there are of each kind, by the beginnings of their keys."""
    found: dict[str, int] = {}
    for key in table.items:
        kind = f"{key.pk.split('#')[0]} {'#'.join(key.pk.split('#')[2:3])} {key.sk.split('#')[0]}"
        found[kind] = found.get(kind, 0) + 1
    return found


def test_a_person_never_gets_anothers_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/me/spend_limit_increase_requests"
    mine = Client(house, monkeypatch, path, "member").post({})
    theirs = Client(house, monkeypatch, path, "admin").post({})
    assert [mine[0], theirs[0]] == [200, 200]
    assert mine[1]["id"] != theirs[1]["id"]
    assert theirs[1]["actor"]["user_id"] == "user_house_admin"


def test_a_secret_is_nowhere_in_the_table(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(house, monkeypatch, "/v1/organizations/api_keys", "owner")
    _, made = client.post({"name": "k", "scopes": ["write:usage"]})
    assert made["secret"].startswith("sk-headroom-")
    assert made["secret"] not in repr(house.table.items)


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "é"])
def test_an_idempotency_key_of_another_form_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    client = Client(house, monkeypatch, "/v1/organizations/members", "owner", key)
    status, refused = client.post(NEW)
    assert (status, refused["error"]["details"]) == (400, {"field": "Idempotency-Key"})


def test_a_failure_is_not_replayed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(house, monkeypatch, "/v1/organizations/members", "owner")
    refuse: Callable[..., Any] = importlib.import_module("headroom.core.errors").Overloaded
    admin = client.module

    def busy(*_: Any, **__: Any) -> Any:
        raise refuse("busy")

    with monkeypatch.context() as patch:
        patch.setattr(admin, "add_member", busy)
        assert client.post(NEW)[0] == 503
    assert client.post(NEW)[0] == 200
