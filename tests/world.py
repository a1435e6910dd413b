"""An organization under random use: what may happen to it, and who is watching each answer.

What is promised of every state and every answer stands in `tests.promises`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headroom.core.errors import Conflict, NotFound, SpendRefused
from headroom.core.store.table import Change, Contended, Item, Update
from headroom.limits.usecases.settings import (
    change_organization,
    change_person,
    set_cap,
    set_enabled,
)
from headroom.organizations.domain.organization import SEAT_TIERS, Admission, Limits, Tier
from headroom.pricing.domain.usage import price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.answers import ENDED_LEAST, FirstAnswer, place_of
from headroom.spending.domain.authorization import AuthorizationId
from headroom.spending.usecases.authorizations import (
    Idempotency,
    authorize,
    bound_of,
    extend,
    release,
)
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import UsageEvent, record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.books import Books, Reader
from tests.interleaving import Interleaving
from tests.memory_table import MemoryTable
from tests.promises import Promises, Watch

CENT = 10_000_000
MODEL = "claude-sonnet-4-5"
ADMISSIONS: Final[tuple[Admission, ...]] = ("everyone", "everyone", "selected")


class TroubledTable(MemoryTable):
    """A table whose replies get lost and whose transactions meet others, now and then.

    After a lost reply the client repeats what has succeeded already, as botocore does.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.share = 0.0

    def update(self, update: Update) -> Item:
        after: Item = self._with_trouble(lambda: super(TroubledTable, self).update(update))
        return after

    def transact(self, changes: Sequence[Change]) -> None:
        self._with_trouble(lambda: super(TroubledTable, self).transact(changes))

    def _with_trouble(self, call: Callable[[], Any]) -> Any:
        trouble = self.chance.random()
        if trouble < self.share / 2:
            self.step("met another transaction")
            raise Contended
        answer = call()
        return call() if trouble < self.share else answer


