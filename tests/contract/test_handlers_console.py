"""Operators look and act from the AWS console: by the same use cases, escaped, audited, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.act_from_console import handler as act_from_console
from functions.authorize_spend import handler as authorize_spend
from functions.show_console_widget import handler as show_console_widget
from headroom.console.wire.confirmations import confirmation_token
from headroom.console.wire.orders import parse_confirmed, read_pressed
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.organizations import find_organization
from headroom.spending.store.refusals import last_refusals
from headroom.spending.usecases.refusals import Noticed
from tests.console import ACCOUNT, Action, Context, Reading, pressed
from tests.in_process import Application, Organization, sample

MARKUP = '<img src=x onerror="alert(1)"></table>&amp;'


KEY = b"the deployment's key"


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has organizations of the same ids, and a process remembers whom it noted."""
    monkeypatch.setattr(authorize_spend, "noticed", Noticed())
    for handler in (show_console_widget, act_from_console):
        monkeypatch.setattr(handler, "read_key", lambda: KEY)


def show(event: dict[str, Any]) -> Reading:
    return Reading(show_console_widget.handler(event, Context()))  # type: ignore[arg-type]


def act(event: dict[str, Any], request_id: str = "c0ffee-1") -> Reading:
    context: Any = Context(aws_request_id=request_id)
    return Reading(act_from_console.handler(event, context))


def look(words: str) -> Reading:
    return show({"view": "organization", "organization": words})


def prepare_limit(
    acme: Organization, amount: str, scope: str = "organization", user: str = ""
) -> Reading:
    button = look(acme.id).action("Set the limit")
    return show(pressed(button, scope=scope, user_id=user, amount=amount))


def audit(app: Application, acme: Organization) -> list[dict[str, Any]]:
    return [entry_to_wire(item) for item in list_entries(app.table, acme.id, limit=50).items]


def enabled(app: Application, acme: Organization) -> bool:
    organization = find_organization(app.table, acme.id)
    assert organization is not None
    return organization.enabled


def test_the_console_is_told_how_to_use_the_widget(app: Application) -> None:
    told = show_console_widget.handler(sample("show_console_widget/describe"), Context())  # type: ignore[arg-type]

    assert told.startswith("## Headroom")
    assert "**organization**" in told


def test_the_widget_begins_with_a_search_that_calls_it_again(app: Application) -> None:
    page = show(sample("show_console_widget/search"))

    action = page.action("Show")
    assert action.attributes["endpoint"] == Context().invoked_function_arn
    assert ("organization", "") in [
        (attributes["name"], attributes["value"])
        for tag, attributes in page.elements
        if tag == "input"
    ]


@pytest.mark.parametrize("words", ["org_unknown", "nobody", "<b>", "é" * 300])
def test_what_is_not_found_is_said_on_the_search_page(app: Application, words: str) -> None:
    page = look(words)

    assert "there is none with this id" in page.text
    assert [tag for tag, _ in page.elements if tag == "b"] == []


def test_an_organization_is_found_by_either_of_its_ids(
    app: Application, acme: Organization
) -> None:
    by_id = look(acme.id)
    by_provisioning = look(f"acme-{app.organizations}")

    assert acme.id in by_id.text
    assert by_provisioning.text == by_id.text


def test_holds_refusals_and_figures_are_shown_as_they_stand(
    app: Application, acme: Organization
) -> None:
    held = app.authorize(acme)
    refused = app.authorize(acme, user_id="user_dora", max_tokens=20_000_000)
    assert (held.status, refused.status) == (200, 429)

    page = look(acme.id)

    assert "Held (USD) 0.21488" in page.text
    assert "Ada Flores (user_ada) extra_usage 0.21488 claude-sonnet-4-6" in page.text
    assert "Dora Lind (user_dora) user_limit_reached user" in page.text


def test_a_teams_wallet_and_the_periods_are_shown(app: Application, acme: Organization) -> None:
    page = look(acme.id)

    assert "Wallet, with what is held of it (USD) 100.00" in page.text
    assert "Auto-reload off Payment method none" in page.text
    assert f"{datetime.now(UTC):%Y-%m} open" in page.text
    # There is nothing to try again.
    assert not [each for each in page.actions if each.label.startswith(("Retry", "Close"))]


