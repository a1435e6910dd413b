"""A Team organization's wallet, for its owners and admins: /v1/organizations/wallet."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import NotFound
from headroom.core.settings import AddressSettings, IdentitySettings, PaymentSettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.pages import list_answer, parse_page
from headroom.organizations.domain.organization import Organization
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.store.organizations import find_organization
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api
from headroom.payments.gateways.stripe import connect_payments
from headroom.payments.usecases.auto_reload import set_auto_reload
from headroom.payments.usecases.confirmation import confirm_payment
from headroom.payments.usecases.top_ups import top_up
from headroom.payments.usecases.wallet_view import auto_reload_to_wire, show_wallet
from headroom.payments.usecases.wallets import require_team
from headroom.payments.wire.wallets import known_payment_id, parse_auto_reload, parse_top_up
from headroom.wallets.settings import WalletSettings
from headroom.wallets.store.wallets import entries_of, entries_page, entry_to_wire

TOP_UPS = "/v1/organizations/wallet/top_ups"
PAGING = frozenset({"limit", "page"})

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
terms = WalletSettings.from_env(os.environ).terms
page_url = AddressSettings.from_env(os.environ).settings_url
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)


@api.route("GET", "/v1/organizations/wallet")
def get_wallet(caller: Caller, now: datetime) -> dict[str, Any]:
    return show_wallet(table, _team(caller), now)


@api.route("GET", "/v1/organizations/wallet/entries")
def get_wallet_entries(caller: Caller, now: datetime) -> dict[str, Any]:
    _team(caller)
    query = api.request.query(PAGING)
    page = parse_page(
        query,
        org_id=caller.org_id,
        route="wallet_entries",
        filters=None,
        fits=entries_of(caller.org_id).goes_on_behind,
    )
    found = entries_page(table, caller.org_id, limit=page.limit, start=page.start)
    rows = [entry_to_wire(item) for item in found.items]
    return list_answer(rows, page.cursor(found.next_key))


@api.route("POST", TOP_UPS)
def post_top_up(caller: Caller, now: datetime) -> dict[str, Any]:
    key = api.request.idempotency_key()
    asked = parse_top_up(api.request.json(), None if key is None else caller.place_of(key))
    return top_up(table, payments, _team(caller), asked, terms, caller.actor, now)


@api.route("POST", "/v1/organizations/wallet/payments/<payment_id>/confirm")
def post_confirm(caller: Caller, now: datetime, payment_id: str) -> dict[str, Any]:
    # A key changes nothing: how the payment stands now is what is asked, however often.
    known = known_payment_id(payment_id)
    return confirm_payment(table, payments, _team(caller), known, page_url, now)


@api.route("PUT", "/v1/organizations/wallet/auto_reload")
def put_auto_reload(caller: Caller, now: datetime) -> dict[str, Any]:
    setting = parse_auto_reload(api.request.json())
    organization = _team(caller)
    wallet = set_auto_reload(
        table,
        organization,
        setting.wanted,
        terms,
        caller.actor,
        now,
        keeps_limit=setting.keeps_limit,
        said=setting.said,
    )
    return {"type": "auto_reload", **auto_reload_to_wire(organization, wallet, now)}


def _team(caller: Caller) -> Organization:
    """The settings as they are now, of an organization that has a wallet."""
    organization = find_organization(table, caller.org_id)
    if organization is None:
        raise NotFound("organization: there is none with this id")
    require_team(organization)
    return organization