class World:
    """A small organization, tight enough that limits are met, and what may happen to it."""

    def __init__(
        self, seed: int, table: MemoryTable | None = None, *, troubled: bool = False
    ) -> None:
        self.chance = random.Random(seed)
        self.troubled = troubled
        self.interleaving = Interleaving(random.Random(seed + 1), dies=0.01 if troubled else 0)
        trouble = TroubledTable(random.Random(seed + 2))
        self.table = table or trouble
        self._reader = Reader()
        self.now = datetime(
            2026, 11, self.chance.choice([23, 29, 30]), self.chance.choice([3, 22, 23]), tzinfo=UTC
        )
        self.users = [f"user_{name}" for name in "abcd"[: self.chance.randrange(1, 5)]]
        answer = provision(self.table, parse_provisioning(self._document(seed)), self.now)
        self.org_id: str = answer["id"]
        self.organization = self.books().organization
        self.promises = Promises(self.books())
        self.hints = [Hints() for _ in range(3)]
        self.authorizations: list[tuple[str, str]] = []
        # Bodies by idempotency key; by member and place what was answered, and what is forgotten.
        self.keyed: dict[str, dict[str, Any]] = {}
        self.answered: dict[tuple[str, str], dict[str, Any]] = {}
        self.forgotten: set[tuple[str, str]] = set()
        self._remembered: dict[str, frozenset[str]] = {}
        self._checked: Books | None = None
        self.outcomes: Counter[str] = Counter()
        self.events = 0
        self.table.step = self.interleaving.step
        if troubled:
            trouble.share = self.chance.choice([0.04, 0.3])

    # What may happen.

    def authorize(self) -> None:
        now, max_tokens = self.tick(), self.chance.choice([100, 1000, 3000])
        body: dict[str, Any] = {
            "user_id": self.chance.choice(self.users),
            "model": MODEL,
            "input_tokens": self.chance.choice([0, 1000, 5000]),
            "max_tokens": max_tokens,
            "ttl_seconds": self.chance.choice([60, 600, 7200, 86400]),
        }
        if self.chance.random() < 0.3:
            body["min_tokens"] = self.chance.randrange(1, max_tokens)
        if self.chance.random() < 0.15:
            body["use_extra_usage"] = self.chance.random() < 0.7
        idempotency = None
        if self.chance.random() < 0.5:
            key, body = self._key_for(body)
            max_tokens = body["max_tokens"]
            idempotency = Idempotency(key, json.dumps(body, sort_keys=True))
        asked = parse_authorization_request(body)
        bound = bound_of(self.organization, asked.request, now)
        least = bound.amount(body.get("min_tokens", max_tokens))
        watch = Watch(asked.user_id, now, lambda books: least, asked.chooses)

        try:
            with self._watching(watch):
                answer = authorize(
                    self.table,
                    self.chance.choice(self.hints),
                    self.organization,
                    asked,
                    now,
                    entropy=self.chance.randbytes(6),
                    idempotency=idempotency,
                    ask_reload=self.ask_reload,
                )
        except SpendRefused as refusal:
            during = " during a cut" if watch.met_a_cut else ""
            self.outcomes[refusal.facts["reason"] + during] += 1
        except (Conflict, NotFound) as error:
            self.outcomes[f"authorize {type(error).__name__}"] += 1
        else:
            self.outcomes[answer["source"]] += 1
            if idempotency is None or self._is_new(idempotency.key, answer):
                self.authorizations.append((answer["user_id"], answer["id"]))

    def _key_for(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a new key for a body, or one of the last for its own body or for another."""
        keys = list(self.keyed)[-8:]
        gone = {place for _, place in self.forgotten}
        if gone and self.chance.random() < 0.3:
            keys = [key for key in self.keyed if place_of(self.org_id, key) in gone]
        luck = self.chance.random()
        if keys and luck < 0.6:
            key = self.chance.choice(keys)
            return key, self.keyed[key] if luck < 0.5 else body
        key = f"key-{len(self.keyed)}"
        self.keyed[key] = body
        return key, body

    def _is_new(self, key: str, answer: dict[str, Any]) -> bool:
        """Tell whether it is the key's first answer; a second has to be the same.

        Until the key was forgotten, whatever happened between, in whatever process.
        """
        user_id, place = answer["user_id"], place_of(self.org_id, key)
        said = {name: answer[name] for name in ("id", "amount", "max_tokens", "expires_at")}
        before = self.answered.get((user_id, place))
        self.answered[user_id, place] = said
        if before is None:
            return True
        if (user_id, place) in self.forgotten:
            self.outcomes["answered anew"] += 1
            self.forgotten.discard((user_id, place))
            return True
        assert said == before, "a repeat got another answer"
        self.outcomes["answered again"] += 1
        return False

    def _check_answers(self, books: Books) -> None:
        """Check that each key has one open hold at most, which a repeat of it would find."""
        places = {place_of(self.org_id, key) for key in self.keyed}
        for user_id, budget in books.budgets.items():
            open_ = [hold.key for hold in books.holds(user_id) if hold.key[8:] in places]
            assert len(open_) == len({key[8:] for key in open_}), "a key holds twice"
            answers = budget.answers
            assert answers is not None
            for key in open_:
                first = FirstAnswer.unpack(
                    answers[key[8:]], org_id=self.org_id, user_id=user_id, place=key[8:]
                )
                assert first.authorization.key == key
            gone = self._remembered.get(user_id, frozenset()) - answers.keys()
            assert not gone or len(answers) > ENDED_LEAST, "forgot more than it had to"
            self.forgotten |= {(user_id, place) for place in gone}
            self._remembered[user_id] = frozenset(answers)

    def record(self) -> None:
        user_id, authorization_id = self.chance.choice(self.users), None
        if self.authorizations and self.chance.random() < 0.85:
            user_id, authorization_id = self.chance.choice(self.authorizations[-6:])
        self.events += 1
        now = self.tick()
        event: dict[str, Any] = {
            # Now and then an id that was used before, for the same event or for another.
            "id": f"event-{max(0, self.events - (self.chance.random() < 0.2))}",
            "user_id": user_id,
            "model": MODEL,
            "occurred_at": now.isoformat(),
            "usage": {
                "input_tokens": self.chance.choice([0, 1000, 5000, 20000]),
                "output_tokens": self.chance.choice([0, 10, 100, 3000]),
            },
        }
        if authorization_id:
            event["authorization_id"] = authorization_id
        parsed = parse_event(event, now)
        for _ in range(self.chance.choice([1, 1, 2])):
            self._record_once(parsed, now)

    def _record_once(self, event: UsageEvent, now: datetime) -> None:
        cost = price(event.usage, book=PRICE_BOOK, model=event.model, at=now).amount_nanos
        watch = Watch(event.user_id, now, lambda books: cost)
        with self._watching(watch):
            hints = self.chance.choice(self.hints)
            result = record(
                self.table, hints, self.organization, event, now, ask_reload=self.ask_reload
            )
            if result["status"] == "recorded" and result["source"] == "unbilled":
                watch.left_unbilled()
        self.outcomes[f"{result['status']} {result.get('source')}"] += 1
        if result["status"] != "rejected":
            line = self.books().lines[event.event_id]
            assert line["source"]["S"] == result["source"]
            assert line["digest"]["S"] == event.digest

    def ask_reload(self, org_id: str) -> None:
        """Somebody asks for a look at the wallet, at once. Here nobody looks after it."""

    def release(self) -> None:
        if self.authorizations:
            _, authorization_id = self.chance.choice(self.authorizations[-6:])
            release(self.table, self.org_id, authorization_id)
            key = AuthorizationId.parse(authorization_id, org_id=self.org_id).key
            assert not [each for each in self.books().all_budgets if key in each.holds]
            self.outcomes["released"] += 1

    def extend(self) -> None:
        if not self.authorizations:
            return
        user_id, authorization_id = self.chance.choice(self.authorizations[-6:])
        now, longer = self.tick(), timedelta(seconds=self.chance.choice([60, 7200]))
        max_tokens = self.chance.choice([None, 100, 2000, 5000])
        key = AuthorizationId.parse(authorization_id, org_id=self.org_id).key

        def least(books: Books) -> int | None:
            """What the hold lacks of the larger amount; it may be enlarged by others too."""
            hold = next((each for each in books.holds(user_id) if each.key == key), None)
            if hold is None or hold.request is None or max_tokens is None:
                return None
            larger = bound_of(self.organization, hold.request, now).amount(max_tokens)
            return max(larger - hold.amount_nanos, 0)

        watch = Watch(user_id, now, least, chooses=True, seat_had_some=False)
        try:
            with self._watching(watch):
                extend(
                    self.table,
                    self.organization,
                    authorization_id,
                    now,
                    ttl=longer if self.chance.random() < 0.5 else None,
                    max_tokens=max_tokens,
                    ask_reload=self.ask_reload,
                )
            self.outcomes["extended"] += 1
        except (Conflict, NotFound, SpendRefused) as refusal:
            self.outcomes[f"not extended: {refusal.type}"] += 1

    def sweep(self) -> None:
        sweep(self.table, self.tick(), lambda: True)

    @property
    def happenings(self) -> list[Callable[[], None]]:
        """What may happen, the more often the more times it is listed."""
        return (
            [self.authorize] * 8
            + [self.record] * 7
            + [self.release] * 2
            + [self.extend, self.sweep]
            # In half of all worlds only money moves, so that limits are met rather than changed.
            + (self.changes if self.chance.random() < 0.5 else [])
        )

    @property
    def changes(self) -> list[Callable[[], None]]:
        """What owners may change meanwhile."""
        return [
            self.set_cap,
            self.set_enabled,
            self.set_admission,
            self.set_tier_limit,
            self.change_person,
        ]

    def set_cap(self) -> None:
        cap = self.chance.choice([None, 0, self.chance.randrange(400) * CENT])
        with self.promises.changing("organization"):
            set_cap(self.table, self.org_id, cap, self.tick())

    def set_enabled(self) -> None:
        enabled = self.chance.random() < 0.6
        with self.promises.changing("organization"):
            set_enabled(self.table, self.org_id, enabled, self.tick())

    def set_admission(self) -> None:
        """Let in everyone or the selected, or stop everyone until a payment is made."""
        admission = self.chance.choice(ADMISSIONS)
        past_due = self.chance.random() < 0.2
        with self.promises.changing("organization"):
            change_organization(
                self.table,
                self.org_id,
                lambda old: replace(old, admission=admission, past_due=past_due),
                self.tick(),
                touches=lambda budget: True,
            )

    def set_tier_limit(self) -> None:
        tier, limits = self.chance.choice(SEAT_TIERS), self._limits()
        with self.promises.changing(tier):
            change_organization(
                self.table,
                self.org_id,
                lambda old: replace(
                    old, tiers={**old.tiers, tier: Tier(limits, old.tiers[tier].allowance)}
                ),
                self.tick(),
                touches=lambda budget: budget.seat_tier == tier,
            )

    def change_person(self) -> None:
        tier, user_id = self.chance.choice(SEAT_TIERS), self.chance.choice(self.users)
        continues, active = self.chance.random() < 0.8, self.chance.random() < 0.9
        admitted = self.chance.random() < 0.7
        limits = self._limits()
        with self.promises.changing(user_id):
            change_person(
                self.table,
                self.org_id,
                user_id,
                lambda old: replace(
                    old,
                    seat_tier=tier,
                    admitted=admitted,
                    continues=continues,
                    active=active,
                    limits=limits,
                ),
                self.tick(),
            )

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([30, 120, 3600, 21_600, 86_400]))

    def tick(self) -> datetime:
        """Return a use case's own time: no two agree, and some clocks are wrong by seconds."""
        self.now += timedelta(milliseconds=1)
        wrong_by = self.chance.choice([0, 0, 0, 0, 0, 0, -3, 2])
        return self.now + timedelta(seconds=wrong_by)

    def check(self) -> None:
        """Check every promise at this instant."""
        if self.interleaving.failures:
            raise AssertionError(self.interleaving.failures[0])
        books = self.books()
        if books is not self._checked:
            self._check_answers(books)
            self._checked = books
        self.promises.check(books, movers=self.interleaving.running)

    def check_rest(self) -> None:
        """Check that nothing stays held, idle or registered once all holds have expired."""
        if isinstance(self.table, TroubledTable):
            self.table.share = 0
        self.table.step = lambda name: self.check()
        for _ in range(6):
            self.now += timedelta(days=1, seconds=1)
            sweep(self.table, self.now, lambda: True)
        self.check()
        self.promises.check_rest(self.books())

    def books(self) -> Books:
        """Read the table, without a step."""
        return self._reader.read(self.table.items)

    @contextmanager
    def _watching(self, watch: Watch) -> Iterator[None]:
        """Watch a request, and hold its refusal against what was true while it was under way."""
        mover = self.interleaving.current()
        assert mover is not None
        self.promises.watch(mover, watch, self.books())
        try:
            yield
        except SpendRefused as refusal:
            self.promises.observe(self.books())
            if not (self.troubled and refusal.facts["reason"] == "contended"):
                watch.refused(refusal.facts["reason"])
            raise
        finally:
            self.promises.forget(mover)

    def _limits(self) -> Limits:
        limits: Limits = self.chance.choice(
            [
                {},
                {"monthly": self.chance.randrange(50) * CENT},
                {"daily": self.chance.randrange(50) * CENT},
                {"weekly": self.chance.randrange(50) * CENT},
                {"daily": self.chance.randrange(30) * CENT, "monthly": None},
            ]
        )
        return limits

    def _document(self, seed: int) -> dict[str, Any]:
        chance = self.chance
        plan = chance.choice(["team", "enterprise"])
        windows = [
            {"window": "PT5H", "amount": str(chance.randrange(30))},
            {"window": "P7D", "amount": str(chance.randrange(60))},
        ]
        tiers: dict[str, Any] = {
            "standard": {"allowance": chance.choice([[], windows])},
            "premium": {"allowance": chance.choice([[], [], [{"window": "PT5H", "amount": "40"}]])},
        }
        if plan == "enterprise":
            tiers["premium"]["spend_limit"] = chance.choice([None, str(chance.randrange(5, 100))])
            tiers["premium"]["daily_spend_limit"] = chance.choice([None, "25"])
        members = [
            {
                "user_id": user_id,
                "name": user_id,
                "email": f"{user_id}@example.com",
                "seat_tier": chance.choice(["standard", "premium"]),
                "continue_with_extra_usage": chance.random() < 0.9,
            }
            for user_id in self.users
        ]
        document: dict[str, Any] = {
            "id": f"world-{seed}",
            "plan": plan,
            "name": "World",
            "time_zone": chance.choice(["UTC", "UTC", "America/New_York", "Asia/Kolkata"]),
            "extra_usage": {"enabled": True},
            "spend_limit": chance.choice([None, str(chance.randrange(1, 400))]),
            "seat_tiers": tiers,
            "members": members,
        }
        if plan == "team":
            document["wallet"] = {"balance": str(chance.randrange(300))}
        return document
