"""Who makes which request, with which model, and what goes wrong on the way: by a seeded rule."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal, TypeVar

from headroom.pricing.domain.usage import COUNT_MAX
from tools.demo.traces import Recorded, Trace
from tools.example_models import LARGE_MODEL, MODEL, SMALL_MODEL

Fate = Literal["settled", "cancelled", "unannounced", "underestimated"]
Each = TypeVar("Each")

# A few people do most of the work: shares fall with the rank, in an order that the seed shuffles.
SHARE_EXPONENT: Final = 0.8
MODELS: Final = {MODEL: 60, SMALL_MODEL: 25, LARGE_MODEL: 15}

# One in so many events is delivered twice, as by a client that never saw the first reply.
DELIVERED_TWICE_ONE_IN: Final = 10
# Accidents of generated traffic, one in so many requests each.
ACCIDENTS: Final[Mapping[Fate, int]] = {"cancelled": 40, "unannounced": 40, "underestimated": 50}

# Clients ask for this many tokens of output, or the next power of two that their answer needs.
MAX_TOKENS: Final = 1024
PRODUCT: Final = "demo"


@dataclass(frozen=True, slots=True)
class Person:
    """A member who makes requests, and the key of the client that sends them."""

    org_id: str
    user_id: str
    service_key: str


@dataclass(frozen=True, slots=True)
class Task:
    """One request of one member, from the question whether it may be made to its usage.

    `deliveries` is how often its usage is reported. An `unannounced` one is reported without
    having asked, a `cancelled` one asks and is never made, an `underestimated` one uses more
    than it asked for. With `known` it is in the ledger since an earlier run: an event as it was
    sent then, to be delivered once more.
    """

    number: int
    person: Person
    model: str
    recorded: Recorded
    event_id: str
    fate: Fate = "settled"
    deliveries: int = 1
    known: Mapping[str, Any] | None = None

    @property
    def max_tokens(self) -> int:
        """The output that the client asks for."""
        usage = self.recorded.usage
        # A summary of the context is as long as an answer may be.
        summaries = [each.tokens.output for each in usage.iterations if each.type == "compaction"]
        needed = max(usage.tokens.output, sum(summaries))
        if self.fate == "underestimated":
            return max(1, needed // 2)
        power = 1 << max(needed - 1, 0).bit_length()
        return min(max(MAX_TOKENS, power), COUNT_MAX)


def deal(trace: Trace, people: Sequence[Person], *, seed: int, run: str) -> list[Task]:
    """Give every request of a trace to a member and a model.

    Requests of one session are one person's. The same trace and seed give the same tasks, apart
    from the ids of events that the trace does not name: those carry the run's.
    """
    chance = random.Random(seed)
    by_share = _shares(people, chance)
    tasks = []
    for number, recorded in enumerate(trace.requests):
        model = _pick(MODELS, chance)
        person = _pick(by_share, chance)
        if recorded.session is not None:
            person = _pick(by_share, random.Random(f"{seed} {recorded.session}"))
        twice = chance.randrange(DELIVERED_TWICE_ONE_IN) == 0
        fate = _accident(chance) if trace.invented else "settled"
        if recorded.unpriced:
            # No money can be held for it.
            fate = "unannounced"
        tasks.append(
            Task(
                number=number,
                person=person,
                model=recorded.model or model,
                recorded=recorded,
                event_id=recorded.event_id or f"demo_{run}_{number}",
                fate=fate,
                deliveries=2 if twice and fate != "cancelled" else 1,
            )
        )
    return tasks


def _shares(people: Sequence[Person], chance: random.Random) -> dict[Person, float]:
    shares = {}
    for org_id in sorted({person.org_id for person in people}):
        colleagues = [person for person in people if person.org_id == org_id]
        chance.shuffle(colleagues)
        for rank, person in enumerate(colleagues, start=1):
            shares[person] = rank**-SHARE_EXPONENT
    return shares


def _accident(chance: random.Random) -> Fate:
    for fate, one_in in ACCIDENTS.items():
        if chance.randrange(one_in) == 0:
            return fate
    return "settled"


def _pick(shares: Mapping[Each, float], chance: random.Random) -> Each:
    return chance.choices(list(shares), cum_weights=list(accumulate(shares.values())))[0]
