from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.limits.usecases.settings import set_cap
from headroom.organizations.store.organizations import find_organization
from headroom.pricing.domain.usage import COUNT_MAX
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.wire.authorizations import parse_authorization_request
from tests.in_process import (
    Application,
    Organization,
    sample,
    sample_body,
    usage_event,
)

# 11,873 input tokens at 3,000 nanos, 912 of output at 15,000 and a search at 10,000,000.
SAMPLE_NANOS = 59_299_000
SAMPLE_AMOUNT = "5.9299"


def this_month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


def recorded(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "usage_event",
        "id": event_id,
        "status": "recorded",
        "source": "extra_usage",
        "amount": SAMPLE_AMOUNT,
        "period": this_month(),
        **changes,
    }


def test_the_sample_event_settles_its_authorization(app: Application, acme: Organization) -> None:
    authorization_id = app.held(acme)
    event = sample("ingest_usage/record_usage")
    body = json.loads(event["body"])
    body["events"][0] |= {
        "authorization_id": authorization_id,
        "occurred_at": datetime.now(UTC).isoformat(),
    }

    answer = app.send(event, acme.service_key, body)

    assert answer.status == 200
    assert answer.body == {
        "type": "usage_events",
        "results": [recorded("msg_01XFDUDYJgAACzvnptvVoYEL")],
    }
    budget = app.budget(acme)
    assert (budget.held, budget.spent, dict(budget.holds)) == (0, SAMPLE_NANOS, {})
    (line,) = app.lines(acme)
    assert (line.event_id, line.charged, line.unbilled) == (
        "msg_01XFDUDYJgAACzvnptvVoYEL",
        SAMPLE_NANOS,
        0,
    )
    assert (line.source, line.because) == ("extra_usage", "no_included_allowance")
    assert line.price_version


def test_usage_within_the_seat_is_kept_and_not_charged(
    app: Application, acme: Organization
) -> None:
    authorization_id = app.held(acme, user_id="user_ben")

    (result,) = app.record(acme, usage_event("msg_1", authorization_id, user_id="user_ben"))

    assert result == recorded("msg_1", source="included")
    (line,) = app.lines(acme, "ben")
    assert (line.cost, line.charged, line.unbilled) == (SAMPLE_NANOS, 0, 0)
    budget = app.budget(acme, "ben")
    assert (budget.included, budget.spent) == (SAMPLE_NANOS, 0)


def test_usage_without_an_authorization_is_charged_on_arrival(
    app: Application, acme: Organization
) -> None:
    (result,) = app.record(acme, usage_event("msg_1"))

    assert result == recorded("msg_1")
    assert app.budget(acme).spent == SAMPLE_NANOS


def test_results_come_in_order_and_a_bad_event_spoils_no_other(
    app: Application, acme: Organization
) -> None:
    results = app.record(
        acme,
        usage_event("msg_1"),
        usage_event("msg_2", model="gpt-4"),
        {"id": "msg_3"},
        "msg_4",
        usage_event("msg_5"),
    )

    assert [(result["id"], result["status"]) for result in results] == [
        ("msg_1", "recorded"),
        ("msg_2", "recorded"),
        ("msg_3", "rejected"),
        (None, "rejected"),
        ("msg_5", "recorded"),
    ]
    assert results[1] == {
        "type": "usage_event",
        "id": "msg_2",
        "status": "recorded",
        "source": "unpriced",
        "amount": "0",
        "period": None,
        "unpriced": {"field": "model", "message": "model: no price is known for 'gpt-4'"},
    }
    assert {line.event_id for line in app.lines(acme)} == {"msg_1", "msg_5"}


def test_a_hundred_events_are_taken(app: Application, acme: Organization) -> None:
    events = [usage_event(f"msg_{index}") for index in range(100)]

    results = app.record(acme, *events)

    assert {result["status"] for result in results} == {"recorded"}
    assert len(app.lines(acme)) == 100
    assert app.budget(acme).spent == 100 * SAMPLE_NANOS


class TestDuplicates:
    def test_the_same_event_again_is_a_duplicate_with_the_first_result(
        self, app: Application, acme: Organization
    ) -> None:
        event = usage_event("msg_1", app.held(acme))
        app.record(acme, event)

        (again,) = app.record(acme, event)

        assert again == recorded("msg_1", status="duplicate")
        assert app.budget(acme).spent == SAMPLE_NANOS
        assert len(app.lines(acme)) == 1

    def test_within_one_batch_too(self, app: Application, acme: Organization) -> None:
        event = usage_event("msg_1")

        results = app.record(acme, event, event)

        assert results == [recorded("msg_1"), recorded("msg_1", status="duplicate")]
        assert app.budget(acme).spent == SAMPLE_NANOS

    @pytest.mark.parametrize(
        "other",
        [
            {"user_id": "user_dora"},
            {"model": "claude-opus-4-5"},
            {"usage": {"input_tokens": 1, "output_tokens": 1}},
            {"product": "claude_desktop"},
        ],
    )
    def test_the_same_id_with_another_content_is_a_conflict(
        self, app: Application, acme: Organization, other: dict[str, Any]
    ) -> None:
        event = usage_event("msg_1")

        first, second = app.record(acme, event, event | other)

        assert first == recorded("msg_1")
        assert second["status"] == "rejected"
        assert second["error"]["type"] == "conflict_error"
        assert app.budget(acme).spent == SAMPLE_NANOS
        assert app.find_budget(acme, "dora") is None or not app.lines(acme, "dora")

    def test_the_id_is_the_organizations_own(self, app: Application, acme: Organization) -> None:
        other = app.provision()

        (ours,), (theirs,) = (app.record(each, usage_event("msg_1")) for each in (acme, other))

        assert (ours["status"], theirs["status"]) == ("recorded", "recorded")


