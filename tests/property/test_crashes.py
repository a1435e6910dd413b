"""Crash after, or instead of, any single store call of any use case; then do it again.

The end is the same as without the crash: everything that can be retried will be.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.core.errors import Conflict, SpendRefused
from headroom.core.store.table import Key
from headroom.limits.usecases.settings import change_person, set_cap, set_enabled
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization, list_members
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.answers import place_of
from headroom.spending.domain.authorization import AuthorizationId
from headroom.spending.store.budgets import find_budget
from headroom.spending.usecases.authorizations import Idempotency, authorize, extend, release
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.memory_table import MemoryTable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=2)
NEXT_MONTH = datetime(2026, 12, 2, tzinfo=UTC)
MODEL = "claude-sonnet-4-5"
ENTROPY = b"sixsix"
# What only counts attempts, or says until when something is believed.
TRACES = {"epoch", "grants", "drained_at", "expiry", "enforced_until", "slice", "granted_at"}

DOCUMENT: dict[str, Any] = {
    "id": "crash",
    "plan": "team",
    "name": "Crash",
    "extra_usage": {"enabled": True},
    "spend_limit": "500",
    "seat_tiers": {"standard": {"allowance": [{"window": "PT5H", "amount": "3"}]}},
    "members": [
        {
            "user_id": f"user_{name}",
            "name": name,
            "email": f"{name}@example.com",
            "seat_tier": tier,
            "continue_with_extra_usage": True,
        }
        for name, tier in (("ada", "premium"), ("ben", "premium"), ("cid", "standard"))
    ],
    "wallet": {"balance": "400"},
}


class Crash(BaseException):
    """The function died. Not an Exception, so that nothing on the way may catch it."""


class Crashing:
    """Dies once, at the store call of the given number: before it, or after it was made."""

    def __init__(self, table: MemoryTable, number: int, *, after: bool) -> None:
        self._table, self._number, self._after = table, number, after
        self._calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._table, name)

        def made(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            if self._calls == self._number and not self._after:
                raise Crash
            try:
                return call(*arguments, **options)
            finally:
                if self._calls == self._number and self._after:
                    raise Crash

        return made


class Scene:
    """A table brought to the state in which a use case begins."""

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.org_id: str = provision(self.table, parse_provisioning(DOCUMENT), NOW)["id"]

    @property
    def organization(self) -> Organization:
        found = find_organization(self.table, self.org_id)
        assert found is not None
        return found

    def hold(
        self, user: str = "user_ada", entropy: bytes = ENTROPY, now: datetime = NOW, **more: Any
    ) -> str:
        answer = ask(self.table, self.organization, user, entropy, now, **more)
        return str(answer["id"])

    def settle(self, authorization_id: str, event: str, user: str) -> None:
        result = spend(self.table, self.organization, authorization_id, event, user=user)
        assert result["status"] == "recorded"

    def state(self) -> dict[Key, Any]:
        """All items, without what is random or only counts attempts."""
        items: dict[Key, Any] = {}
        for key, item in self.table.items.items():
            if key.pk.startswith("KEY#") or key.sk.startswith("KEY#"):
                continue
            items[key] = {name: value for name, value in item.items() if name not in TRACES}
        return items


class Repeating(Crashing):
    """Repeats the store call of the given number once it was made, as if its reply was lost."""

    def __init__(self, table: MemoryTable, number: int) -> None:
        super().__init__(table, number, after=True)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._table, name)

        def made(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            if self._calls == self._number:
                call(*arguments, **options)
            return call(*arguments, **options)

        return made

    @property
    def was_reached(self) -> bool:
        """Whether there were as many calls."""
        return self._calls >= self._number


def ask(
    table: Any,
    organization: Organization,
    user: str = "user_ada",
    entropy: bytes = ENTROPY,
    now: datetime = NOW,
    key: str | None = None,
    hints: Hints | None = None,
    **more: Any,
) -> dict[str, Any]:
    body = {"user_id": user, "model": MODEL, "input_tokens": 1000, "max_tokens": 1000, **more}
    idempotency = Idempotency(key, json.dumps(body, sort_keys=True)) if key else None
    return authorize(
        table,
        Hints() if hints is None else hints,
        organization,
        parse_authorization_request(body),
        now,
        entropy=entropy,
        idempotency=idempotency,
    )


def spend(
    table: Any,
    organization: Organization,
    authorization_id: str | None,
    event: str,
    output_tokens: int = 100,
    now: datetime = NOW,
    user: str = "user_ada",
) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "id": event,
        "user_id": user,
        "model": MODEL,
        "occurred_at": now.isoformat(),
        "usage": {"input_tokens": 1000, "output_tokens": output_tokens},
    }
    if authorization_id:
        raw["authorization_id"] = authorization_id
    return record(table, Hints(), organization, parse_event(raw, now), now)


UseCase = Callable[[Any, Organization, Any], object]


def begin_fresh(scene: Scene) -> None:
    """Nobody has asked for anything yet."""


def begin_with_hold(scene: Scene) -> str:
    return scene.hold()


def begin_with_included_hold(scene: Scene) -> str:
    return scene.hold("user_cid")


def begin_with_recalled_hold(scene: Scene) -> str:
    """The hold's epoch is over, so that its leftover belongs to the pool."""
    held = scene.hold()
    set_enabled(scene.table, scene.org_id, False, NOW)
    set_enabled(scene.table, scene.org_id, True, NOW)
    return held


