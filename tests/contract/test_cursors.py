"""Whatever is sent as `page` to a list: a page of that list, or a 400 that names `page`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.billing.domain.invoice import Invoice, invoice_id
from headroom.billing.store.invoices import issue
from headroom.core.wire import pages
from tests.every_route import MEMBER, OWNER, ROUTES, Site
from tests.fake_payments import GOOD_CARD
from tests.in_process import Answer
from tools.openapi.endpoints import ENDPOINTS

ORGANIZATION: Final = "/v1/organizations"
PAGED: Final = sorted(
    rule
    for (method, rule), endpoint in ENDPOINTS.items()
    if method == "GET" and "page" in endpoint.parameters
)
# Filters under which a list shows what it shows without them, and under which a cursor is another.
FILTERS: Final = {
    f"{ORGANIZATION}/members": {"user_ids[]": [OWNER, MEMBER]},
    f"{ORGANIZATION}/spend_limits": {"scope_type[]": ["organization", "user"]},
    f"{ORGANIZATION}/spend_limits/effective": {"period[]": "monthly"},
    f"{ORGANIZATION}/spend_limit_increase_requests": {"status[]": "pending"},
    f"{ORGANIZATION}/usage_report": {"group_by[]": ["user", "model"]},
    f"{ORGANIZATION}/webhook_deliveries": {"status[]": "pending"},
}
# Without this there would be one row.
NEEDED: Final = {f"{ORGANIZATION}/usage_report": {"group_by[]": "user"}}
PLANS: Final = {f"{ORGANIZATION}/wallet/entries": "team"}


def fill(site: Site, plan: str, org_id: str) -> None:
    """Let every list of an organization have two rows at least."""

    def call(method: str, rule: str, body: Any = None, **others: Any) -> dict[str, Any]:
        answer = site.call(method, rule, body, org_id=org_id, **others)
        assert answer.status == 200, (rule, answer.body)
        return dict(answer.body)

    for user_id in (OWNER, MEMBER):
        scope = {"type": "user", "user_id": user_id}
        call("POST", f"{ORGANIZATION}/spend_limits", {"scope": scope, "amount": "900"})
        call("POST", f"{ORGANIZATION}/api_keys", {"name": user_id, "scopes": ["read:billing"]})
    hook = {"url": "https://hooks.example/"}
    endpoint = call("POST", f"{ORGANIZATION}/webhook_endpoints", hook)["id"]
    for _ in range(2):
        rule = f"{ORGANIZATION}/webhook_endpoints/<endpoint_id>/test"
        call("POST", rule, endpoint_id=endpoint)
    if plan == "team":
        for key in ("one", "two"):
            asked = {"amount": "1000", "payment_method": GOOD_CARD}
            rule = f"{ORGANIZATION}/wallet/top_ups"
            call("POST", rule, asked, headers={"idempotency-key": key})
        return
    for user_id in (OWNER, MEMBER):
        call("POST", "/v1/me/spend_limit_increase_requests", {}, person=user_id)
    for month in (9, 10):
        starts_at = datetime(2026, month, 1, tzinfo=UTC)
        draft = Invoice(
            org_id=org_id,
            invoice_id=invoice_id(org_id, "invoice", f"2026-{month:02d}"),
            number="",
            kind="invoice",
            period=f"2026-{month:02d}",
            starts_at=starts_at,
            ends_at=starts_at.replace(month=month + 1),
            currency="USD",
            subtotal=0,
            rounding=0,
            taxes=(),
            issued_at=site.now,
            due_at=site.now,
        )
        issue(site.table, draft, None)


def use(site: Site) -> None:
    """Record two uses of each of two members, with and without a price, by the site's own key."""
    events = [
        {
            "id": f"msg_{user_id}_{number}_{model}",
            "user_id": user_id,
            "model": model,
            "occurred_at": site.now.isoformat(),
            "usage": {"input_tokens": 10, "output_tokens": 10},
        }
        for user_id in (OWNER, MEMBER)
        for number in range(2)
        for model in ("claude-sonnet-4-5", "claude-oracle-1")
    ]
    answer = site.call("POST", "/v1/usage/events", {"events": events})
    assert {result["status"] for result in answer.body["results"]} == {"recorded"}