class TestHoldsAndTheirEnd:
    def test_another_organizations_authorization_is_not_found(
        self, app: Application, acme: Organization
    ) -> None:
        other = app.provision()

        (result,) = app.record(acme, usage_event("msg_1", app.held(other)))

        assert result["status"] == "rejected"
        assert result["error"]["type"] == "not_found_error"
        assert app.lines(acme) == []
        assert app.holds(other) == 1

    def test_another_members_authorization_is_refused(
        self, app: Application, acme: Organization
    ) -> None:
        (result,) = app.record(acme, usage_event("msg_1", app.held(acme), user_id="user_dora"))

        assert result["error"]["type"] == "invalid_request_error"
        assert result["error"]["message"].startswith("user_id: ")
        assert app.holds(acme) == 1

    def test_after_its_release_usage_is_charged_on_arrival(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme)
        app.release(acme.service_key, authorization_id)

        (result,) = app.record(acme, usage_event("msg_1", authorization_id))

        assert result == recorded("msg_1")
        assert app.budget(acme).spent == SAMPLE_NANOS

    def test_a_second_event_of_one_authorization_is_charged_by_itself(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme)

        results = app.record(
            acme, usage_event("msg_1", authorization_id), usage_event("msg_2", authorization_id)
        )

        assert results == [recorded("msg_1"), recorded("msg_2")]
        budget = app.budget(acme)
        assert (budget.spent, budget.held) == (2 * SAMPLE_NANOS, 0)

    @pytest.mark.parametrize("swept", [False, True], ids=["before", "after"])
    def test_usage_of_an_expired_hold_is_charged_once_whether_it_was_swept_or_not(
        self, app: Application, acme: Organization, *, swept: bool
    ) -> None:
        now = datetime.now(UTC)
        authorization_id = app.held(acme, ttl_seconds=60)
        if swept:
            sweep(app.table, now + timedelta(minutes=11), lambda: True)
            assert app.holds(acme) == 0

        (result,) = app.record(acme, usage_event("msg_1", authorization_id))

        assert result == recorded("msg_1")
        budget = app.budget(acme)
        assert (budget.spent, budget.held) == (SAMPLE_NANOS, 0)
        assert len(app.lines(acme)) == 1

    def test_usage_of_an_expired_hold_for_which_nothing_is_left_is_kept_unbilled(
        self, app: Application, acme: Organization
    ) -> None:
        now = datetime.now(UTC)
        authorization_id = app.held(acme, ttl_seconds=60)
        sweep(app.table, now + timedelta(minutes=11), lambda: True)
        set_cap(app.table, acme.id, 0, now)

        (result,) = app.record(acme, usage_event("msg_1", authorization_id))

        assert result == recorded("msg_1", source="unbilled")
        (line,) = app.lines(acme)
        assert (line.cost, line.charged, line.unbilled) == (SAMPLE_NANOS, 0, SAMPLE_NANOS)
        assert app.budget(acme).spent == 0

    def test_usage_above_the_hold_is_charged_whole_while_there_is_room(
        self, app: Application, acme: Organization
    ) -> None:
        authorization_id = app.held(acme, input_tokens=1, max_tokens=1, web_search_requests=0)

        (result,) = app.record(acme, usage_event("msg_1", authorization_id))

        assert result == recorded("msg_1")
        budget = app.budget(acme)
        assert (budget.spent, budget.held, budget.unbilled) == (SAMPLE_NANOS, 0, 0)

    def test_usage_above_the_hold_without_room_is_charged_up_to_the_hold(
        self, app: Application, acme: Organization
    ) -> None:
        small: dict[str, Any] = {"input_tokens": 1, "max_tokens": 1, "web_search_requests": 0}
        held = app.authorize(acme, **small).body
        # 6,000 nanos of input and 15,000 of output.
        assert held["amount"] == "0.0021"
        set_cap(app.table, acme.id, 0, datetime.now(UTC))

        (result,) = app.record(acme, usage_event("msg_1", held["id"]))

        assert result == recorded("msg_1", amount="0.0021", unbilled="5.9278")
        (line,) = app.lines(acme)
        assert (line.cost, line.charged, line.unbilled) == (SAMPLE_NANOS, 21_000, 59_278_000)
        budget = app.budget(acme)
        assert (budget.spent, budget.held) == (21_000, 0)

    def test_an_authorization_of_a_past_day_settles(
        self, app: Application, acme: Organization
    ) -> None:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        asked = parse_authorization_request(
            sample_body("authorize_spend/create_authorization") | {"ttl_seconds": 86_400}
        )
        organization = find_organization(app.table, acme.id)
        assert organization is not None
        held = authorize(app.table, Hints(), organization, asked, yesterday, entropy=bytes(6))

        (result,) = app.record(acme, usage_event("msg_1", held["id"]))

        assert result["status"] == "recorded"
        assert result["period"] == held["period"]