def begin_with_hold_of_last_month(scene: Scene) -> str:
    held = scene.hold(now=NEXT_MONTH - timedelta(days=2), ttl_seconds=86_400)
    scene.hold("user_ada", b"others", now=NEXT_MONTH)
    return held


def begin_with_idle_money_elsewhere(scene: Scene) -> None:
    """Everything left is with Ben, who does not use it."""
    scene.settle(scene.hold("user_ben"), "ben-1", "user_ben")
    set_cap(scene.table, scene.org_id, 30_000_000, NOW)


def begin_with_overdue_holds(scene: Scene) -> None:
    scene.hold(ttl_seconds=60)
    scene.hold("user_ben", b"others", ttl_seconds=60)
    scene.hold("user_cid", b"thirds", ttl_seconds=60)


CASES: dict[str, tuple[Callable[[Scene], Any], UseCase]] = {
    "authorize, first of all": (begin_fresh, lambda t, o, _: ask(t, o, key="k")),
    "authorize from the seat": (begin_fresh, lambda t, o, _: ask(t, o, "user_cid", key="k")),
    "authorize, hot": (begin_with_hold, lambda t, o, _: ask(t, o, entropy=b"second", key="k")),
    "authorize in the next month": (
        begin_with_hold,
        lambda t, o, _: ask(t, o, entropy=b"second", now=NEXT_MONTH, key="k"),
    ),
    "authorize after a recall": (
        begin_with_idle_money_elsewhere,
        lambda t, o, _: ask(t, o, key="k"),
    ),
    "settle": (begin_with_hold, lambda t, o, a: spend(t, o, a, "e")),
    "settle at the whole hold": (begin_with_hold, lambda t, o, a: spend(t, o, a, "e", 1000)),
    "settle above the hold": (begin_with_hold, lambda t, o, a: spend(t, o, a, "e", 3000)),
    "settle above the hold and the cap": (
        begin_with_hold,
        lambda t, o, a: spend(t, o, a, "e", 900_000),
    ),
    "settle included": (
        begin_with_included_hold,
        lambda t, o, a: spend(t, o, a, "e", user="user_cid"),
    ),
    "settle after a recall": (begin_with_recalled_hold, lambda t, o, a: spend(t, o, a, "e")),
    "settle last month's": (
        begin_with_hold_of_last_month,
        lambda t, o, a: spend(t, o, a, "e", now=NEXT_MONTH),
    ),
    "charge on arrival": (begin_fresh, lambda t, o, _: spend(t, o, None, "e")),
    "charge more than there is": (begin_fresh, lambda t, o, _: spend(t, o, None, "e", 900_000)),
    "release": (begin_with_hold, lambda t, o, a: release(t, o.org_id, a)),
    "release after a recall": (begin_with_recalled_hold, lambda t, o, a: release(t, o.org_id, a)),
    "prolong": (
        begin_with_hold,
        lambda t, o, a: extend(t, o, a, NOW, ttl=timedelta(hours=2), max_tokens=None),
    ),
    "enlarge": (begin_with_hold, lambda t, o, a: extend(t, o, a, NOW, ttl=None, max_tokens=2000)),
    "sweep": (begin_with_overdue_holds, lambda t, o, _: sweep(t, LATER, lambda: True)),
    "cut the cap": (begin_with_hold, lambda t, o, _: set_cap(t, o.org_id, 0, NOW)),
    "disable": (begin_with_hold, lambda t, o, _: set_enabled(t, o.org_id, False, NOW)),
    "move a member": (
        begin_with_hold,
        lambda t, o, _: change_person(
            t, o.org_id, "user_ada", lambda old: replace(old, seat_tier="standard"), NOW
        ),
    ),
    "provision": (
        begin_fresh,
        lambda t, o, _: provision(t, parse_provisioning({**DOCUMENT, "id": "second"}), NOW),
    ),
}


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("name", CASES)
def test_a_crash_at_any_store_call_is_made_good_by_a_retry(name: str, after: bool) -> None:
    begin, use_case = CASES[name]
    undisturbed = Scene()
    expected = use_case(undisturbed.table, undisturbed.organization, begin(undisturbed))

    number, crashed = 0, True
    while crashed:
        number += 1
        scene = Scene()
        given = begin(scene)
        organization = scene.organization
        try:
            use_case(Crashing(scene.table, number, after=after), organization, given)
        except Crash:
            answer = use_case(scene.table, organization, given)
            _same_answer(answer, expected)
            assert settled(scene) == settled(undisturbed), f"crashed at call {number}"
        else:
            crashed = False
    assert number >= 2, "the use case makes store calls"