class Lists:
    """Two organizations of each plan, whose lists are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sites: dict[str, Site] = {}
        self.others: dict[str, str] = {}
        self._monkeypatch = monkeypatch

    def site(self, rule: str) -> Site:
        plan = PLANS.get(rule, "enterprise")
        if plan not in self.sites:
            # All functions are at one table: only one plan's site is connected in a test.
            assert not self.sites
            site = self.sites[plan] = Site(self._monkeypatch, plan)
            self.others[plan] = site.provision(plan, "other")
            for org_id in (site.org_id, self.others[plan]):
                fill(site, plan, org_id)
            use(site)
        return self.sites[plan]

    def other(self, rule: str) -> str:
        self.site(rule)
        return self.others[PLANS.get(rule, "enterprise")]

    def get(
        self, rule: str, page: str | None = None, *, filtered: bool = False, **others: Any
    ) -> Answer:
        filters: Any = FILTERS[rule] if filtered else NEEDED.get(rule, {})
        asked: dict[str, Any] = {"limit": "1", **filters}
        if page is not None:
            asked["page"] = page
        return self.site(rule).call("GET", rule, query=urlencode(asked, doseq=True), **others)

    def cursor(self, rule: str, **others: Any) -> str:
        answer = self.get(rule, **others)
        assert answer.status == 200, answer.body
        assert answer.body["next_page"] is not None, rule
        return str(answer.body["next_page"])


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    return Lists(monkeypatch)


def forged(item: Any) -> str:
    """Return a cursor as anybody can compute it who knows how its tag is made."""
    raw = item if isinstance(item, bytes) else json.dumps(item).encode()
    return base64.urlsafe_b64encode(bytes(pages._TAG_LENGTH) + raw).decode().rstrip("=")


def is_refused(answer: Answer) -> bool:
    if answer.status == 200:
        return False
    assert answer.refusal == (400, "invalid_request_error"), answer.body
    assert answer.error["details"] == {"field": "page"}
    return True


def opened(cursor: str) -> Any:
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return json.loads(raw[pages._TAG_LENGTH :])


def test_the_lists_are_those_of_the_handlers() -> None:
    assert len(PAGED) == 12
    assert {("GET", rule) for rule in PAGED} <= set(ROUTES)
    assert set(FILTERS) <= set(PAGED)


@pytest.mark.parametrize("rule", PAGED)
def test_a_lists_own_cursor_leads_on_to_its_end(lists: Lists, rule: str) -> None:
    shown: list[Any] = []
    page: str | None = None
    while True:
        answer = lists.get(rule, page)
        assert answer.status == 200
        shown += answer.body["data"]
        page = answer.body["next_page"]
        if page is None:
            break
    told = [json.dumps(row, sort_keys=True) for row in shown]
    assert len(set(told)) == len(told) >= 2


USED_BY_THE_FIRST = {
    "/v1/me/usage",
    f"{ORGANIZATION}/usage_report",
    f"{ORGANIZATION}/unpriced_usage",
}


@pytest.mark.parametrize("rule", PAGED)
def test_another_lists_organizations_or_filters_cursor_is_refused(lists: Lists, rule: str) -> None:
    mine = lists.cursor(rule)

    for elsewhere in PAGED:
        if elsewhere != rule and PLANS.get(elsewhere) == PLANS.get(rule):
            assert is_refused(lists.get(rule, lists.cursor(elsewhere)))
    # Of these the other organization has nothing: its own key would have to record it.
    if rule not in USED_BY_THE_FIRST:
        assert is_refused(lists.get(rule, lists.cursor(rule, org_id=lists.other(rule))))
    if rule in FILTERS:
        assert is_refused(lists.get(rule, mine, filtered=True))
    assert is_refused(lists.get(rule, mine, org_id=lists.other(rule)))


def test_a_persons_cursor_is_not_another_ones(lists: Lists) -> None:
    mine = lists.cursor("/v1/me/usage")

    assert is_refused(lists.get("/v1/me/usage", mine, person=OWNER))


# Whoever can compute a tag must not get further than with a cursor of ours.


def mutations(item: Any) -> list[Any]:
    """Return what is not a cursor of this list, though it may look like one."""
    wrong: list[Any] = [None, 5, "x", [], {}, [item], b"\xff", b"", b"[" * 7000, b'{"a":' * 1500]
    values: list[Any] = [None, "x", {}, [], {"S": None}, {"S": 5}, {"S": ""}, {"N": "x"}]
    for name in item:
        wrong.append({key: value for key, value in item.items() if key != name})
        wrong += [{**item, name: value} for value in values]
        wrong += [
            {**item, name: {kind: "x"}}
            for kind in ("B", "NULL", "M", "Z")
            if kind not in item[name]
        ]
        wrong += [{**item, name: {"S": "x", "N": "1"}}, {**item, name: {"S": "x" * 3000}}]
        wrong += [{**item, name: {"S": "\ud800"}}]
    return [*wrong, {**item, "more": {"S": "x"}}]


@pytest.mark.parametrize("rule", PAGED)
def test_a_cursor_of_another_shape_or_partition_is_refused(
    monkeypatch: pytest.MonkeyPatch, lists: Lists, rule: str
) -> None:
    true = opened(lists.cursor(rule))
    monkeypatch.setattr(pages, "_tag", lambda bound, raw: bytes(pages._TAG_LENGTH))
    assert lists.get(rule, forged(true)).status == 200

    for item in mutations(true):
        assert is_refused(lists.get(rule, forged(item))), item
    partition = "member_period" if "member_period" in true else "pk"
    if partition in true:
        theirs = true[partition]["S"].replace(lists.site(rule).org_id, lists.other(rule))
        assert is_refused(lists.get(rule, forged({**true, partition: {"S": theirs}})))
    if rule == f"{ORGANIZATION}/api_keys":
        # There the keys are in one partition with the settings.
        assert is_refused(lists.get(rule, forged({**true, "sk": {"S": "SETTINGS"}})))


texts = st.text(max_size=12) | st.sampled_from(
    ["pk", "sk", "S", "N", "L", "place", "first", "\ud800"]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
changes: st.SearchStrategy[Callable[[Any], Any]] = st.one_of(
    documents.map(lambda document: lambda item: document),
    st.tuples(st.integers(0, 5), documents).map(
        lambda drawn: lambda item: {**item, sorted(item)[drawn[0] % len(item)]: drawn[1]}
    ),
    st.dictionaries(texts, documents, max_size=2).map(lambda extra: lambda item: {**item, **extra}),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=changes, raw=st.text() | st.binary(max_size=64).map(forged))
@pytest.mark.parametrize("rule", PAGED)
def test_no_cursor_is_a_crash(
    monkeypatch: pytest.MonkeyPatch,
    lists: Lists,
    rule: str,
    change: Callable[[Any], Any],
    raw: str,
) -> None:
    with monkeypatch.context() as patched:
        true = opened(lists.cursor(rule))
        patched.setattr(pages, "_tag", lambda bound, raw: bytes(pages._TAG_LENGTH))
        is_refused(lists.get(rule, forged(change(true))))
        if raw.isprintable():
            is_refused(lists.get(rule, raw))