class TestMoments:
    @pytest.mark.parametrize(
        ("offset", "status"),
        [
            (timedelta(minutes=4, seconds=50), "recorded"),
            (timedelta(minutes=5, seconds=10), "rejected"),
            (timedelta(days=365), "rejected"),
            (-timedelta(days=61), "recorded"),
            (-timedelta(days=63), "rejected"),
            (-timedelta(days=730), "rejected"),
        ],
    )
    def test_usage_of_the_future_or_of_long_ago_is_rejected(
        self, app: Application, acme: Organization, offset: timedelta, status: str
    ) -> None:
        moment = (datetime.now(UTC) + offset).isoformat()

        (result,) = app.record(acme, usage_event("msg_1", occurred_at=moment))

        assert result["status"] == status
        if status == "rejected":
            assert result["error"]["message"].startswith("occurred_at: lies ")

    @pytest.mark.parametrize(
        "text",
        [
            None,
            1,
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T12:00:00",
            "2026-13-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "٢٠٢٦-11-23T12:00:00Z",
        ],
    )
    def test_what_is_no_moment_is_rejected(
        self, app: Application, acme: Organization, text: Any
    ) -> None:
        (result,) = app.record(acme, usage_event("msg_1") | {"occurred_at": text})

        assert result["error"]["type"] == "invalid_request_error"
        assert result["error"]["message"].startswith("occurred_at: ")


class TestUsageObject:
    def test_unknown_members_are_kept_and_ignored(
        self, app: Application, acme: Organization
    ) -> None:
        usage = {
            "input_tokens": 1,
            "output_tokens": 1,
            "output_tokens_details": {"thinking_tokens": 1},
            "something_new": [{"speed": 1.5, "of": None}],
        }

        (result,) = app.record(acme, usage_event("msg_1", usage=usage))

        assert result == recorded("msg_1", amount="0.0018")
        (line,) = app.lines(acme)
        assert line.usage == usage

    def test_nulls_count_as_nothing(self, app: Application, acme: Organization) -> None:
        usage = {
            "input_tokens": 1,
            "output_tokens": None,
            "cache_creation": None,
            "cache_read_input_tokens": None,
            "server_tool_use": None,
            "service_tier": None,
        }

        (result,) = app.record(acme, usage_event("msg_1", usage=usage))

        assert result == recorded("msg_1", amount="0.0003")

    def test_usage_that_costs_nothing_is_recorded(
        self, app: Application, acme: Organization
    ) -> None:
        event = usage_event("msg_1", usage={"input_tokens": 0, "output_tokens": 0})

        results = app.record(acme, event, event)

        assert [result["status"] for result in results] == ["recorded", "duplicate"]
        assert {result["amount"] for result in results} == {"0"}

    @pytest.mark.parametrize(
        ("usage", "field"),
        [
            (None, "usage"),
            ([], "usage"),
            ("1", "usage"),
            ({}, "usage.input_tokens"),
            ({"input_tokens": 1}, "usage.output_tokens"),
            ({"input_tokens": -1, "output_tokens": 1}, "usage.input_tokens"),
            ({"input_tokens": 1.0, "output_tokens": 1}, "usage.input_tokens"),
            ({"input_tokens": "1", "output_tokens": 1}, "usage.input_tokens"),
            ({"input_tokens": True, "output_tokens": 1}, "usage.input_tokens"),
            ({"input_tokens": COUNT_MAX + 1, "output_tokens": 1}, "usage.input_tokens"),
            ({"input_tokens": 10**40, "output_tokens": 1}, "usage.input_tokens"),
            (
                {"input_tokens": 1, "output_tokens": 1, "server_tool_use": 1},
                "usage.server_tool_use",
            ),
        ],
    )
    def test_what_is_wrong_in_it_is_named(
        self, app: Application, acme: Organization, usage: Any, field: str
    ) -> None:
        (result,) = app.record(acme, usage_event("msg_1") | {"usage": usage})

        assert result["status"] == "rejected"
        assert result["error"]["type"] == "invalid_request_error"
        assert result["error"]["message"].startswith(f"{field}: ")
        assert app.lines(acme) == []