@pytest.mark.parametrize("after", [False, True])
def test_no_document_finds_the_members_of_another_that_was_cut_off(after: bool) -> None:
    other = {**DOCUMENT, "members": [{**DOCUMENT["members"][0], "seat_tier": "standard"}]}
    for number in range(1, 20):
        table = MemoryTable()
        try:
            provision(Crashing(table, number, after=after), parse_provisioning(DOCUMENT), NOW)
        except Crash:
            pass
        else:
            break
        made_from: dict[str, Any] = other
        try:
            provision(table, parse_provisioning(other), NOW)
        except Conflict:
            made_from = DOCUMENT
            provision(table, parse_provisioning(DOCUMENT), NOW)
        wanted = parse_provisioning(made_from)
        assert list(list_members(table, wanted.organization.org_id)) == list(wanted.members)
    assert number > 5


def begin_from_an_earlier_release(scene: Scene) -> str:
    """The budget is as a release wrote it that answered from receipts."""
    held = scene.hold()
    for item in scene.table.items.values():
        item.pop("answers", None)
    return held


def begin_with_many_answers(scene: Scene) -> None:
    """So many that the next one makes others be forgotten."""
    for number in range(11):
        now = NOW - timedelta(minutes=20 - number)
        release(scene.table, scene.org_id, scene.hold(now=now, key=f"before-{number}"))


def begin_with_hold_of_last_month_alone(scene: Scene) -> str:
    return scene.hold(now=NEXT_MONTH - timedelta(days=1), ttl_seconds=86_400)


KEYED: dict[str, tuple[Callable[[Scene], Any], dict[str, Any]]] = {
    "first of all": (begin_fresh, {}),
    "from the seat": (begin_fresh, {"user": "user_cid"}),
    "from the seat, hot": (begin_with_included_hold, {"user": "user_cid"}),
    "hot": (begin_with_hold, {}),
    "of many": (begin_with_many_answers, {}),
    "for a short time": (begin_with_hold, {"ttl_seconds": 60}),
    "in the next month": (begin_with_hold_of_last_month_alone, {"now": NEXT_MONTH}),
    "after a recall": (begin_with_recalled_hold, {}),
    "after a recall of others": (begin_with_idle_money_elsewhere, {}),
    "after others expired": (begin_with_overdue_holds, {"now": LATER}),
    "after an upgrade": (begin_from_an_earlier_release, {}),
}
ENDS: dict[str, UseCase] = {
    "settled": lambda t, o, a: end_with(t, o, a, 100),
    "settled above the hold": lambda t, o, a: end_with(t, o, a, 3000),
    "released": lambda t, o, a: release(t, o.org_id, a),
    "expired": lambda t, o, a: sweep(t, NEXT_MONTH + timedelta(days=2), lambda: True),
}


def end_with(
    table: Any, organization: Organization, authorization_id: str, output_tokens: int
) -> None:
    held = AuthorizationId.parse(authorization_id, org_id=organization.org_id)
    spend(
        table,
        organization,
        authorization_id,
        "e",
        output_tokens,
        now=held.taken_at,
        user=held.user_id,
    )


def keyed_holds(scene: Scene, key: str = "k") -> int:
    """Count the open holds of an idempotency key, in budgets of any period."""
    place = place_of(scene.org_id, key)
    return sum(
        name.endswith(place)
        for item in scene.table.items.values()
        for name in item.get("holds", {}).get("M", {})
    )


