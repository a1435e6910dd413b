"""Nobody gives what they do not have: not by any chain of calls, not by another's hand.

Every credential makes every change that it may, with every role and scope there is to give. Who has
got a role or a key by that makes every change in turn, until nobody gets anything new.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest

from headroom.core.errors import Forbidden
from headroom.organizations.domain.organization import ROLES, Role
from headroom.organizations.domain.roles import MAY_GIVE, MAY_TAKE, raises_rights
from headroom.organizations.domain.scopes import ADMIN_SCOPES, SCOPES
from headroom.organizations.store.organizations import find_member, find_organization
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.rights import FIELD_RIGHTS, RIGHTS, Right, check_scopes
from tests.unit.test_rights import PARAMETER, ROUTES, House, call, issuer, objects_of

__all__ = ["issuer"]

API: Final = "/v1/organizations"
PEOPLE: Final = [f"user_house_{role}" for role in ROLES]
HOOK: Final = {"url": "https://house.example/other"}
NEW: Final = {"name": "New", "email": "new@house.example"}

# What each change is tried with. Whatever changes anything is here, or a test fails.
BODIES: Final[dict[tuple[str, str], list[Any]]] = {
    ("POST", "/v1/authorizations"): [
        {"user_id": PEOPLE[3], "model": "claude-sonnet-4-5", "input_tokens": 1, "max_tokens": 1}
    ],
    ("DELETE", "/v1/authorizations/<authorization_id>"): [None],
    ("POST", "/v1/authorizations/<authorization_id>/extend"): [{"ttl_seconds": 60}],
    ("POST", "/v1/usage/events"): [{"events": [{"id": "msg_1"}]}],
    ("POST", f"{API}/extra_usage/enable"): [None],
    ("POST", f"{API}/extra_usage/disable"): [None],
    ("PUT", f"{API}/extra_usage/members"): [{"mode": "everyone"}],
    ("PUT", f"{API}/extra_usage/requests"): [{"enabled": True}],
    ("PUT", f"{API}/pricing"): [{"loop_rounds": 4}],
    ("PUT", f"{API}/spend_limit"): [{"amount": None}],
    ("PUT", f"{API}/seat_tiers/<seat_tier>/spend_limit"): [{"amount": None}],
    ("POST", f"{API}/members"): [
        {**NEW, "user_id": f"user_new_{role}_{admitted}", "role": role, "extra_usage": admitted}
        for role in ROLES
        for admitted in (True, False)
    ],
    ("PUT", f"{API}/members/<user_id>"): [
        *({"role": role} for role in ROLES),
        *({"role": role, "seat_tier": "premium", "extra_usage": True} for role in ROLES),
        {"seat_tier": "premium"},
        {"extra_usage": True},
    ],
    ("DELETE", f"{API}/members/<user_id>"): [None],
    ("POST", f"{API}/api_keys"): [
        {"name": "k", "scopes": list(scopes)} for scopes in (*((each,) for each in SCOPES), SCOPES)
    ],
    ("DELETE", f"{API}/api_keys/<key_id>"): [None],
    ("PUT", f"{API}/notifications"): [{"mail": {"payments": False}}],
    ("POST", f"{API}/wallet/top_ups"): [{"amount": "1000"}],
    ("POST", f"{API}/wallet/payments/<payment_id>/confirm"): [None],
    ("PUT", f"{API}/wallet/auto_reload"): [{"enabled": False}],
    ("POST", f"{API}/webhook_endpoints"): [HOOK],
    ("PUT", f"{API}/webhook_endpoints/<endpoint_id>"): [HOOK],
    ("DELETE", f"{API}/webhook_endpoints/<endpoint_id>"): [None],
    ("POST", f"{API}/webhook_endpoints/<endpoint_id>/rotate"): [None],
    ("POST", f"{API}/webhook_endpoints/<endpoint_id>/test"): [None],
    ("POST", f"{API}/webhook_deliveries/<delivery_id>/redeliver"): [None],
    ("POST", f"{API}/spend_limits"): [
        {"scope": {"type": "user", "user_id": user_id}, "amount": "1"} for user_id in PEOPLE
    ],
    ("DELETE", f"{API}/spend_limits/<spend_limit_id>"): [None],
    ("POST", f"{API}/spend_limit_increase_requests/<request_id>/approve"): [{"amount": "1"}],
    ("POST", f"{API}/spend_limit_increase_requests/<request_id>/deny"): [None],
    ("PUT", "/v1/me/extra_usage"): [{"continue_with_extra_usage": True}],
    ("POST", "/v1/me/spend_limit_increase_requests"): [{}],
}
# Last: what takes something away must not be what keeps the others from being tried.
TRIED: Final = sorted(BODIES, key=lambda place: place[0] == "DELETE")


@dataclass(frozen=True)
class Power:
    """A person of a role, or a key of some scopes."""

    role: Role | None = None
    scopes: frozenset[str] = frozenset()

    def has(self, right: Right) -> bool:
        return self.role in right.roles if self.role else bool(self.scopes & set(right.scopes))

    @property
    def rights(self) -> set[str]:
        """Everything that this may do, by name: call a route, set a field, give a role."""
        routes = {f"{method} {rule}" for (method, rule), right in RIGHTS.items() if self.has(right)}
        fields = {
            f"{method} {rule}: {name}"
            for (method, rule), rights in FIELD_RIGHTS.items()
            for name, right in rights.items()
            if self.has(right)
        }
        staffs = self.has(RIGHTS["POST", f"{API}/members"])
        given = MAY_GIVE[self.role] if staffs else frozenset()
        return routes | fields | {f"give the role {role}" for role in given}

    @property
    def name(self) -> str:
        return self.role or "+".join(sorted(self.scopes))


KEYS: Final = [
    Power(scopes=frozenset(scopes))
    for scopes in (*combinations(SCOPES, 1), *combinations(SCOPES, 2), ADMIN_SCOPES, SCOPES)
]
MEMBER: Final = Power(role="member")


@dataclass(frozen=True)
class Held:
    """A credential in hand; `who` is the person's user id, or what no path ends with."""

    power: Power
    headers: dict[str, str]
    who: str = "nobody"


