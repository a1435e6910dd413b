"""The other bodies: what an operator or the vendor's back end leaves out when they invoke."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import pytest

from functions.provision_organization import handler as provision_organization
from headroom.billing.wire import invoices
from headroom.billing.wire.invoices import parse_settlement
from headroom.console.wire.orders import parse_confirmed, read_pressed
from headroom.core.errors import InvalidRequest
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import find_organization, find_pool, list_members
from headroom.payments.wire import wallets
from headroom.payments.wire.wallets import parse_adjustment
from headroom.pricing.domain.prices import KINDS
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire import provisioning as organizations
from headroom.provisioning.wire.provisioning import parse_provisioning
from tests.contract.governing import House
from tests.contract.test_absent_members import (
    ABSENT,
    ANY,
    FORMS,
    Means,
    Outcome,
    Row,
    dotted,
    optional,
    with_form,
)
from tests.in_process import Application, Context, sample
from tests.memory_table import MemoryTable

TAKEN: Final = Means("the value itself")
# Of two that exclude each other a refusal names what holds them.
EITHER: Final = {
    "contract_prices.0.discount_percent": "contract_prices.0",
    "contract_prices.1.tiers": "contract_prices.1",
}
NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Form:
    """A document that is invoked with, every member given, and how it is read."""

    name: str
    body: dict[str, Any]
    read: Callable[[dict[str, Any]], Any]
    rows: tuple[Row, ...]
    # What was read, by the member that says it, where a row says what that is.
    shown: Callable[[Any, str], Any] = lambda read, member: getattr(read, member)

    def __str__(self) -> str:
        return self.name


DOCUMENT: Final[dict[str, Any]] = {
    "id": "acme",
    "plan": "enterprise",
    "name": "Acme",
    "currency": "USD",
    "time_zone": "UTC",
    "language": "en",
    "extra_usage": {"enabled": True, "members": "selected"},
    "spend_limit": "500",
    "seat_tiers": {
        "standard": {
            "spend_limit": "100",
            "daily_spend_limit": "100",
            "weekly_spend_limit": "100",
            "allowance": [{"window": "PT5H", "amount": "5"}],
        },
        "premium": {"spend_limit": None, "allowance": []},
    },
    "members": [
        {
            "user_id": "user_ada",
            "name": "Ada",
            "email": "ada@acme.example",
            "role": "admin",
            "seat_tier": "premium",
            "extra_usage": True,
            "continue_with_extra_usage": True,
            "spend_limit": "100",
            "daily_spend_limit": "100",
            "weekly_spend_limit": "100",
        },
        {
            "user_id": "user_olga",
            "name": "Olga",
            "email": "olga@acme.example",
            "role": "primary_owner",
        },
    ],
    "contract_prices": [
        {
            "id": "all-2026",
            "model": "claude-opus-5",
            "from": "2026-04-01",
            "discount_percent": 20,
            "modifiers": [
                {
                    "kind": "speed",
                    "value": "fast",
                    "factor": "3/2",
                    "from": "2026-04-01",
                    "until": "2026-12-31",
                }
            ],
        },
        {
            "id": "opus-2026",
            "model": "claude-opus-5",
            "from": "2026-05-01",
            "tiers": [{"input_tokens_min": 0, "rates": dict.fromkeys(KINDS, 1)}],
        },
    ],
    "tax": {"name": "VAT", "rate": "0.20"},
}
PREPAID: Final[dict[str, Any]] = {
    "id": "acme",
    "plan": "team",
    "name": "Acme",
    "members": DOCUMENT["members"][1:],
    "wallet": {"balance": "500"},
}


@dataclass(frozen=True)
class Made:
    """What an invocation made: the organization as it is in the table."""

    organization: Organization
    members: Mapping[str, Member]
    pool: Pool


def make(document: dict[str, Any]) -> Made:
    """Provision by the handler, on a table of its own; a refusal leaves nothing behind."""
    table = MemoryTable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provision_organization, "table", table)
        answer = provision_organization.handler(document, cast("Any", Context()))
    if answer["type"] == "error":
        assert answer["error"]["type"] == "invalid_request_error"
        assert not table.items
        raise InvalidRequest(answer["error"]["details"]["field"], answer["error"]["message"])
    organization = find_organization(table, answer["id"])
    assert organization is not None
    members = {member.user_id: member for member in list_members(table, answer["id"])}
    return Made(organization, members, find_pool(table, answer["id"]))


def of_made(made: Made, member: str) -> Any:
    tiers, ada = made.organization.tiers, made.members.get("user_ada")
    discount, *_ = made.organization.contract or (None,)
    if member.startswith("wallet"):
        return made.pool.funds
    if member.startswith("contract_prices"):
        assert discount is not None
        return {
            "contract_prices.0.model": discount.model,
            "contract_prices.0.modifiers": discount.modifiers,
        }[member]
    assert ada is not None
    return {
        # What may be spent of it, with extra usage on.
        "spend_limit": made.organization.cap_nanos if made.organization.enabled else ABSENT,
        "extra_usage.enabled": made.organization.enabled,
        "seat_tiers": tiers["standard"].limits,
        "seat_tiers.standard": tiers["standard"].limits,
        "seat_tiers.standard.spend_limit": tiers["standard"].limits.get("monthly"),
        "seat_tiers.standard.daily_spend_limit": tiers["standard"].limits.get("daily"),
        "seat_tiers.standard.weekly_spend_limit": tiers["standard"].limits.get("weekly"),
        "seat_tiers.standard.allowance": tiers["standard"].allowance,
        "members.0.extra_usage": ada.admitted,
        "members.0.continue_with_extra_usage": ada.continues,
        "members.0.spend_limit": ada.limits.get("monthly", "the tier's"),
        "members.0.daily_spend_limit": ada.limits.get("daily", "the tier's"),
        "members.0.weekly_spend_limit": ada.limits.get("weekly", "the tier's"),
        "tax": made.organization.tax,
    }[member]


def default(member: str, words: str, shows: Any = ANY, **others: Outcome) -> Row:
    """It may be left out; null is no value of it."""
    return Row(member, **{"absent": Means(words, shows), **others})


def own_limit(member: str) -> Row:
    return Row(
        member,
        absent=Means("the seat tier's", "the tier's"),
        null=Means("unlimited, but for the organization's", None),
        zero=Means("nothing beyond what the seat includes", 0),
    )


def tier_limit(member: str) -> Row:
    name = f"seat_tiers.standard.{member}"
    none = Means("none of the tier's own; the organization's holds", None)
    return Row(name, absent=none, null=none, zero=Means("nothing beyond the allowance", 0))


PROVISIONING: Final = Form(
    "provision_organization",
    DOCUMENT,
    make,
    (
        Row("id", zero=TAKEN),
        Row("plan"),
        Row("name", zero=TAKEN),
        default("currency", "USD"),
        default("time_zone", "UTC"),
        default("language", "en"),
        default("extra_usage", "off", object=Means("off")),
        optional("extra_usage.enabled", "off", False),
        default("extra_usage.members", "everyone"),
        Row(
            "spend_limit",
            # Nothing is lifted by it: there is no guard of an organization that is yet to be made.
            absent=Means("unlimited, until somebody sets it", None),
            null=Means("unlimited", None),
            zero=Means("nothing beyond what seats include", 0),
        ),
        default("seat_tiers", "no allowance, no limits", {}, object=Means("as if left out", {})),
        default("seat_tiers.standard", "no allowance, no limits", {}, object=Means("so too", {})),
        tier_limit("spend_limit"),
        tier_limit("daily_spend_limit"),
        tier_limit("weekly_spend_limit"),
        default("seat_tiers.standard.allowance", "all usage is extra", (), list=Means("so", ())),
        Row("seat_tiers.standard.allowance.0.window"),
        Row("seat_tiers.standard.allowance.0.amount", zero=TAKEN),
        default("seat_tiers.premium", "no allowance, no limits", object=Means("as if left out")),
        Row("members"),
        optional("members.0.user_id", "made from the address"),
        Row("members.0.name", zero=TAKEN),
        Row("members.0.email"),
        default("members.0.role", "member"),
        default("members.0.seat_tier", "standard"),
        optional("members.0.extra_usage", "not admitted", False),
        optional("members.0.continue_with_extra_usage", "not chosen", False),
        own_limit("members.0.spend_limit"),
        own_limit("members.0.daily_spend_limit"),
        own_limit("members.0.weekly_spend_limit"),
        default("contract_prices", "list prices", list=Means("list prices")),
        Row("contract_prices.0.id", zero=TAKEN),
        Row("contract_prices.0.model", null=Means("all models", None)),
        Row("contract_prices.0.from"),
        Row("contract_prices.0.discount_percent"),
        optional("contract_prices.0.modifiers", "the list's", (), list=Means("the list's", ())),
        Row("contract_prices.0.modifiers.0.kind"),
        Row("contract_prices.0.modifiers.0.value"),
        Row("contract_prices.0.modifiers.0.factor"),
        optional("contract_prices.0.modifiers.0.from", "since ever"),
        optional("contract_prices.0.modifiers.0.until", "without an end"),
        Row("contract_prices.1.id", zero=TAKEN),
        # Prices are a model's own: they cannot be those of all.
        Row("contract_prices.1.model"),
        Row("contract_prices.1.from"),
        Row("contract_prices.1.tiers"),
        Row("contract_prices.1.tiers.0.input_tokens_min"),
        Row("contract_prices.1.tiers.0.rates"),
        *(Row(f"contract_prices.1.tiers.0.rates.{kind}") for kind in KINDS),
        optional("tax", "none", None),
        Row("tax.name", zero=TAKEN),
        Row("tax.rate"),
    ),
    of_made,
)
PROVISIONING_PREPAID: Final = Form(
    "provision_organization (team)",
    PREPAID,
    make,
    (
        optional("wallet", "nothing in it", 0),
        Row("wallet.balance", zero=Means("nothing in it", 0)),
    ),
    of_made,
)
ADJUSTMENT: Final = Form(
    "adjust_wallet",
    sample("adjust_wallet/promotional_credit"),
    lambda body: parse_adjustment(body, NOW),
    (
        Row("id", zero=TAKEN),
        Row("organization_id"),
        Row("kind"),
        Row("amount"),
        optional("expires_at", "never", None),
        optional("description", "none", None, zero=TAKEN),
        Row("operator", zero=TAKEN),
    ),
)
REFUND: Final = Form(
    "adjust_wallet (refund)",
    sample("adjust_wallet/refund"),
    lambda body: parse_adjustment(body, NOW),
    (
        # The processor knows no payment "0".
        Row("payment_id", zero=TAKEN),
        Row("amount"),
    ),
)
CREDIT: Final = Form(
    "settle_invoice",
    sample("settle_invoice/credit"),
    parse_settlement,
    (
        Row("organization_id", zero=TAKEN),
        Row("invoice_id"),
        Row("action"),
        Row("reference", zero=TAKEN),
        # A document is reversed as a whole where no amount is said. It guards nothing: no credit,
        # and no sum of credits, is more than the invoice came to, and null is no amount. The
        # handler refuses "0".
        Row("amount", absent=Means("all that is not credited yet", None), zero=Means("0", 0)),
        Row("reason", zero=TAKEN),
        Row("operator", zero=TAKEN),
    ),
)
ORGANIZATION: Final = House().organization


def order(name: str, *rows: Row) -> Form:
    return Form(
        f"act_from_console ({name})",
        sample(f"act_from_console/{name}") | {"organization": ORGANIZATION.org_id},
        lambda body: parse_confirmed(read_pressed(body), ORGANIZATION),
        (Row("act"), Row("version", zero=TAKEN), Row("token"), *rows),
    )


FORMS_INVOKED: Final = (
    PROVISIONING,
    PROVISIONING_PREPAID,
    ADJUSTMENT,
    REFUND,
    CREDIT,
    order("pause"),
    order("set_limit", Row("scope"), Row("amount", zero=TAKEN)),
    order("set_tax", Row("tax_name", zero=TAKEN), Row("tax_rate")),
)


@pytest.mark.parametrize(
    ("invoked", "row", "form"),
    [
        pytest.param(invoked, row, form, id=f"{invoked}-{row.member}-{form}")
        for invoked in FORMS_INVOKED
        for row in invoked.rows
        for form in FORMS
    ],
)
def test_each_form_of_each_member_means_what_the_table_says(
    invoked: Form, row: Row, form: str
) -> None:
    body = with_form(deepcopy(invoked.body), row.member, FORMS[form])
    expected: Outcome = getattr(row, form)

    if isinstance(expected, Means):
        read = invoked.read(body)
        if expected.shows is not ANY:
            assert invoked.shown(read, row.member) == expected.shows
        return
    with pytest.raises(InvalidRequest) as refused:
        invoked.read(body)
    assert f"{dotted(refused.value.field)}.".startswith(f"{EITHER.get(row.member, row.member)}.")


def test_every_member_that_is_read_has_its_row() -> None:
    tabled = {
        form.name: {row.member for row in form.rows}
        for form in (PROVISIONING, PROVISIONING_PREPAID, ADJUSTMENT, CREDIT)
    }
    limits = set(organizations._LIMIT_NAMES)
    known = (
        set(organizations._DOCUMENT)
        | set(members_in(DOCUMENT))
        | set(members_in(PREPAID))
        | {f"members.0.{name}" for name in organizations._MEMBER | limits}
        | {f"seat_tiers.standard.{name}" for name in {"allowance", *limits}}
    )

    assert known <= {
        *tabled["provision_organization"],
        *tabled["provision_organization (team)"],
        # The first member and the standard tier stand for all.
        *(each for each in known if each.startswith(("members.1.", "seat_tiers.premium."))),
    }
    assert tabled["adjust_wallet"] | {"payment_id"} == wallets._ADJUSTMENT
    assert tabled["settle_invoice"] == invoices._KNOWN
    for name in ("pause", "set_limit", "set_tax"):
        (form,) = (form for form in FORMS_INVOKED if form.name == f"act_from_console ({name})")
        rows = {row.member for row in form.rows}
        # Whose limit it is only says `user` more about.
        assert set(form.body) - rows <= {"widgetContext", "organization", "user_id"}


def members_in(body: object, path: str = "") -> Iterator[str]:
    """Walk through the members of a body, however deep they are."""
    if isinstance(body, dict):
        for name, inner in body.items():
            yield f"{path}{name}"
            yield from members_in(inner, f"{path}{name}.")
    elif isinstance(body, list):
        for index, inner in enumerate(body):
            yield from members_in(inner, f"{path}{index}.")


def provisioned(app: Application, **changes: Any) -> dict[str, Any]:
    document = sample("provision_organization/organization") | {"id": "new"}
    wanted = {name: value for name, value in {**document, **changes}.items() if value is not ABSENT}
    return app.invoke_provisioning(wanted)


def test_a_new_organization_has_no_cap_until_one_is_set(app: Application) -> None:
    """There is no guard yet that absence could lift, and older documents do not name it."""
    made = provisioned(app, spend_limit=ABSENT)

    organization = find_organization(app.table, made["id"])
    assert organization is not None
    assert organization.cap_nanos is None
    assert provisioned(app, id="said", spend_limit=None)["type"] == "organization"


@pytest.mark.parametrize("owners", [0, 2, 5])
def test_an_organization_has_one_primary_owner(app: Application, owners: int) -> None:
    members = sample("provision_organization/organization")["members"]
    for index, member in enumerate(members):
        member["role"] = "primary_owner" if index < owners else "owner"

    refused = provisioned(app, members=members)

    assert refused["error"]["type"] == "invalid_request_error"
    assert refused["error"]["details"] == {"field": "members"}
    assert f"not {owners}" in refused["error"]["message"]
    assert app.everything() == []


def test_a_document_of_an_older_release_finds_its_organization(app: Application) -> None:
    """It is repeatable by its id, whatever newer organizations have to say of themselves."""
    document = sample("provision_organization/organization")
    # Of one that had no price for a model, what a discount left out was all of them.
    document["contract_prices"] = [{"id": "old", "from": "2026-04-01", "discount_percent": 20}]
    del document["spend_limit"]
    for member in document["members"]:
        member["role"] = "member"
    made = provision(app.table, parse_provisioning(document), NOW)

    again = app.invoke_provisioning(document)

    assert again == {name: made[name] for name in ("type", "id", "members")}
    assert find_organization(app.table, made["id"]) is not None