def test_a_close_is_prepared_and_ordered_like_any_act(app: Application, acme: Organization) -> None:
    event = sample("act_from_console/pause") | {"organization": acme.id, "act": "rerun_close"}
    month = f"{datetime.now(UTC):%Y-%m}"

    preview = show({**event, "view": "preview", "period": month})
    done = act(pressed(preview.action("Do it")))

    assert "there is one invoice" in preview.text
    assert "Not done. period: is not over" in done.text
    assert "Not done. period: must be a month" in act(event | {"period": "november"}).text


def test_a_flood_of_refusals_is_noted_once(app: Application, acme: Organization) -> None:
    for _ in range(5):
        app.authorize(acme, user_id="user_dora", max_tokens=20_000_000)

    (note,) = last_refusals(app.table, acme.id, limit=10)
    assert (note.user_id, note.reason) == ("user_dora", "user_limit_reached")


def test_pausing_says_what_it_does_and_asks_before_it_does_it(
    app: Application, acme: Organization
) -> None:
    page = show(pressed(look(acme.id).action("Pause")))

    assert "Nothing new starts" in page.text
    button = page.action("Do it")
    assert button.attributes["confirmation"] == f"Pause extra usage of {acme.id}."
    assert button.attributes["endpoint"].endswith(":act")
    assert enabled(app, acme)


def test_a_pause_holds_at_once_and_is_audited_under_its_invocation(
    app: Application, acme: Organization
) -> None:
    button = show(pressed(look(acme.id).action("Pause"))).action("Do it")

    page = act(pressed(button), request_id="4711")

    assert "Extra usage is paused." in page.text
    assert app.authorize(acme).error["details"]["reason"] == "extra_usage_disabled"
    (entry,) = audit(app, acme)
    assert entry["actor"] == {"type": "operator", "id": f"aws:{ACCOUNT}:4711"}
    assert entry["action"] == "extra_usage.disabled"
    resumed = act(pressed(show(pressed(look(acme.id).action("Resume"))).action("Do it")))
    assert "Extra usage is on." in resumed.text
    assert app.authorize(acme).status == 200


def test_ordering_twice_does_it_once(app: Application, acme: Organization) -> None:
    event = pressed(prepare_limit(acme, "250.00").action("Do it"))

    first, second = act(event), act(event)

    assert first.text == second.text
    assert len(audit(app, acme)) == 1


@pytest.mark.parametrize(
    ("scope", "user", "shown"),
    [
        ("organization", "", "spend_limit"),
        ("standard", "", "seat_tiers.standard.monthly"),
        ("user", "user_ada", "spend_limit.monthly"),
    ],
)
def test_a_limit_of_each_scope_is_set_as_the_api_would_set_it(
    app: Application, scope: str, user: str, shown: str
) -> None:
    acme = app.provision(plan="enterprise", wallet=None)
    prepared = prepare_limit(acme, "12.5", scope, user)

    page = act(pressed(prepared.action("Do it")))

    assert "12.50" in prepared.text
    assert "The limit is 12.50 USD." in page.text
    (entry,) = audit(app, acme)
    assert entry["action"] == "spend_limit.changed"
    assert entry["after"][shown] == "1250"


def test_the_tax_is_set_and_lifted_by_the_widget(app: Application) -> None:
    acme = app.provision(plan="enterprise", wallet=None)
    for name, rate, told in (
        ("VAT", "0.20", "VAT at a rate of 0.20"),
        ("", "none", "no tax"),
    ):
        button = look(acme.id).action("Set the tax")
        preview = show(pressed(button, tax_name=name, tax_rate=rate))
        assert f"levy {told} on its invoices" in preview.text
        assert f"Its invoices have {told}." in act(pressed(preview.action("Do it"))).text
    assert [entry["action"] for entry in audit(app, acme)] == ["tax.changed"] * 2
    for name, rate, named in (("VAT", "none", "tax_rate"), ("", "0.2", "tax_name")):
        page = show(pressed(look(acme.id).action("Set the tax"), tax_name=name, tax_rate=rate))
        assert f"Not done. {named}:" in page.text


def test_a_limit_can_be_lifted(app: Application, acme: Organization) -> None:
    act(pressed(prepare_limit(acme, "12.50").action("Do it")))

    page = act(pressed(prepare_limit(acme, "unlimited").action("Do it")))

    assert "The limit is unlimited." in page.text
    organization = find_organization(app.table, acme.id)
    assert organization is not None
    assert organization.cap_nanos is None


