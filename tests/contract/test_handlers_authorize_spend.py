from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.authorize_spend import handler as authorize_spend
from headroom.organizations.store.credentials import revoke_key
from headroom.organizations.usecases.authentication import digest_of
from headroom.spending.domain.allotment import HOLDS_MAX
from headroom.spending.store import budgets
from headroom.spending.usecases import grants as acquiring
from tests.in_process import Application, Organization, at, sample, sample_body

# 12,000 tokens of input at 6,000 nanos (a cache write of one hour is the dearest use of one), 8,192
# of output at 15,000 and two searches at 10,000,000 are 214,880,000 nanos: 21.488 cents.
SAMPLE_AMOUNT = "21.488"


def moment(text: str) -> datetime:
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


def next_month() -> datetime:
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def test_the_sample_event_is_held_and_answered_as_the_contract_has_it(
    app: Application, acme: Organization
) -> None:
    event = sample("authorize_spend/create_authorization")
    before = datetime.now(UTC)

    answer = app.send(event, acme.service_key, event["body"])

    after = datetime.now(UTC)
    body = dict(answer.body)
    assert answer.status == 200
    assert body.pop("id").startswith("auth_")
    expires_at = moment(body.pop("expires_at"))
    second = timedelta(milliseconds=1)
    assert before - second <= expires_at - timedelta(seconds=600) <= after
    assert body == {
        "type": "authorization",
        "user_id": "user_ada",
        "model": "claude-sonnet-4-6",
        "source": "extra_usage",
        "amount": SAMPLE_AMOUNT,
        "max_tokens": 8192,
        # What a search finds is read again, and nobody bounds how much that is.
        "bound": {"exact": False, "because": ["server_tools"]},
        "period": before.strftime("%Y-%m"),
        "limits": [],
    }
    budget = app.budget(acme)
    assert budget.held == 214_880_000


def test_a_seat_spends_its_included_usage_first(app: Application, acme: Organization) -> None:
    answer = app.authorize(acme, user_id="user_ben")

    assert answer.body["source"] == "included"
    assert answer.body["amount"] == SAMPLE_AMOUNT
    budget = app.budget(acme, "ben")
    assert (budget.held, budget.granted) == (0, 0)


def test_the_answer_shows_the_members_own_limit_and_what_is_left_of_it(
    app: Application, acme: Organization
) -> None:
    answer = app.authorize(acme, user_id="user_dora")

    (limit,) = answer.body["limits"]
    assert moment(limit.pop("resets_at")) == next_month()
    assert limit == {
        "scope": {"type": "user", "user_id": "user_dora"},
        "period": "monthly",
        "amount": "2500",
        "remaining": "2478.512",
    }


