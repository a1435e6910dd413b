"""The pages of the operator's widget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from headroom.console.usecases.operations import Inspection, Order
from headroom.console.wire.orders import NO_TAX, SCOPES
from headroom.console.wire.widgets import Html, button, facts, field, select, table, text
from headroom.console.wire.wording import consequence, dollars, outcome, sentence
from headroom.core.domain.instants import from_millis, to_wire
from headroom.organizations.domain.organization import SEAT_TIERS, Organization
from headroom.spending.store.unpriced import COUNTED_MAX

DESCRIPTION: Final = """\
## Headroom: an organization

Finds an organization and shows its limits, holds, wallet, last refusals and last changes. Its
buttons pause or resume extra usage and set spend limits and the tax on invoices, each after saying
what will happen.

Parameter | Description
---|---
**organization** | Optional. An `org_…` id, or the `id` of a provisioning document.

### Example
```yaml
organization: acme-2026
```

Looking needs `lambda:InvokeFunction` on this function; the buttons need it on the function that
acts as well. What is done is audited under the request id of its invocation.
"""


def search_page(endpoint: str, words: str = "", problem: str = "") -> Html:
    """Return the form that finds an organization."""
    told = f"<p><strong>{text(problem)}</strong></p>" if problem else ""
    return (
        field("organization", "Organization", words, hint="org_… or its provisioning id")
        + button("Show", endpoint, {"view": "organization"}, display="widget", primary=True)
        + told
    )


def organization_page(inspection: Inspection, endpoint: str) -> Html:
    """Return everything that the widget shows of an organization, and its buttons."""
    organization = inspection.organization
    return "".join(
        [
            search_page(endpoint, organization.org_id),
            f"<h2>{text(organization.name)}</h2>",
            facts(_state(inspection)),
            "<h3>Act</h3>",
            _acts(inspection, endpoint),
            "<h3>Periods</h3>",
            table(
                ["Period", "State", "Ends", "Next look", "Attempts", "Charged (USD)"],
                [
                    [
                        closing.period,
                        closing.state,
                        to_wire(closing.ends_at),
                        _second(closing.due_at) if closing.due_at else "",
                        closing.attempts,
                        dollars(closing.charged) if closing.state != "open" else "",
                    ]
                    for closing in inspection.closings
                ],
                empty="It has no billing period yet.",
            ),
            "<h3>Open holds</h3>",
            table(
                ["Member", "From", "Amount (USD)", "Model", "Until"],
                _holds(inspection),
                empty="Nobody holds money now.",
            ),
            "<h3>Last refusals</h3>",
            table(
                ["When", "Member", "Reason", "Level"],
                [
                    [
                        _second(note.at),
                        _named(inspection, note.user_id),
                        note.reason,
                        note.scope.get("type", ""),
                    ]
                    for note in inspection.refusals
                ],
                empty="No refusal was noted in the last seven days.",
            ),
            "<p><small>At most one refusal a minute is noted of a member and a reason, and one a "
            "second of an organization.</small></p>",
            "<h3>Last changes</h3>",
            table(
                ["When", "Who", "What", "Of", "Before", "After"],
                [
                    [
                        _second(datetime.fromisoformat(change["at"])),
                        f"{change['actor']['type']} {_named(inspection, change['actor']['id'])}",
                        change["action"],
                        _named(inspection, change["subject"]),
                        _settings(change["before"]),
                        _settings(change["after"]),
                    ]
                    for change in inspection.changes
                ],
                empty="Its settings were never changed.",
            ),
        ]
    )


def preview_page(
    order: Order, inspection: Inspection, present: int | None, act_arn: str, token: str
) -> Html:
    """Return what an order would do, said before it is done, and the button that does it."""
    asked = sentence(order, present)
    params: dict[str, object] = {
        "act": order.act,
        "token": token,
        "organization": order.org_id,
        "version": order.version,
        "period": order.period,
    }
    if order.place is not None:
        scope = order.place.scope_id if order.place.scope_type == "seat_tier" else ""
        params |= {
            "scope": scope or order.place.scope_type,
            "user_id": order.place.scope_id if order.place.scope_type == "user" else "",
            "amount": dollars(order.amount_nanos) or "unlimited",
        }
    if order.act == "set_tax":
        params |= {
            "tax_name": order.tax.name if order.tax else "",
            "tax_rate": order.tax.rate if order.tax else NO_TAX,
        }
    return (
        f"<h3>{text(inspection.organization.name)}</h3><p>{text(asked)}</p>"
        f"<p>{text(consequence(order, inspection))}</p>"
        + button("Do it", act_arn, params, display="popup", confirmation=asked, primary=True)
    )


def done_page(order: Order, organization: Organization) -> Html:
    """Return what was done, and where it is audited."""
    return (
        f"<h3>{text(organization.name)}</h3><p><strong>{text(outcome(order))}</strong> "
        f"It is in force, as version {organization.version} of the settings.</p>"
        "<p>Close this, and refresh the widget to see the organization as it is now.</p>"
    )


def problem_page(problem: str) -> Html:
    """Return why an order was not carried out, or could not be read."""
    return f"<p><strong>Not done.</strong> {text(problem)}</p>"


def _state(inspection: Inspection) -> list[tuple[str, object]]:
    organization, totals = inspection.organization, inspection.totals
    cap = organization.cap_nanos
    state = "on" if organization.enabled else "paused"
    if organization.past_due:
        state += ", a payment is past due"
    shown: list[tuple[str, object]] = [
        ("Id", organization.org_id),
        ("Plan", organization.plan),
        ("Extra usage", state),
        ("Members admitted", organization.admission),
        ("Period", totals.period),
        ("Spend limit (USD)", dollars(cap) or "unlimited"),
        ("Spent (USD)", dollars(totals.spent)),
        ("Held (USD)", dollars(totals.held)),
    ]
    if cap is not None:
        left = max(cap - totals.spent - totals.held, 0)
        shown.append(("Left under the limit (USD)", dollars(left)))
    if inspection.unpriced:
        many = f"{inspection.unpriced} or more" if inspection.unpriced >= COUNTED_MAX else ""
        shown.append(("Usage events without a price", many or inspection.unpriced))
    if organization.plan == "team":
        shown += _wallet(inspection)
    shown += [
        (f"Limit of a {tier} seat, {period} (USD)", dollars(amount) or "unlimited")
        for tier in SEAT_TIERS
        for period, amount in organization.tiers[tier].limits.items()
    ]
    return shown


def _wallet(inspection: Inspection) -> list[tuple[str, object]]:
    shown: list[tuple[str, object]] = [
        ("Wallet, with what is held of it (USD)", dollars(inspection.totals.balance))
    ]
    wallet = inspection.wallet
    if wallet is None:
        return shown
    method = wallet.payment_method
    shown += [
        ("Auto-reload", str(inspection.reload).replace("_", " ")),
        ("Payment method", f"{method.brand} …{method.last4}" if method else "none"),
        ("On its way (USD)", dollars(wallet.pending_total)),
    ]
    if wallet.auto_reload is not None:
        auto = wallet.auto_reload
        shown.append(("Reloads (USD)", f"{dollars(auto.amount)} when at {dollars(auto.threshold)}"))
    return shown


def _acts(inspection: Inspection, endpoint: str) -> Html:
    organization = inspection.organization
    act = "pause" if organization.enabled else "resume"
    shown: dict[str, object] = {"view": "preview", "organization": organization.org_id}
    return (
        "<p>"
        + button(f"{act.title()} extra usage …", endpoint, {**shown, "act": act}, display="popup")
        + "</p><p>"
        + select("scope", "Limit", SCOPES)
        + field("user_id", "Member", hint="user_…, for one member")
        + field("amount", "USD", hint="500.00 or unlimited")
        + button("Set the limit …", endpoint, {**shown, "act": "set_limit"}, display="popup")
        + "</p>"
        + _tax(organization, endpoint, shown)
        + "".join(f"<p>{each}</p>" for each in _retries(inspection, endpoint, shown))
    )


def _tax(organization: Organization, endpoint: str, shown: Mapping[str, object]) -> Html:
    """Only whoever is invoiced can be taxed."""
    if organization.plan == "team":
        return ""
    tax = organization.tax
    return (
        "<p>"
        + field("tax_name", "Tax", tax.name if tax else "", hint="VAT")
        + field("tax_rate", "Rate", tax.rate if tax else NO_TAX, hint="0.20 or none")
        + button("Set the tax …", endpoint, {**shown, "act": "set_tax"}, display="popup")
        + "</p>"
    )


def _retries(inspection: Inspection, endpoint: str, shown: Mapping[str, object]) -> Iterator[Html]:
    """Only what can be tried again has a button."""
    if inspection.wallet is not None and inspection.wallet.auto_reload is not None:
        params = {**shown, "act": "retry_reload"}
        yield button("Retry the reload …", endpoint, params, display="popup")
    for closing in inspection.closings:
        if (closing.attempts or closing.state != "open") and closing.due_at is not None:
            params = {**shown, "act": "rerun_close", "period": closing.period}
            yield button(f"Close {closing.period} now …", endpoint, params, display="popup")


def _holds(inspection: Inspection) -> list[list[object]]:
    return [
        [
            _named(inspection, budget.user_id),
            hold.source,
            dollars(hold.amount_nanos),
            hold.request.model if hold.request else "",
            _second(from_millis(hold.until_millis)),
        ]
        for budget in inspection.holders
        for hold in budget.holds.values()
    ]


def _named(inspection: Inspection, some_id: str) -> str:
    """Name a member, with the id that the buttons and the API take."""
    name = inspection.names.get(some_id)
    return f"{name} ({some_id})" if name else some_id


def _second(moment: datetime) -> str:
    return to_wire(moment.replace(microsecond=0))


def _settings(shown: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in shown.items())
