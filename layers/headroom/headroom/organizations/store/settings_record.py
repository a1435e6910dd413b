"""The item of an organization's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pynamodb.attributes import BooleanAttribute, JSONAttribute, ListAttribute, UnicodeAttribute

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Key
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    Admission,
    AllowanceWindow,
    Generations,
    Limits,
    Organization,
    Plan,
    SeatTier,
    Tier,
)
from headroom.organizations.domain.tax import Tax
from headroom.pricing.domain.prices import read_contract_price
from headroom.pricing.domain.pricing_terms import PricingTerms
from headroom.pricing.price_book import PRICE_BOOK


class SettingsRecord(Record):
    """An organization's settings. Tiers and contract prices are JSON: read whole, seldom."""

    org_id = UnicodeAttribute()
    plan = UnicodeAttribute()
    name = UnicodeAttribute()
    currency = UnicodeAttribute()
    time_zone = UnicodeAttribute()
    language = UnicodeAttribute()
    enabled = BooleanAttribute()
    admission = UnicodeAttribute()
    cap_nanos = IntegerAttribute(null=True)
    tiers = JSONAttribute()
    contract = JSONAttribute(null=True)
    past_due = BooleanAttribute(default=False)
    requests_enabled = BooleanAttribute(default=True)
    set_up: ListAttribute[Any] = ListAttribute(default=list)
    muted: ListAttribute[Any] = ListAttribute(default=list)
    tax = JSONAttribute(null=True)
    pricing = JSONAttribute(null=True)
    version = IntegerAttribute()
    cap_generation = IntegerAttribute(default=0)
    provisioned_from = UnicodeAttribute(null=True)

    @classmethod
    def from_domain(cls, key: Key, organization: Organization) -> SettingsRecord:
        """Write settings, apart from contract prices, which are stored as they were given."""
        return cls(
            key.pk,
            key.sk,
            org_id=organization.org_id,
            plan=organization.plan,
            name=organization.name,
            currency=organization.currency,
            time_zone=organization.time_zone,
            language=organization.language,
            enabled=organization.enabled,
            admission=organization.admission,
            cap_nanos=organization.cap_nanos,
            tiers={name: _tier_to_json(tier) for name, tier in organization.tiers.items()},
            past_due=organization.past_due,
            requests_enabled=organization.requests_enabled,
            set_up=sorted(organization.set_up),
            muted=sorted(organization.muted),
            tax=tax_value(organization.tax),
            pricing=organization.pricing.pack(),
            cap_generation=organization.cap_generation,
            version=organization.version,
        )

    def to_domain(self) -> Organization:
        """Read settings."""
        raw_tiers = cast("dict[SeatTier, Mapping[str, Any]]", self.tiers)
        raw_contract = cast("list[Mapping[str, Any]]", self.contract or [])
        return Organization(
            org_id=self.org_id,
            plan=cast("Plan", self.plan),
            name=self.name,
            currency=self.currency,
            time_zone=self.time_zone,
            language=self.language,
            enabled=self.enabled,
            admission=cast("Admission", self.admission),
            cap_nanos=self.cap_nanos,
            tiers={name: _tier_from_json(raw) for name, raw in raw_tiers.items()},
            past_due=self.past_due,
            version=self.version,
            requests_enabled=self.requests_enabled,
            set_up=frozenset(self.set_up),
            muted=frozenset(self.muted),
            tax=read_tax(self.tax),
            pricing=PricingTerms.unpack(cast("dict[str, Any] | None", self.pricing)),
            cap_generation=self.cap_generation,
            contract=tuple(
                read_contract_price(raw, PRICE_BOOK, "contract") for raw in raw_contract
            ),
        )


class ProvisioningRecord(Record):
    """The hash of the document that an organization is being made from."""

    digest = UnicodeAttribute()


def tax_value(tax: Tax | None) -> list[str] | None:
    """Return a tax as items keep it."""
    return None if tax is None else [tax.name, tax.rate]


def read_tax(raw: object) -> Tax | None:
    """Read a tax as items keep it."""
    return None if raw is None else Tax(*cast("list[str]", raw))


def _tier_to_json(tier: Tier) -> dict[str, Any]:
    return {
        "limits": dict(tier.limits),
        "allowance": [
            {
                "window": window.duration,
                "minutes": window.minutes,
                "amount": window.amount_nanos,
            }
            for window in tier.allowance
        ],
        "generations": dict(tier.generations),
    }


def _tier_from_json(raw: Mapping[str, Any]) -> Tier:
    return Tier(
        limits=limits_from_json(raw["limits"]),
        allowance=tuple(
            AllowanceWindow(window["window"], window["minutes"], window["amount"])
            for window in raw["allowance"]
        ),
        generations=generations_from_json(raw.get("generations", {})),
    )


def generations_from_json(raw: Mapping[str, Any]) -> Generations:
    """Read generations by period."""
    return {period: raw[period] for period in LIMIT_PERIODS if period in raw}


def limits_from_json(raw: Mapping[str, Any]) -> Limits:
    """Read limits by period."""
    return {period: raw[period] for period in LIMIT_PERIODS if period in raw}