def test_options_may_be_left_out_or_be_null(app: Application, acme: Organization) -> None:
    body = {
        "user_id": "user_ada",
        "model": "claude-sonnet-4-5",
        "input_tokens": 0,
        "max_tokens": 1,
        "min_tokens": None,
        "web_search_requests": None,
        "service_tier": None,
        "use_extra_usage": None,
        "ttl_seconds": None,
    }

    answer = app.post_authorization(acme.service_key, body)

    assert (answer.status, answer.body["amount"]) == (200, "0.0015")
    lasts = moment(answer.body["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=590) < lasts <= timedelta(seconds=600)


def test_a_batch_request_is_held_at_half_the_tokens_price(
    app: Application, acme: Organization
) -> None:
    answer = app.authorize(acme, service_tier="batch", web_search_requests=None)

    assert answer.body["amount"] == "9.744"


class TestRefusals:
    def test_the_members_limit_is_named_with_what_would_fit(self, app: Application) -> None:
        acme = app.provision(spend_limit=None, wallet={"balance": "900000"})

        answer = app.authorize(acme, user_id="user_dora", max_tokens=20_000_000)

        assert answer.refusal == (429, "billing_error")
        assert answer.headers["x-should-retry"] == "false"
        until_reset = (next_month() - datetime.now(UTC)).total_seconds()
        assert 0 <= int(answer.headers["retry-after"]) - until_reset <= 2
        details = dict(answer.error["details"])
        assert moment(details.pop("resets_at")) == next_month()
        assert details == {
            "reason": "user_limit_reached",
            "scope": {"type": "user", "user_id": "user_dora"},
            # (2,500 cents - 92,000,000 nanos of input and searches) / 15,000 nanos a token.
            "affordable_max_tokens": (25_000_000_000 - 92_000_000) // 15_000,
            "retryable": False,
            "next_steps": ["request_increase", "wait_for_reset"],
        }
        assert app.holds(acme, "dora") == 0

    def test_what_would_fit_does_fit(self, app: Application, acme: Organization) -> None:
        refused = app.authorize(acme, user_id="user_dora", max_tokens=20_000_000)
        affordable = refused.error["details"]["affordable_max_tokens"]

        one_more = app.authorize(acme, user_id="user_dora", max_tokens=affordable + 1)
        exactly = app.authorize(acme, user_id="user_dora", max_tokens=affordable)

        assert (one_more.status, exactly.status) == (429, 200)

    def test_with_a_least_number_of_tokens_the_request_is_cut_to_what_fits(
        self, app: Application, acme: Organization
    ) -> None:
        answer = app.authorize(acme, user_id="user_dora", max_tokens=20_000_000, min_tokens=1024)

        assert answer.status == 200
        assert answer.body["max_tokens"] == (25_000_000_000 - 92_000_000) // 15_000
        (limit,) = answer.body["limits"]
        # What is left is less than the price of one more token.
        assert Decimal(limit["remaining"]) < Decimal("0.0015")

    def test_a_member_who_did_not_choose_to_continue_keeps_to_the_seat(
        self, app: Application, acme: Organization
    ) -> None:
        crossing: dict[str, Any] = {
            "user_id": "user_chi",
            "max_tokens": 400_000,
            "use_extra_usage": None,
        }
        assert app.authorize(acme, **crossing).body["source"] == "included"

        answer = app.authorize(acme, **crossing)

        details = answer.error["details"]
        assert details["reason"] == "included_limit_reached"
        assert details["scope"] == {"type": "user", "user_id": "user_chi"}
        assert details["next_steps"] == ["choose_to_continue", "wait_for_reset"]
        in_five_hours = datetime.now(UTC) + timedelta(hours=5)
        assert abs(moment(details["resets_at"]) - in_five_hours) < timedelta(minutes=1)
        assert app.authorize(acme, **crossing | {"use_extra_usage": True}).status == 200

    @pytest.mark.parametrize(
        ("changes", "user", "reason", "scope"),
        [
            ({"extra_usage": {"enabled": False}}, "ada", "extra_usage_disabled", "organization"),
            (
                {"extra_usage": {"enabled": True, "members": "selected"}},
                "emil",
                "member_not_enabled",
                "user",
            ),
            ({"spend_limit": "1"}, "ada", "organization_limit_reached", "organization"),
            ({"wallet": {"balance": "0"}}, "ada", "wallet_empty", "organization"),
            (
                {
                    "plan": "enterprise",
                    "wallet": None,
                    "seat_tiers": {"premium": {"spend_limit": "1"}},
                },
                "ada",
                "seat_tier_limit_reached",
                "seat_tier",
            ),
        ],
    )
    def test_every_level_says_that_it_was_the_one(
        self, app: Application, changes: dict[str, Any], user: str, reason: str, scope: str
    ) -> None:
        document = sample("provision_organization/organization")
        user_id = f"user_{user}"
        document["members"][-1]["user_id"] = "user_emil"
        acme = app.provision(**{"members": document["members"], **changes})

        answer = app.authorize(acme, user_id=user_id)

        assert answer.refusal == (429, "billing_error")
        details = answer.error["details"]
        assert (details["reason"], details["scope"]["type"]) == (reason, scope)
        assert details["retryable"] is False
        assert details["next_steps"]

    def test_a_member_has_at_most_so_many_open_authorizations(
        self, app: Application, acme: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A hundred would say no more, and take half a minute.
        assert HOLDS_MAX == 100
        for module in (acquiring, budgets):
            monkeypatch.setattr(module, "HOLDS_MAX", 7)
        small: dict[str, Any] = {"max_tokens": 1, "input_tokens": 0, "web_search_requests": 0}
        held = [app.held(acme, **small) for _ in range(7)]

        refused = app.authorize(acme, **small)
        app.release(acme.service_key, held[0])
        again = app.authorize(acme, **small)

        assert refused.error["details"]["reason"] == "too_many_open_authorizations"
        assert again.status == 200


class TestIdempotency:
    def test_the_same_key_and_body_replay_the_first_answer(
        self, app: Application, acme: Organization
    ) -> None:
        first = app.authorize(acme, idempotency_key="a-key")
        second = app.authorize(acme, idempotency_key="a-key")

        assert first.status == 200
        assert second.body == first.body
        assert app.holds(acme) == 1

    def test_the_answer_is_replayed_even_when_the_hold_is_gone(
        self, app: Application, acme: Organization
    ) -> None:
        first = app.authorize(acme, idempotency_key="a-key")
        app.release(acme.service_key, first.body["id"])

        assert app.authorize(acme, idempotency_key="a-key").body == first.body
        assert app.holds(acme) == 0

    def test_the_order_of_members_does_not_make_another_body(
        self, app: Application, acme: Organization
    ) -> None:
        body = sample_body("authorize_spend/create_authorization")
        turned = dict(reversed(body.items()))
        header = {"idempotency-key": "a-key"}

        first = app.post_authorization(acme.service_key, body, header)

        assert app.post_authorization(acme.service_key, turned, header).body == first.body

    def test_the_same_key_with_another_body_is_a_conflict(
        self, app: Application, acme: Organization
    ) -> None:
        app.authorize(acme, idempotency_key="a-key")

        answer = app.authorize(acme, idempotency_key="a-key", max_tokens=1)

        assert answer.refusal == (409, "conflict_error")
        assert "Idempotency-Key" in answer.error["message"]
        assert app.holds(acme) == 1

    def test_two_organizations_may_use_the_same_key(
        self, app: Application, acme: Organization
    ) -> None:
        other = app.provision()
        first = app.authorize(acme, idempotency_key="a-key")

        second = app.authorize(other, idempotency_key="a-key", max_tokens=1)

        assert (first.status, second.status) == (200, 200)

    def test_a_refusal_is_not_filed(self, app: Application, acme: Organization) -> None:
        dora: dict[str, Any] = {"user_id": "user_dora", "max_tokens": 1_000_000}
        holding = app.held(acme, **dora)
        refused = app.authorize(acme, idempotency_key="a-key", **dora)
        app.release(acme.service_key, holding)

        answer = app.authorize(acme, idempotency_key="a-key", **dora)

        assert (refused.status, answer.status) == (429, 200)

    @pytest.mark.parametrize("key", ["", " ", "x" * 65, "a key", "clé"])
    def test_a_key_that_is_not_1_to_64_printable_characters_is_refused(
        self, app: Application, acme: Organization, key: str
    ) -> None:
        answer = app.authorize(acme, idempotency_key=key)

        assert answer.refusal == (400, "invalid_request_error")
        assert answer.error["details"] == {"field": "Idempotency-Key"}
        assert app.holds(acme) == 0


class TestRelease:
    def test_the_sample_event_gives_the_money_back(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme)
        event = at(sample("authorize_spend/release_authorization"), authorization_id)

        answer = app.send(event, acme.service_key)

        assert answer.status == 200
        assert answer.body == {"type": "authorization_released", "id": authorization_id}
        budget = app.budget(acme)
        assert (budget.held, dict(budget.holds)) == (0, {})

    def test_releasing_again_changes_nothing(self, app: Application, acme: Organization) -> None:
        authorization_id = app.held(acme)
        first = app.release(acme.service_key, authorization_id)
        budget = app.budget(acme)

        second = app.release(acme.service_key, authorization_id)

        assert second.body == first.body
        assert app.budget(acme) == budget

    def test_another_organizations_authorization_is_not_found(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id, other = app.held(acme), app.provision()

        for answer in (
            app.release(other.service_key, authorization_id),
            app.extend(other.service_key, authorization_id, {"ttl_seconds": 60}),
        ):
            assert answer.refusal == (404, "not_found_error")
        assert app.holds(acme) == 1


class TestExtension:
    def test_the_sample_event_prolongs_and_enlarges_the_hold(
        self, app: Application, acme: Organization
    ) -> None:
        held = app.authorize(acme).body
        event = at(sample("authorize_spend/extend_authorization"), held["id"])

        answer = app.send(event, acme.service_key, event["body"])

        assert answer.status == 200
        expires_at = moment(answer.body.pop("expires_at"))
        in_twenty_minutes = datetime.now(UTC) + timedelta(minutes=20)
        assert abs(expires_at - in_twenty_minutes) < timedelta(seconds=10)
        held.pop("expires_at")
        # 8,192 more tokens of output at 15,000 nanos.
        assert answer.body == held | {"max_tokens": 16384, "amount": "33.776"}
        budget = app.budget(acme)
        assert budget.held == 337_760_000

    def test_asking_twice_enlarges_once(self, app: Application, acme: Organization) -> None:
        authorization_id = app.held(acme)

        answers = [
            app.extend(acme.service_key, authorization_id, {"max_tokens": 16384}) for _ in "12"
        ]

        assert [answer.body["amount"] for answer in answers] == ["33.776", "33.776"]

    def test_a_hold_never_gets_shorter_or_smaller(
        self, app: Application, acme: Organization
    ) -> None:
        held = app.authorize(acme).body

        answer = app.extend(acme.service_key, held["id"], {"ttl_seconds": 1, "max_tokens": 1})

        assert answer.body == held

    def test_more_than_fits_is_refused_and_the_hold_stands(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme, user_id="user_dora")

        answer = app.extend(acme.service_key, authorization_id, {"max_tokens": 20_000_000})

        assert answer.error["details"]["reason"] == "user_limit_reached"
        (hold,) = app.budget(acme, "dora").holds.values()
        assert hold.amount_nanos == 214_880_000

    def test_a_released_authorization_cannot_be_extended(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme)
        app.release(acme.service_key, authorization_id)

        answer = app.extend(acme.service_key, authorization_id, {"ttl_seconds": 60})

        assert answer.refusal == (409, "conflict_error")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "ttl_seconds"),
            ({"ttl_seconds": 0}, "ttl_seconds"),
            ({"ttl_seconds": 86_401}, "ttl_seconds"),
            ({"max_tokens": -1}, "max_tokens"),
            ({"max_tokens": True}, "max_tokens"),
            ({"ttl_seconds": 60, "ttl": 60}, "ttl"),
            ([], "body"),
            (None, "body"),
        ],
    )
    def test_a_wrong_extension_names_the_field(
        self, app: Application, acme: Organization, body: Any, field: str
    ) -> None:
        authorization_id = app.held(acme)

        answer = app.extend(acme.service_key, authorization_id, body)

        assert answer.refusal == (400, "invalid_request_error")
        assert answer.error["details"] == {"field": field}


class TestAuthentication:
    @pytest.mark.parametrize("key", [None, "", "sk-headroom-service-unknown", "x" * 10_000, "clé"])
    def test_a_missing_or_unknown_key_is_refused_before_anything_else_is_looked_at(
        self, app: Application, key: str | None
    ) -> None:
        for answer in (
            app.post_authorization(key, "not JSON"),
            app.release(key, "auth_x"),
            app.extend(key, "auth_x", "not JSON"),
            app.post_events(key, "not JSON"),
        ):
            assert answer.refusal == (401, "authentication_error")
            assert "x-api-key" in answer.error["message"]

    def test_an_admin_key_may_not_spend(self, app: Application, acme: Organization) -> None:
        authorization_id = app.held(acme)

        for answer in (
            app.post_authorization(acme.admin_key, {}),
            app.release(acme.admin_key, authorization_id),
            app.extend(acme.admin_key, authorization_id, {"ttl_seconds": 60}),
            app.post_events(acme.admin_key, {"events": []}),
        ):
            assert answer.refusal == (403, "permission_error")
            assert "write:usage" in answer.error["message"]
        assert app.holds(acme) == 1

    @pytest.mark.parametrize("name", ["X-API-Key", "x-Api-kEY"])
    def test_headers_are_found_in_any_case(
        self, app: Application, acme: Organization, name: str
    ) -> None:
        body = sample_body("authorize_spend/create_authorization")

        answers = [
            app.post_authorization(None, body, {name: acme.service_key, "IDEMPOTENCY-Key": "a-key"})
            for _ in "12"
        ]

        assert answers[0].status == 200
        assert answers[1].body == answers[0].body

    def test_a_revoked_key_stops_working_within_ten_seconds(
        self, app: Application, acme: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started = datetime.now(UTC)
        assert app.authorize(acme).status == 200
        key_id = f"key_{digest_of(acme.service_key)[:20]}"
        assert revoke_key(app.table, acme.id, key_id, started)

        callers = authorize_spend.api._callers
        with pytest.raises(Exception, match="unknown or revoked") as refused:
            callers.authenticate(app.table, acme.service_key, started + timedelta(seconds=10))

        assert refused.typename == "Unauthenticated"

    def test_a_member_of_another_organization_is_unknown(
        self, app: Application, acme: Organization
    ) -> None:
        document = sample("provision_organization/organization")
        stranger = {**document["members"][0], "user_id": "user_zoe", "email": "zoe@zeta.example"}
        app.provision(members=[stranger])

        answer = app.authorize(acme, user_id="user_zoe")

        assert answer.refusal == (404, "not_found_error")
        assert "user_zoe" in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/authorizations", "POST"),
        ("GET", "/v1/authorizations/auth_x", "DELETE"),
        ("PUT", "/v1/authorizations/auth_x/extend", "POST"),
        ("POST", "/v1/authorizations/auth_x/extends", None),
        ("DELETE", "/v1/authorizations/auth_x/y/z", None),
        ("GET", "/v1/usage/events", "POST"),
        ("POST", "/v1/usage/event", None),
        ("OPTIONS", "/v1/usage/events", "POST"),
    ],
)
def test_what_is_not_there_is_a_404_and_what_takes_another_method_a_405(
    app: Application, acme: Organization, method: str, path: str, allowed: str | None
) -> None:
    event = sample("authorize_spend/create_authorization")
    event["rawPath"] = path
    event["requestContext"]["http"] |= {"method": method, "path": path}

    answer = app.send(event, acme.service_key, {})

    if allowed is None:
        assert answer.refusal == (404, "not_found_error")
    else:
        assert answer.refusal == (405, "invalid_request_error")
        assert answer.headers["allow"] == allowed
