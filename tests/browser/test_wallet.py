"""A Team's owners buy in advance, let the wallet reload itself, and see every movement."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.houses import refusal, settings
from tests.browser.test_enabling import due, enable
from tests.browser.visitors import PHONE, Visitor
from tests.e2e.governed import House

OFF = {"enabled": False, "members": "everyone"}
PAYS = "pm_card_visa"
DECLINES = "pm_card_chargeCustomerFail"
ASKS = "pm_card_authenticationRequired"
CONFIRM = "Confirm with your bank"


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "team")


def balance(house: House) -> str:
    return str(settings(house)["wallet"]["balance"])


def buy(visitor: Visitor, amount: str, card: str) -> None:
    visitor.page.locator("#top-up").click()
    visitor.dialog.get_by_label("Amount to buy").fill(amount)
    visitor.dialog.get_by_label("Card").select_option(card)


def test_a_team_owner_is_led_from_paying_to_who_may_use_it(
    stack: dict[str, Any], visit: Visit
) -> None:
    house = provision(stack, "team", extra_usage=OFF, spend_limit=None, wallet={"balance": "0"})
    owner = visit(house, "owner")
    enable(owner, "team")
    due(owner, "Pay for extra usage")
    owner.picture("team-steps")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Amount to buy").fill("50")
    owner.dialog.get_by_label("Card").select_option(PAYS)
    expect(owner.dialog).to_contain_text("The card is charged $50.00 now")
    owner.picture("top-up-dialog")
    owner.confirm("Buy")
    assert balance(house) == "5000"

    due(owner, "Reload when balance reaches")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Reload when balance reaches").fill("10")
    owner.dialog.get_by_label("Amount to reload").fill("20")
    owner.dialog.get_by_label("At most in a month").fill("100")
    expect(owner.dialog).to_contain_text("at most 5 times and $100.00 a month")
    owner.picture("auto-reload-dialog")
    owner.confirm("Turn on")
    due(owner, "Set a monthly cap")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Monthly cap").fill("200")
    owner.confirm("Set cap")
    due(owner, "Choose who may use it")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Everyone").check()
    owner.confirm("Save")

    expect(owner.page.locator(".setup")).to_have_count(0)
    found = settings(house)
    assert (found["enabled"], found["next_step"]) == (True, None)
    assert found["wallet"]["auto_reload"]["threshold"] == "1000"
    assert refusal(house) is None


def test_the_wallet_shows_what_is_there_and_every_movement(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("wallet")
    expect(owner.page.locator("#balance")).to_have_text("$250.00")
    buy(owner, "12.34", PAYS)
    owner.confirm("Buy")
    owner.hears("$12.34 was added to the wallet.")
    expect(owner.page.locator("#balance")).to_have_text("$262.34")
    expect(owner.page.locator(".entry").first).to_contain_text("+$12.34")
    expect(owner.page.locator(".entry").first).to_contain_text("$262.34 after it")
    owner.picture("wallet")
    assert balance(house) == "26234"


def test_an_admin_buys_and_does_not_set(house: House, visit: Visit) -> None:
    admin = visit(house, "admin")
    admin.go("wallet")
    expect(admin.page.locator("#edit-reload")).to_have_count(0)
    buy(admin, "5", PAYS)
    admin.confirm("Buy")
    assert balance(house) == "25500"


def test_a_declined_card_charges_nothing_and_says_what_to_do(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("wallet")
    buy(owner, "30", DECLINES)
    owner.dialog.get_by_role("button", name="Buy", exact=True).click()
    expect(owner.dialog.get_by_role("alert")).to_contain_text("The payment was declined.")
    expect(owner.dialog.get_by_role("alert")).to_contain_text("Update the card or choose another")
    owner.picture("top-up-declined")
    assert balance(house) == "25000"
    owner.dialog.get_by_label("Card").select_option(PAYS)
    owner.confirm("Buy")
    assert balance(house) == "28000"


def test_a_card_that_asks_its_holder_is_a_state_of_its_own(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("wallet")
    buy(owner, "30", ASKS)
    owner.dialog.get_by_role("button", name="Buy", exact=True).click()
    expect(owner.dialog).to_contain_text("The bank asks the card’s holder")
    expect(owner.dialog.get_by_role("button", name=CONFIRM)).to_be_visible()
    owner.picture("top-up-asks")
    owner.confirm("OK")
    expect(owner.page.get_by_text("A payment of $30.00 is on its way.")).to_be_visible()
    owner.picture("wallet-pending")
    assert balance(house) == "25000"


@pytest.mark.parametrize(
    ("answer", "told", "cents"),
    [
        ("Confirm", "The payment of $30.00 is confirmed.", "28000"),
        ("Refuse", "The payment of $30.00 was declined.", "25000"),
        ("Decide later", "The payment of $30.00 still waits for its confirmation.", "25000"),
    ],
)
def test_the_holder_confirms_at_their_bank_and_comes_back(
    house: House, visit: Visit, answer: str, told: str, cents: str
) -> None:
    admin = visit(house, "admin")
    admin.go("wallet")
    buy(admin, "30", ASKS)
    admin.dialog.get_by_role("button", name="Buy", exact=True).click()
    admin.dialog.get_by_role("button", name=CONFIRM).click()
    admin.button(answer).click()

    expect(admin.page.locator("#came-back")).to_contain_text(told)
    admin.settle()
    admin.picture(f"came-back-{answer.split()[-1].lower()}")
    assert admin.page.url == f"{admin.page_url}#wallet"
    assert balance(house) == cents
    if answer == "Decide later":
        admin.button(CONFIRM).click()
        admin.button("Confirm").click()
        expect(admin.page.locator("#came-back")).to_contain_text("is confirmed.")
        assert balance(house) == "28000"
    admin.page.reload()
    admin.settle()
    expect(admin.page.locator("#came-back")).to_be_empty()


def test_who_has_to_sign_in_on_the_way_back_still_sees_what_became_of_it(
    house: House, visit: Visit
) -> None:
    owner = visit(house, "owner", locale="fr-FR")
    owner.go("wallet")
    owner.page.locator("#top-up").click()
    owner.dialog.get_by_role("textbox").fill("30")
    owner.dialog.get_by_role("combobox").select_option(ASKS)
    owner.dialog.get_by_role("button", name="Acheter", exact=True).click()
    owner.dialog.get_by_role("button", name="Confirmer auprès de votre banque").click()
    confirm = owner.button("Confirm")
    expect(confirm).to_be_visible()
    owner.page.route("**/v1/me/extra_usage", unauthenticated)
    confirm.click()
    owner.page.locator("#sign-in").click()
    owner.page.unroute("**/v1/me/extra_usage")
    owner.page.locator(f'button[value="{house.people["owner"]}"]').click()
    expect(owner.page.locator("#came-back")).to_contain_text("est confirmé")
    owner.settle()
    owner.picture("came-back-french")
    assert balance(house) == "28000"


def unauthenticated(route: Any) -> None:
    """As if the token had expired while its bearer was at their bank."""
    error = {"type": "error", "error": {"type": "authentication_error", "message": "expired"}}
    route.fulfill(status=401, json=error)


def test_a_lost_answer_charges_once_when_it_is_sent_again(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("wallet")
    keys: list[str | None] = []

    def lose(route: Any) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()  # It arrives and is done; the answer does not come back.
            route.abort()
        else:
            route.continue_()

    owner.page.route("**/wallet/top_ups", lose)
    buy(owner, "40", PAYS)
    owner.dialog.get_by_role("button", name="Buy", exact=True).click()
    expect(owner.dialog.get_by_role("alert")).to_contain_text("look first whether it was done")
    owner.confirm("Buy")
    assert keys[0] == keys[1] is not None
    assert balance(house) == "29000"


def test_auto_reload_is_set_and_turned_off(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("wallet")
    buy(owner, "5", PAYS)
    owner.confirm("Buy")
    owner.page.locator("#edit-reload").click()
    owner.dialog.get_by_label("Reload when balance reaches").fill("20")
    owner.dialog.get_by_label("Amount to reload").fill("50")
    owner.dialog.get_by_label("At most in a month").fill("40")
    owner.dialog.get_by_role("button", name="Turn on", exact=True).click()
    expect(owner.dialog.locator(".field-error").last).to_contain_text("at least one reload")
    owner.dialog.get_by_label("At most in a month").fill("")
    expect(owner.dialog).to_contain_text("A monthly ceiling protects the card.")
    owner.confirm("Turn on")
    expect(owner.page.get_by_text("$50.00 when the balance reaches $20.00")).to_be_visible()
    owner.picture("wallet-reloads")
    owner.page.locator("#edit-reload").click()
    owner.confirm("Turn off")
    expect(owner.page.get_by_text("extra usage stops until somebody buys more")).to_be_visible()
    assert settings(house)["wallet"]["auto_reload"]["enabled"] is False


@pytest.mark.parametrize(
    ("name", "how"),
    [("phone", {"viewport": PHONE}), ("dark", {"scheme": "dark"}), ("french", {"locale": "fr-FR"})],
)
def test_the_wallet_reads_well(house: House, visit: Visit, name: str, how: dict[str, Any]) -> None:
    visitor = visit(house, "owner", **how)
    visitor.go("wallet")
    visitor.picture(f"{name}-wallet")