def repeat_everywhere(scene: Scene, old: Hints, asked: dict[str, Any]) -> dict[str, Any]:
    """Repeat at processes with and without a look at the budget, and with other clocks."""
    now = asked.get("now", NOW)
    answers = []
    for wrong_by, hints in ((0, None), (3, old), (-3, None), (30, old), (2, Hints())):
        repeat = {**asked, "now": now + timedelta(seconds=wrong_by), "hints": hints}
        answer = ask(scene.table, scene.organization, entropy=b"repeat", key="k", **repeat)
        answers.append({name: answer[name] for name in answer if name != "limits"})
        assert answers[-1] == answers[0]
    return answers[0]


@pytest.mark.parametrize("trouble", ["died before", "died after", "lost the reply"])
@pytest.mark.parametrize("name", KEYED)
def test_a_key_holds_once_whatever_store_call_of_its_first_attempt_fails(
    name: str, trouble: str
) -> None:
    begin, asked = KEYED[name]
    number, failed = 0, True
    while failed:
        number += 1
        scene, old = Scene(), Hints()
        begin(scene)
        if budget := find_budget(scene.table, scene.org_id, asked.get("user", "user_ada")):
            old.keep(budget)
        table: Any = (
            Repeating(scene.table, number)
            if trouble == "lost the reply"
            else Crashing(scene.table, number, after=trouble == "died after")
        )
        try:
            ask(table, scene.organization, key="k", **asked)
            failed = trouble == "lost the reply" and table.was_reached
        except Crash:
            failed = True
        first = repeat_everywhere(scene, old, asked)
        assert keyed_holds(scene) == 1, f"{trouble}, call {number}"
        with pytest.raises(Conflict):
            ask(scene.table, scene.organization, key="k", **{**asked, "max_tokens": 999})

        release(scene.table, scene.org_id, first["id"])
        assert repeat_everywhere(scene, old, asked) == first
        assert keyed_holds(scene) == 0
    assert number >= 2


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", KEYED)
def test_a_repeat_finds_its_answer_whatever_store_call_of_the_end_fails(
    name: str, end: str, after: bool
) -> None:
    begin, asked = KEYED[name]
    number, crashed = 0, True
    while crashed:
        number += 1
        scene, old = Scene(), Hints()
        begin(scene)
        first = ask(scene.table, scene.organization, key="k", hints=old, **asked)
        try:
            ENDS[end](Crashing(scene.table, number, after=after), scene.organization, first["id"])
            crashed = False
        except Crash:
            pass
        assert repeat_everywhere(scene, old, asked)["id"] == first["id"]
        ENDS[end](scene.table, scene.organization, first["id"])
        assert repeat_everywhere(scene, old, asked)["id"] == first["id"]
        assert keyed_holds(scene) == 0
        lines = [key for key in scene.table.items if key.sk == "LINE" and "#e" in key.pk]
        assert len(lines) == end.startswith("settled")


def test_an_unkeyed_authorization_that_lost_its_answer_expires() -> None:
    """Without an idempotency key a retry cannot find the first hold; its money is free again."""
    scene = Scene()
    scene.hold()
    before = len(scene.table.items)
    with pytest.raises(Crash):
        ask(Crashing(scene.table, 2, after=True), scene.organization, entropy=b"second")
    ask(scene.table, scene.organization, entropy=b"thirds")

    assert len(scene.table.items) == before
    sweep(scene.table, LATER, lambda: True)
    sweep(scene.table, LATER + timedelta(days=1), lambda: True)
    assert scene.table.items[Key(f"ORG#{scene.org_id}", "POOL")]["funds"] == {"N": "4000000000"}


def test_a_refusal_is_evaluated_anew_when_its_key_comes_again() -> None:
    scene = Scene()
    set_cap(scene.table, scene.org_id, 0, NOW)
    with pytest.raises(SpendRefused):
        ask(scene.table, scene.organization, key="k")
    set_cap(scene.table, scene.org_id, None, NOW)
    assert ask(scene.table, scene.organization, key="k")["source"] == "extra_usage"


def settled(scene: Scene) -> dict[Key, Any]:
    """The state as it is, and as it is once everything open has come to rest."""
    for day in range(1, 5):
        sweep(scene.table, NEXT_MONTH + timedelta(days=day), lambda: True)
    return scene.state()


def _same_answer(answer: object, expected: object) -> None:
    if not isinstance(answer, dict) or not isinstance(expected, dict):
        return
    for name in ("source", "amount", "max_tokens", "unbilled", "period"):
        assert answer.get(name) == expected.get(name), name
    if "status" in expected:
        assert answer["status"] in (expected["status"], "duplicate")