class Walk:
    """What a credential gets hold of, by any chain of calls."""

    def __init__(self, house: House, start: Power, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.objects = {**objects_of(house, monkeypatch), "payment_id": "top_" + "0" * 24}
        for module in set(ROUTES.values()):
            house.connect(module, monkeypatch)
            monkeypatch.setattr(module, "CALLS_A_MINUTE", 10**9, raising=False)
        self.roles = self._read_roles()
        self.got: set[Power] = set()
        self.done: set[Power] = set()
        waiting = [self._person(f"user_house_{start.role}", start.role)] if start.role else []
        waiting = waiting or [Held(start, house.key(*start.scopes))]
        while waiting:
            held = waiting.pop()
            if held.power not in self.done:
                self.done.add(held.power)
                waiting += self._try_everything(held)

    def _person(self, user_id: str, role: Role) -> Held:
        token = self.house.issuer.token(self.house.org_id, user_id)
        return Held(Power(role=role), {"authorization": f"Bearer {token}"}, user_id)

    def _try_everything(self, held: Held) -> list[Held]:
        found: list[Held] = []
        calls = [
            (method, rule, path, body)
            for method, rule in TRIED
            for path in self._paths(rule)
            for body in BODIES[method, rule]
        ]
        # What people do to themselves comes last: they could lose what the rest is tried with.
        for method, rule, path, body in sorted(calls, key=lambda each: each[2].endswith(held.who)):
            status, answer = call(ROUTES[method, rule], method, path, held.headers, body)
            assert status < 500, (method, path, body, answer)
            if rule == f"{API}/api_keys" and "secret" in answer:
                power = Power(scopes=frozenset(answer["scopes"]))
                found.append(Held(power, {"x-api-key": answer["secret"]}))
            found += self._raised()
        self.got |= {each.power for each in found}
        return found

    def _paths(self, rule: str) -> Iterator[str]:
        people = PEOPLE if "<user_id>" in rule else [""]
        for user_id in people:
            known = {**self.objects, "user_id": user_id}
            yield PARAMETER.sub(lambda found, known=known: known[found[1]], rule)  # type: ignore[misc]

    def _raised(self) -> Iterator[Held]:
        """Walk through the people whose role has become another since the last look."""
        before, self.roles = self.roles, self._read_roles()
        for user_id, role in self.roles.items():
            old = before.get(user_id)
            if old is None or raises_rights(old, role):
                yield self._person(user_id, role)

    def _read_roles(self) -> dict[str, Role]:
        wanted = [*PEOPLE, *(body["user_id"] for body in BODIES["POST", f"{API}/members"])]
        members = [find_member(self.house.table, self.house.org_id, each) for each in wanted]
        return {each.user_id: each.role for each in members if each is not None and each.active}


def end_of(walk: Walk) -> str:
    """Say what a walk got hold of, as the page on security does."""
    roles = [f"`{role}`" for role in ROLES if Power(role=role) in walk.got]
    scopes = {scope for power in walk.got for scope in power.scopes}
    said = [f"people with the role {', '.join(roles)}"] if roles else []
    if scopes:
        assert scopes == set(SCOPES)
        said.append("keys with every scope")
    return " and ".join(said) or "nothing more"


def test_the_walk_tries_whatever_changes_anything() -> None:
    assert set(BODIES) == {place for place in RIGHTS if place[0] != "GET"}
    assert set(FIELD_RIGHTS) <= set(BODIES)


@pytest.mark.parametrize("start", KEYS, ids=lambda power: power.name)
def test_a_key_gets_hold_of_nothing_but_membership_by_any_chain_of_calls(
    issuer: Any, monkeypatch: pytest.MonkeyPatch, start: Power
) -> None:
    walk = Walk(House(issuer), start, monkeypatch)

    reached = set[str]().union(*(power.rights for power in walk.got))
    # Whoever may let people in lets in members, and a member has what is their own.
    lets_in = MEMBER.rights if "write:members" in start.scopes else set()
    assert reached <= start.rights | lets_in
    assert {power.role for power in walk.got} == ({"member"} if lets_in else set())


@pytest.mark.parametrize("role", ["member", "admin"])
def test_whoever_is_no_owner_gets_hold_of_nothing(
    issuer: Any, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    walk = Walk(House(issuer), Power(role=role), monkeypatch)

    assert walk.got == set()


def test_an_owner_makes_no_owner_and_the_primary_owner_does(
    issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        role: Walk(House(issuer), Power(role=role), monkeypatch).got
        for role in ("owner", "primary_owner")
    }

    assert {power.role for power in made["owner"]} == {"admin", "member", None}
    assert {power.role for power in made["primary_owner"]} == {"owner", "admin", "member", None}
    for got in made.values():
        assert {scope for power in got for scope in power.scopes} == set(SCOPES)


@pytest.mark.parametrize(
    ("start", "named"),
    [
        *((Power(scopes=frozenset({scope})), f"key with `{scope}`") for scope in SCOPES),
        *((Power(role=role), f"person with the role `{role}`") for role in reversed(ROLES)),
    ],
    ids=lambda value: value.name if isinstance(value, Power) else "",
)
def test_the_page_on_security_says_what_each_credential_reaches_in_the_end(
    issuer: Any, monkeypatch: pytest.MonkeyPatch, start: Power, named: str
) -> None:
    page = Path(__file__).resolve().parents[2].joinpath("docs", "security.md").read_text()
    calls = [place for place, right in RIGHTS.items() if start.has(right)]
    reads = sum(method == "GET" for method, _ in calls)
    end = end_of(Walk(House(issuer), start, monkeypatch))

    assert f"| {named} | {reads} | {len(calls) - reads} | {end} |" in page


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    named = re.findall(r"`(\w+/test_\w+\.py)(?:::(\w+))?`", (root / "docs/security.md").read_text())
    assert len(named) > 30
    for file, test in named:
        found = (root / "tests" / file).read_text()
        assert not test or f"def {test}(" in found, (file, test)


@pytest.mark.parametrize("giver", ["primary_owner", "owner", "admin", "member", "key"])
@pytest.mark.parametrize("old", ROLES)
@pytest.mark.parametrize("new", [*ROLES, None])
def test_roles_are_changed_and_taken_by_whoever_may(
    issuer: Any,
    monkeypatch: pytest.MonkeyPatch,
    giver: str,
    old: Role,
    new: Role | None,
) -> None:
    house = House(issuer)
    admin = importlib.import_module("functions.administer_organization.handler")
    house.connect(admin, monkeypatch)
    person = giver != "key"
    by: Role | None = giver if person else None  # type: ignore[assignment]
    subject = f"user_house_{old}"
    method = "DELETE" if new is None else "PUT"
    body = None if new is None else {"role": new}
    credential = house.person(giver) if person else house.key(*ADMIN_SCOPES)

    status, _ = call(admin, method, f"{API}/members/{subject}", credential, body)

    found = find_member(house.table, house.org_id, subject)
    assert found is not None
    may_come = by in (None, "owner", "primary_owner")
    is_same = new == old
    allowed = old in MAY_TAKE[by] and (new is None or new in MAY_GIVE[by])
    if may_come and (is_same or allowed):
        assert status == 200
        assert (found.role if found.active else None) == new
    else:
        assert status == 403
        assert (found.role, found.active) == (old, True)


def test_a_limits_key_admits_members_and_changes_nothing_else_of_them(
    issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(issuer)
    admin = importlib.import_module("functions.administer_organization.handler")
    house.connect(admin, monkeypatch)
    limits, staff = house.key("write:spend_limits"), house.key("write:members")
    path = f"{API}/members/user_house_member"

    assert call(admin, "PUT", path, limits, {"extra_usage": True})[0] == 200
    assert call(admin, "PUT", path, staff, {"seat_tier": "premium"})[0] == 200
    refused = [
        (limits, "PUT", path, {"seat_tier": "standard"}, "seat_tier"),
        (limits, "PUT", path, {"role": "owner", "extra_usage": True}, "role"),
        (limits, "DELETE", path, None, "x-api-key"),
        (limits, "POST", f"{API}/members", NEW, "x-api-key"),
        (staff, "PUT", path, {"extra_usage": False}, "extra_usage"),
        (staff, "POST", f"{API}/members", {**NEW, "extra_usage": True}, "extra_usage"),
        (staff, "POST", f"{API}/members", {**NEW, "role": "admin"}, "role"),
    ]
    for credential, method, place, body, named in refused:
        status, answer = call(admin, method, place, credential, body)
        assert (status, answer["error"]["message"].split(":")[0]) == (403, named)
    assert call(admin, "POST", f"{API}/members", staff, NEW)[0] == 200


def test_a_role_is_given_by_whoever_has_theirs_when_it_is_written(
    issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner is demoted between their request's check and its write."""
    from headroom.core.domain.actor import Actor
    from headroom.limits.usecases import members as staffing

    house = House(issuer)
    organization = find_organization(house.table, house.org_id)
    assert organization is not None
    owner, primary = (Actor("user", f"user_house_{role}") for role in ("owner", "primary_owner"))

    def change(actor: Actor, user_id: str, role: Role) -> None:
        staffing.change_seat(
            house.table,
            organization,
            user_id,
            actor,
            house.now,
            admitted=None,
            seat_tier=None,
            role=role,
        )

    read = staffing._giver
    late = iter([True])

    def read_and_lose(table: Any, settings: Any, actor: Actor) -> Any:
        found = read(table, settings, actor)
        if actor == owner and next(late, False):
            change(primary, owner.id, "member")
        return found

    monkeypatch.setattr(staffing, "_giver", read_and_lose)

    with pytest.raises(Forbidden):
        change(owner, "user_house_member", "admin")

    found = find_member(house.table, house.org_id, "user_house_member")
    assert found is not None
    assert found.role == "member"


@pytest.mark.parametrize(("role", "expected"), [("admin", 403), ("owner", 200)])
def test_nobody_approves_their_own_request_who_may_not_set_limits(
    issuer: Any, monkeypatch: pytest.MonkeyPatch, role: str, expected: int
) -> None:
    house = House(issuer)
    for module in set(ROUTES.values()):
        house.connect(module, monkeypatch)
    asked, requests = "/v1/me/spend_limit_increase_requests", f"{API}/spend_limit_increase_requests"
    made = call(ROUTES["POST", asked], "POST", asked, house.person(role), {})[1]
    path = f"{requests}/{made['id']}/approve"
    approve = ROUTES["POST", f"{requests}/<request_id>/approve"]

    status, _ = call(approve, "POST", path, house.person(role), {"amount": "999999"})

    assert status == expected
    assert call(approve, "POST", path, house.person("primary_owner"), {"amount": "1"})[0] == 200


def test_a_key_is_made_with_scopes_that_its_maker_has(issuer: Any) -> None:
    """Only owners come so far; should others, they give nothing."""
    house = House(issuer)
    organization = find_organization(house.table, house.org_id)
    assert organization is not None
    for role in ROLES:
        caller = Caller(organization, "user_x", role=role)
        if role in ("owner", "primary_owner"):
            check_scopes(caller, SCOPES)
            continue
        with pytest.raises(Forbidden, match="scopes: write:usage"):
            check_scopes(caller, ["write:usage"])
    key = Caller(organization, "key_x", scopes=frozenset({"read:billing"}))
    check_scopes(key, ["read:billing"])
    with pytest.raises(Forbidden, match="scopes: write:billing"):
        check_scopes(key, ["read:billing", "write:billing"])
