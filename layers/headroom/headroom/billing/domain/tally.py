"""What a stretch of the ledger adds up to, by price, seat tier and member: exact, mergeable.

Amounts are nanos. A tally of shards is the sum of the shards' tallies, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

# What was used beyond its authorization and every limit is in the components of an extra usage
# line, and not charged: it is taken off again under this kind.
BEYOND: Final = "beyond_limit"


class Priced(NamedTuple):
    """What makes one line of an invoice: the same price for the same thing.

    `late_for` is the earlier period in which the usage occurred, "" if it is the invoice's own.
    """

    late_for: str
    model: str
    kind: str
    unit_nanos: int
    per: int
    price_version: str


@dataclass(slots=True)
class Sum:
    """How much of something there was, and what it came to."""

    quantity: int = 0
    amount: int = 0


@dataclass(slots=True)
class Tally:
    """Sums of usage lines. `charged` is what `lines` come to; the rest was never charged."""

    requests: int = 0
    charged: int = 0
    included: int = 0
    unbilled: int = 0
    lines: dict[Priced, Sum] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        *,
        model: str,
        seat_tier: str,
        source: str,
        cost: int,
        charged: int,
        unbilled: int,
        price_version: str,
        components: Iterable[Sequence[Any]],
        late_for: str = "",
    ) -> None:
        """Count one usage line; `components` are (kind, quantity, unit nanos, per, amount).

        Behind them may stand the model and price version of a component, where they are its own.
        """
        self.requests += 1
        self.charged += charged
        self.unbilled += unbilled
        if source == "included":
            self.included += cost
        if source != "extra_usage":
            return
        self.tiers[seat_tier] = self.tiers.get(seat_tier, 0) + charged
        for kind, quantity, unit_nanos, per, amount, *own in components:
            its_model, version = own or (model, price_version)
            self._count(
                Priced(late_for, its_model, kind, unit_nanos, per, version), quantity, amount
            )
        if unbilled:
            self._count(Priced(late_for, model, BEYOND, 0, 1, price_version), 1, -unbilled)

    def merge(self, other: Tally) -> None:
        """Count all that another tally counted."""
        self.requests += other.requests
        self.charged += other.charged
        self.included += other.included
        self.unbilled += other.unbilled
        for tier, amount in other.tiers.items():
            self.tiers[tier] = self.tiers.get(tier, 0) + amount
        for priced, each in other.lines.items():
            self._count(priced, each.quantity, each.amount)

    def _count(self, priced: Priced, quantity: int, amount: int) -> None:
        found = self.lines.get(priced)
        if found is None:
            found = self.lines[priced] = Sum()
        found.quantity += quantity
        found.amount += amount

    def pack(self) -> dict[str, Any]:
        """Return the tally as JSON, the same for the same sums."""
        return {
            "requests": self.requests,
            "charged": self.charged,
            "included": self.included,
            "unbilled": self.unbilled,
            "lines": [[*priced, each.quantity, each.amount] for priced, each in self.sorted_lines],
            "tiers": dict(sorted(self.tiers.items())),
        }

    @classmethod
    def unpack(cls, raw: dict[str, Any]) -> Tally:
        """Read a packed tally."""
        return cls(
            requests=raw["requests"],
            charged=raw["charged"],
            included=raw["included"],
            unbilled=raw["unbilled"],
            lines={Priced(*line[:6]): Sum(*line[6:]) for line in raw["lines"]},
            tiers=dict(raw["tiers"]),
        )

    @property
    def sorted_lines(self) -> list[tuple[Priced, Sum]]:
        """The lines in the order in which an invoice shows them."""
        return sorted(self.lines.items(), key=lambda line: line[0])