def test_a_limit_below_what_is_spent_says_that_nothing_new_starts(
    app: Application, acme: Organization
) -> None:
    app.authorize(acme)

    assert "nothing new starts this month" in prepare_limit(acme, "0.21").text
    assert "nothing new starts this month" not in prepare_limit(acme, "0.22").text


def test_what_changed_since_the_operator_looked_is_not_overwritten(
    app: Application, acme: Organization
) -> None:
    old = pressed(prepare_limit(acme, "250.00").action("Do it"))
    act(pressed(prepare_limit(acme, "300.00").action("Do it")))

    page = act(old)

    assert "Not done." in page.text
    assert "changed since you looked" in page.text
    organization = find_organization(app.table, acme.id)
    assert organization is not None
    assert organization.cap_nanos == 300 * 10**9


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("act", "destroy", "act"),
        ("scope", "everybody", "scope"),
        ("scope", "user", "user_id"),
        ("amount", "12.345", "amount"),
        ("amount", "-1", "amount"),
        ("amount", "\uff11\uff12", "amount"),
        ("amount", "", "amount"),
        ("version", "x", "version"),
        ("amount", {"a": 1}, "amount"),
        ("organization", "org_other", "organization"),
    ],
)
def test_an_order_that_cannot_be_read_names_the_field_and_changes_nothing(
    app: Application, acme: Organization, field: str, value: object, named: str
) -> None:
    event = sample("act_from_console/set_limit") | {"organization": acme.id, field: value}

    page = act(event)

    assert f"Not done. {named}:" in page.text
    assert audit(app, acme) == []


def test_the_sample_orders_are_carried_out(app: Application, acme: Organization) -> None:
    for name in ("set_limit", "pause"):
        organization = find_organization(app.table, acme.id)
        assert organization is not None
        event = sample(f"act_from_console/{name}")
        event |= {"organization": acme.id, "version": organization.version}
        order = parse_confirmed(read_pressed(event), organization)
        page = act(event | {"token": confirmation_token(KEY, order, datetime.now(UTC))})
        assert "Not done" not in page.text

    assert not enabled(app, acme)
    preview = show(sample("show_console_widget/preview_limit") | {"organization": acme.id})
    assert "from 250.00 to 250.00" in preview.text


def cap(app: Application, acme: Organization) -> int | None:
    organization = find_organization(app.table, acme.id)
    assert organization is not None
    return organization.cap_nanos


@pytest.mark.parametrize("missing", ["version", "token"])
def test_an_act_without_what_its_preview_gave_is_none(
    app: Application, acme: Organization, missing: str
) -> None:
    event = pressed(prepare_limit(acme, "unlimited").action("Do it"))
    del event[missing]
    before = cap(app, acme)

    page = act(event)

    assert f"Not done. {missing}: must be" in page.text
    assert (cap(app, acme), audit(app, acme)) == (before, [])


def test_what_is_typed_into_forms_never_acts(app: Application, acme: Organization) -> None:
    """Whatever else a widget shows, what is typed there is not what its button was pressed for."""
    event = pressed(prepare_limit(acme, "unlimited").action("Do it"))
    typed = {name: value for name, value in event.items() if name != "widgetContext"}

    for given in ({}, {"act": "set_limit"}, {"act": "set_limit", "organization": acme.id}):
        page = act({**given, "widgetContext": {"forms": {"all": typed}}})
        assert "Not done." in page.text

    # Nor does it change what the button was pressed for.
    assert (
        "The limit is unlimited." in act(pressed(prepared(event), amount="5.00", act="pause")).text
    )
    assert (cap(app, acme), enabled(app, acme)) == (None, True)


def prepared(event: dict[str, Any]) -> Action:
    return Action("Do it", {}, {name: event[name] for name in event if name != "widgetContext"})


