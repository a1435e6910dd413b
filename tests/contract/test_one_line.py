"""Names and addresses reach the heads of mails: none of them may have a line break in it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import pytest

from headroom.billing.wire.invoices import parse_settlement
from headroom.console.wire.orders import parse_confirmed, read_pressed
from headroom.core.errors import InvalidRequest
from headroom.payments.wire.wallets import parse_adjustment
from headroom.provisioning.wire.provisioning import parse_provisioning
from tests.contract.test_absent_members import with_form
from tests.contract.test_absent_members_invoked import DOCUMENT, NOW, ORGANIZATION
from tests.every_route import Site
from tests.in_process import sample

HOSTILE: Final = ["\r\nBcc: x@y.example", "\n", "\r", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2028"]
API: Final = "/v1/organizations"
BODIES: Final[list[tuple[str, str, dict[str, Any], tuple[str, ...]]]] = [
    (
        "POST",
        f"{API}/members",
        {"name": "New", "email": "new@site.example"},
        ("name", "email"),
    ),
    ("POST", f"{API}/api_keys", {"name": "Books", "scopes": ["read:billing"]}, ("name",)),
    (
        "POST",
        f"{API}/webhook_endpoints",
        {"url": "https://hooks.example/", "description": "Books"},
        ("url", "description"),
    ),
]
INVOKED: Final[list[tuple[Any, dict[str, Any], tuple[str, ...]]]] = [
    (
        parse_provisioning,
        DOCUMENT,
        ("id", "name", "members.0.name", "members.0.email", "members.0.user_id", "tax.name"),
    ),
    (
        lambda body: parse_adjustment(body, NOW),
        sample("adjust_wallet/promotional_credit"),
        ("id", "operator"),
    ),
    (parse_settlement, sample("settle_invoice/credit"), ("reference", "operator")),
    (
        lambda body: parse_confirmed(read_pressed(body), ORGANIZATION),
        sample("act_from_console/set_tax") | {"organization": ORGANIZATION.org_id},
        ("tax_name",),
    ),
]


def spoilt(body: dict[str, Any], member: str, hostile: str) -> dict[str, Any]:
    """Put it into the middle: what is around a text may be stripped."""
    place: Any = body
    for name in member.split("."):
        place = place[int(name) if name.isdigit() else name]
    return with_form(body, member, f"{place[:2]}{hostile}{place[2:]}")


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_the_api_takes_none(monkeypatch: pytest.MonkeyPatch, hostile: str) -> None:
    site = Site(monkeypatch)
    for method, rule, body, members in BODIES:
        for member in members:
            before = deepcopy(site.state())
            answer = site.call(method, rule, spoilt(body, member, hostile))
            assert answer.refusal == (400, "invalid_request_error"), (rule, member)
            assert answer.error["details"] == {"field": member}
            assert site.state() == before
        assert site.call(method, rule, body).status == 200


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_neither_does_what_is_invoked(hostile: str) -> None:
    for parse, body, members in INVOKED:
        for member in members:
            with pytest.raises(InvalidRequest) as refused:
                parse(spoilt(body, member, hostile))
            assert refused.value.field == member
        parse(deepcopy(body))


@pytest.mark.parametrize("name", ["Zoë Ünal", "O'Neil & Sons", "山田 太郎", "👩‍💻 Team", "A  B"])
def test_names_are_otherwise_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    site = Site(monkeypatch)
    body = {"name": name, "email": "new@site.example"}

    assert site.call("POST", f"{API}/members", body).body["name"] == name
