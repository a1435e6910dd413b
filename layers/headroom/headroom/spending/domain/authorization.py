"""Authorizations: the hold that one is, and the id that says where it lies."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.errors import NotFound
from headroom.organizations.domain.organization import SEAT_TIERS, SeatTier
from headroom.pricing.domain.requests import HoldRequest

Source = Literal["included", "extra_usage"]
Home = Literal["member", "pool"]

USER_ID: Final = re.compile(r"user_[A-Za-z0-9_-]{1,64}")

_PREFIX: Final = "auth_"
MOMENT_BYTES: Final = 6
_KEY_BYTES: Final = 12
_ENTROPY_BYTES: Final = 6
_BODY_BYTES: Final = 13
_TAG_BYTES: Final = 2
_PACKED_CHARS: Final = 36
_FIRST_YEAR: Final = 2000


@dataclass(frozen=True, slots=True)
class Hold:
    """Money, or included allowance, that one open authorization has taken.

    `epoch` names the state of the budget under which it was taken: what a settlement leaves over
    returns to the member's allotment only while that state lasts, and to the pool after it.
    Epoch 0 never was a budget's: such a hold came straight from the pool and returns there.
    `filed_as` is what its usage line is to say of seat tier and reason, empty for the oldest holds.
    """

    key: str
    amount_nanos: int
    epoch: int
    until_millis: int
    source: Source
    request: HoldRequest | None = None
    filed_as: str = ""

    @property
    def taken_at(self) -> datetime:
        """The moment at which the hold was taken, which fixes its day, week and period."""
        return taken_at(self.key)

    @property
    def home(self) -> Home:
        """Where the hold's leftover belongs while its epoch lasts."""
        return "pool" if self.epoch == 0 else "member"


@dataclass(frozen=True, slots=True)
class AuthorizationId:
    """The id of an authorization, which carries what settling it has to know.

    A settlement is one write without a read, and a condition can compare but not compute, so the
    amount to move travels in the id and the write is conditioned on the hold being just that. The
    id also says whose budget the hold lies in, under which period, seat tier and reason the usage
    line is to be filed. It is no secret and proves no right: the tag only ties it to the
    organization, so that an id from elsewhere is not found.
    """

    org_id: str
    user_id: str
    key: str
    source: Source
    home: Home
    seat_tier: SeatTier
    period: str
    exhausted_minutes: int
    amount_nanos: int

    def __str__(self) -> str:
        body = self.facts
        packed = _b64(_unb64(self.key) + body + self._tag(body))
        return f"{_PREFIX}{packed}{self.user_id.removeprefix('user_')}"

    @property
    def filed_as(self) -> str:
        """What the hold has to say of seat tier and reason, if this id was not made up."""
        return file_as(self.seat_tier, self.exhausted_minutes)

    @property
    def taken_at(self) -> datetime:
        """The moment at which the hold was taken."""
        return taken_at(self.key)

    @classmethod
    def parse(cls, text: str, *, org_id: str) -> AuthorizationId:
        """Read an id that this organization was given.

        Raises:
            NotFound: the text is no such id, or was given to another organization.
        """
        absent = NotFound("authorization: there is none with this id")
        packed = text[len(_PREFIX) : len(_PREFIX) + _PACKED_CHARS]
        user_id = f"user_{text[len(_PREFIX) + _PACKED_CHARS :]}"
        if not text.startswith(_PREFIX) or not USER_ID.fullmatch(user_id):
            raise absent
        try:
            raw = base64.b64decode(packed, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise absent from error
        if len(raw) != _KEY_BYTES + _BODY_BYTES + _TAG_BYTES:
            raise absent
        body = raw[_KEY_BYTES : _KEY_BYTES + _BODY_BYTES]
        found = cls.of_facts(body, org_id=org_id, user_id=user_id, key=_b64(raw[:_KEY_BYTES]))
        if found._tag(body) != raw[_KEY_BYTES + _BODY_BYTES :]:
            raise absent
        try:
            # The tag is no secret: the moment in a made-up key may be beyond the calendar.
            _ = found.taken_at
        except OverflowError as error:
            raise absent from error
        return found

    @classmethod
    def of_facts(cls, facts: bytes, *, org_id: str, user_id: str, key: str) -> AuthorizationId:
        """Read what `facts` packed."""
        flags = facts[0]
        return cls(
            org_id=org_id,
            user_id=user_id,
            key=key,
            source="extra_usage" if flags & 1 else "included",
            home="pool" if flags & 2 else "member",
            seat_tier=SEAT_TIERS[(flags >> 2) & 1],
            period=unpack_period(facts[1:3]),
            exhausted_minutes=int.from_bytes(facts[3:5]),
            amount_nanos=int.from_bytes(facts[5:]),
        )

    @property
    def facts(self) -> bytes:
        """Everything but whose it is and its key: flags, period, minutes, and last the amount."""
        flags = (
            (self.source == "extra_usage")
            | (self.home == "pool") << 1
            | SEAT_TIERS.index(self.seat_tier) << 2
        )
        return (
            flags.to_bytes()
            + pack_period(self.period)
            + self.exhausted_minutes.to_bytes(2)
            + self.amount_nanos.to_bytes(8)
        )

    def _tag(self, body: bytes) -> bytes:
        facts = f"{self.org_id}|{self.user_id}|{self.key}|".encode() + body
        return hashlib.sha256(facts).digest()[:_TAG_BYTES]


def file_as(seat_tier: SeatTier, exhausted_minutes: int) -> str:
    """Pack what a usage line says of its hold: seat tier, and which included window ran out."""
    return f"{SEAT_TIERS.index(seat_tier)} {exhausted_minutes}"


def read_filed_as(text: str) -> tuple[SeatTier, int]:
    """Read what `file_as` wrote."""
    tier, minutes = text.split(" ")
    return SEAT_TIERS[int(tier)], int(minutes)


def pack_period(period: str) -> bytes:
    """Return a period as two bytes."""
    year, month = period.split("-")
    return ((int(year) - _FIRST_YEAR) * 12 + int(month) - 1).to_bytes(2)


def unpack_period(packed: bytes) -> str:
    """Read what `pack_period` wrote."""
    year, month = divmod(int.from_bytes(packed), 12)
    return f"{_FIRST_YEAR + year:04d}-{month + 1:02d}"


def hold_key(now: datetime, entropy: bytes) -> str:
    """Return the key of a hold taken `now`: its moment and six bytes that tell it from others."""
    if len(entropy) != _ENTROPY_BYTES:
        raise ValueError(f"entropy must have {_ENTROPY_BYTES} bytes, got {len(entropy)}")
    return _b64(to_millis(now).to_bytes(MOMENT_BYTES) + entropy)


def taken_at(key: str) -> datetime:
    """Return the moment that a hold's key carries."""
    return from_millis(int.from_bytes(_unb64(key)[:MOMENT_BYTES]))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