@pytest.mark.parametrize("minutes", [0, 60])
def test_a_dashboard_that_calls_what_acts_does_not_act_by_being_opened(
    app: Application, acme: Organization, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its widget keeps the parameters of a button that somebody might have pressed."""
    event = pressed(prepare_limit(acme, "unlimited").action("Do it"))
    kept = prepared(event).params
    before = cap(app, acme)
    monkeypatch.setattr(
        act_from_console, "clock", At(datetime.now(UTC) + timedelta(minutes=minutes))
    )

    for context in ({"params": kept}, {"params": kept, "forms": {"all": kept}}):
        page = act({**kept, "widgetContext": context})
        assert "Not done. token: is kept by the dashboard" in page.text
    assert "Not done." in act({"widgetContext": {"params": {}}}).text

    assert (cap(app, acme), audit(app, acme)) == (before, [])


class At:
    """A clock that stands."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def test_a_token_is_of_one_order_and_of_a_while(
    app: Application, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = pressed(prepare_limit(acme, "250.00").action("Do it"))
    other = app.provision()

    for changed in (
        {"amount": "250.01"},
        {"amount": "unlimited"},
        {"scope": "user", "user_id": "user_ada"},
        {"act": "pause"},
        {"version": 2},
        {"organization": other.id},
        {"token": event["token"][:-1] + ("0" if event["token"][-1] != "0" else "1")},
        {"token": f"9{event['token'][1:]}"},
    ):
        assert "Not done. token: is of another order" in act({**event, **changed}).text, changed
    now = datetime.now(UTC)
    monkeypatch.setattr(act_from_console, "clock", At(now + timedelta(minutes=16)))
    assert "Not done. token: is too old" in act(event).text
    assert audit(app, acme) == audit(app, other) == []
    monkeypatch.setattr(act_from_console, "clock", At(now + timedelta(minutes=14)))
    assert "The limit is 250.00 USD." in act(event).text


def test_a_preview_is_of_the_settings_as_they_are_and_of_no_version_that_is_asked_for(
    app: Application, acme: Organization
) -> None:
    event = {"view": "preview", "act": "pause", "organization": acme.id, "version": 7}

    button = show({**event, "widgetContext": {"forms": {"all": {"version": "8"}}}}).action("Do it")

    assert button.params["version"] == 1


@pytest.mark.parametrize("hostile", ["\ud800", "a\udfffb", "x" * 5000, "a\x00", "1\n2"], ids=ascii)
@pytest.mark.parametrize(
    "name", ["organization", "act", "scope", "user_id", "amount", "version", "token", "period"]
)
def test_hostile_text_is_a_clear_error_and_does_nothing(
    app: Application, acme: Organization, name: str, hostile: str
) -> None:
    event = pressed(prepare_limit(acme, "250.00").action("Do it"))

    done = act({**event, name: hostile})
    shown = show({**event, "view": "preview", name: hostile})

    for page in (done, shown):
        assert f"{name}: must" in page.text
        page.html.encode()
    assert audit(app, acme) == []


@pytest.mark.parametrize(
    "given",
    [{"\ud800": 1.5}, {"x" * 5000: None}, {"version": 10**5000}, {"act": True}, {"act": ["pause"]}],
    ids=["surrogate", "long", "large", "truth", "list"],
)
def test_nothing_but_text_and_numbers_is_taken(
    app: Application, acme: Organization, given: dict[str, Any]
) -> None:
    event = {"act": "pause", "organization": acme.id, **given}

    done, shown = act(event), show({**event, "view": "preview"})

    for page in (done, shown):
        assert "must be" in page.text
        assert len(page.html.encode()) < 1000
    assert audit(app, acme) == []


def test_names_are_text_wherever_they_are_shown(app: Application) -> None:
    acme = app.provision(name=MARKUP)
    preview = show(pressed(look(acme.id).action("Pause")))
    done = act(pressed(preview.action("Do it")))

    for page in (look(acme.id), preview, done):
        assert MARKUP in page.text
        assert [tag for tag, _ in page.elements if tag == "img"] == []


def test_what_is_typed_cannot_leave_its_attribute_or_its_json(app: Application) -> None:
    page = look('"><script>alert(1)</script>')
    assert [tag for tag, _ in page.elements if tag == "script"] == []

    from headroom.console.wire.widgets import button

    html = button("Go", "arn", {"a": "</cwdb-action><script>&quot;'"}, display="popup")
    assert [tag for tag, _ in Reading(html).elements] == ["a", "cwdb-action"]
    (action,) = Reading(html).actions
    assert json.loads(json.dumps(action.params)) == {"a": "</cwdb-action><script>&quot;'"}
