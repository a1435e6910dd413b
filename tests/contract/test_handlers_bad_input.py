"""Whatever is sent, the answer is clear, it is no 500, and nothing is lost or taken by it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.pricing.domain.usage import COUNT_MAX
from headroom.spending.domain.authorization import AuthorizationId, hold_key
from tests.in_process import (
    Answer,
    Application,
    Organization,
    at,
    sample,
    sample_body,
    usage_event,
)

OPUS = "claude-opus-5"
LONE_SURROGATE = "\ud800"


def asked(**changes: Any) -> dict[str, Any]:
    return sample_body("authorize_spend/create_authorization") | changes


def nested(depth: int) -> Any:
    """Return a document so deep that reading it needs as many calls inside each other."""
    document: Any = 1
    for _ in range(depth):
        document = [document]
    return document


def refused_field(answer: Answer) -> str:
    """Return the field that a 400 names, in its details and first thing in its message."""
    assert answer.refusal == (400, "invalid_request_error")
    field: str = answer.error["details"]["field"]
    assert answer.error["message"].startswith(f"{field}: ")
    assert answer.headers["x-should-retry"] == "false"
    return field


class TestAuthorizationRequests:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"user_id": None}, "user_id"),
            ({"user_id": ""}, "user_id"),
            ({"user_id": 7}, "user_id"),
            ({"user_id": "ada"}, "user_id"),
            ({"user_id": "user_" + "a" * 10_000}, "user_id"),
            ({"user_id": "user_../../org_1"}, "user_id"),
            ({"user_id": "user_ada#BUDGET"}, "user_id"),
            ({"user_id": "user_ada\n"}, "user_id"),
            ({"user_id": f"user_{LONE_SURROGATE}"}, "user_id"),
            ({"user_id": ["user_ada"]}, "user_id"),
            ({"model": None}, "model"),
            ({"model": "gpt-4"}, "model"),
            ({"model": ""}, "model"),
            ({"model": "claude " * 2_000}, "model"),
            ({"model": LONE_SURROGATE}, "model"),
            ({"model": {}}, "model"),
            ({"input_tokens": None}, "input_tokens"),
            ({"input_tokens": -1}, "input_tokens"),
            ({"input_tokens": 1.5}, "input_tokens"),
            ({"input_tokens": 1e300}, "input_tokens"),
            ({"input_tokens": "12"}, "input_tokens"),
            ({"input_tokens": True}, "input_tokens"),
            ({"input_tokens": COUNT_MAX + 1}, "input_tokens"),
            ({"input_tokens": 10**4000}, "input_tokens"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"max_tokens": -1}, "max_tokens"),
            ({"max_tokens": False}, "max_tokens"),
            ({"max_tokens": [8192]}, "max_tokens"),
            ({"min_tokens": 0}, "min_tokens"),
            ({"min_tokens": 8193}, "min_tokens"),
            ({"web_search_requests": -1}, "web_search_requests"),
            ({"web_search_requests": 1001}, "web_search_requests"),
            ({"service_tier": "gratis"}, "service_tier"),
            ({"service_tier": 1}, "service_tier"),
            ({"service_tier": nested(900)}, "service_tier"),
            ({"use_extra_usage": "yes"}, "use_extra_usage"),
            ({"use_extra_usage": 1}, "use_extra_usage"),
            ({"ttl_seconds": 0}, "ttl_seconds"),
            ({"ttl_seconds": 86_401}, "ttl_seconds"),
            ({"ttl_seconds": 1.0}, "ttl_seconds"),
            ({"speed": "turbo"}, "speed"),
            ({"speed": 2}, "speed"),
            ({"inference_geo": "eu"}, "inference_geo"),
            ({"inference_geo": ""}, "inference_geo"),
            ({"inference_geo": "not_available"}, "inference_geo"),
            ({"inference_geo": ["us"]}, "inference_geo"),
            ({"cache_lifetimes": "5m"}, "cache_lifetimes"),
            ({"cache_lifetimes": ["1d"]}, "cache_lifetimes"),
            ({"cache_lifetimes": [{}]}, "cache_lifetimes"),
            ({"compaction": True}, "compaction"),
            ({"compaction": {"trigger": -1}}, "compaction.trigger"),
            ({"compaction": {"trigger": "50000"}}, "compaction.trigger"),
            ({"compaction": {"triggers": 1}}, "compaction.triggers"),
            ({"advisor": "claude-opus-5"}, "advisor"),
            ({"advisor": {}}, "advisor.model"),
            ({"advisor": {"model": None}}, "advisor.model"),
            ({"advisor": {"model": "gpt-4"}}, "advisor.model"),
            ({"advisor": {"model": OPUS, "max_uses": -1}}, "advisor.max_uses"),
            ({"advisor": {"model": OPUS, "max_uses": 1001}}, "advisor.max_uses"),
            ({"advisor": {"model": OPUS, "max_tokens": 0}}, "advisor.max_tokens"),
            ({"advisor": {"model": OPUS, "speed": "fast"}}, "advisor.speed"),
            ({"fallbacks": OPUS}, "fallbacks"),
            ({"fallbacks": [OPUS]}, "fallbacks[0]"),
            ({"fallbacks": [{"model": OPUS}] * 4}, "fallbacks"),
            ({"fallbacks": [{"model": OPUS}, {}]}, "fallbacks[1].model"),
            ({"fallbacks": [{"model": "opus"}]}, "fallbacks[0].model"),
            ({"fallbacks": [{"model": OPUS, "speed": "turbo"}]}, "fallbacks[0].speed"),
            ({"fallbacks": [{"model": OPUS, "max_tokens": 0}]}, "fallbacks[0].max_tokens"),
            ({"fallbacks": [{"model": OPUS, "effort": 1}]}, "fallbacks[0].effort"),
            ({"server_tools": []}, "server_tools"),
            ({"server_tools": {"bash": {}}}, "server_tools.bash"),
            ({"server_tools": {"mcp": True}}, "server_tools.mcp"),
            (
                {"server_tools": {"web_search": {"max_uses": -1}}},
                "server_tools.web_search.max_uses",
            ),
            ({"server_tools": {"web_fetch": {"max_uses": 1e3}}}, "server_tools.web_fetch.max_uses"),
            ({"server_tools": {"mcp": {"uses": 1}}}, "server_tools.mcp.uses"),
            # Each by itself has a price; with this model it has none.
            ({"model": "claude-sonnet-4-5", "speed": "fast"}, "speed"),
            ({"model": "claude-opus-4-7", "speed": "fast"}, "speed"),
            ({"model": "claude-sonnet-4-5-fast"}, "model"),
            ({"model": "claude-opus-4-65"}, "model"),
            ({"model": "<synthetic>"}, "model"),
            ({"model": "claude-sonnet-4-5", "inference_geo": "us"}, "inference_geo"),
            (
                {"model": OPUS, "fallbacks": [{"model": "claude-haiku-4-5", "speed": "fast"}]},
                "fallbacks[0].speed",
            ),
            (
                {
                    "model": OPUS,
                    "inference_geo": "us",
                    "fallbacks": [{"model": "claude-haiku-4-5"}],
                },
                "fallbacks[0].inference_geo",
            ),
            (
                {"model": OPUS, "inference_geo": "us", "advisor": {"model": "claude-opus-4-1"}},
                "advisor.inference_geo",
            ),
            ({"max_token": 1}, "max_token"),
            ({"constructor": {}}, "constructor"),
            ({"x" * 10_000: 1}, "x" * 64),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_the_wrong_field_is_named(
        self, app: Application, acme: Organization, changes: dict[str, Any], field: str
    ) -> None:
        answer = app.post_authorization(acme.service_key, asked(**changes))

        assert refused_field(answer) == field
        assert app.find_budget(acme) is None

    def test_a_member_whose_name_is_no_text_is_refused(
        self, app: Application, acme: Organization
    ) -> None:
        answer = app.post_authorization(acme.service_key, asked(**{LONE_SURROGATE: 1}))

        assert answer.refusal == (400, "invalid_request_error")

    def test_an_unknown_member_of_the_organization_is_not_found(
        self, app: Application, acme: Organization
    ) -> None:
        answer = app.authorize(acme, user_id="user_nobody")

        assert answer.refusal == (404, "not_found_error")
        assert answer.error["message"] == "user_id: the organization has no member user_nobody"

    def test_the_largest_request_there_is_is_refused_for_its_price(
        self, app: Application, acme: Organization
    ) -> None:
        answer = app.authorize(acme, input_tokens=COUNT_MAX, max_tokens=COUNT_MAX)

        assert answer.refusal == (429, "billing_error")
        assert answer.error["details"]["affordable_max_tokens"] == 0


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            None,
            "",
            " ",
            "null",
            "[]",
            "[{}]",
            '"text"',
            "7",
            "true",
            "{",
            "{}}",
            "{'user_id': 1}",
            "user_id=user_ada&max_tokens=1",
            '{"input_tokens": NaN}',
            '{"input_tokens": Infinity}',
            '{"input_tokens": -Infinity}',
            '{"input_tokens": ' + "9" * 5_000 + "}",
            "[" * 100_000,
            '{"a":' * 100_000,
            "\ufeff{}",
            b"",
            b"\xff\xfe{",
            b"\x80{}",
            b"\x00",
        ],
        ids=lambda body: repr(body)[:24],
    )
    def test_what_is_no_json_object_is_refused(
        self, app: Application, acme: Organization, body: Any
    ) -> None:
        for answer in (
            app.post_authorization(acme.service_key, body),
            app.post_events(acme.service_key, body),
            app.extend(acme.service_key, app.held(acme), body),
        ):
            assert refused_field(answer) == "body"

    @pytest.mark.parametrize("text", ["e30", "e30=!", "{}", "é"])
    def test_what_is_no_base64_is_refused(
        self, app: Application, acme: Organization, text: str
    ) -> None:
        event = sample("authorize_spend/create_authorization")
        event["isBase64Encoded"] = True

        assert refused_field(app.send(event, acme.service_key, text)) == "body"

    def test_a_body_in_base64_is_read(self, app: Application, acme: Organization) -> None:
        body = json.dumps(asked()).encode()

        assert app.post_authorization(acme.service_key, body).status == 200

    @pytest.mark.parametrize("filler", ["x", "é", "\U0001f600"])
    def test_ten_megabytes_are_too_large(
        self, app: Application, acme: Organization, filler: str
    ) -> None:
        padded = json.dumps(asked(user_id=filler * 10_000_000), ensure_ascii=False)

        for answer in (
            app.post_authorization(acme.service_key, padded),
            app.post_events(acme.service_key, padded),
            app.post_events(acme.service_key, padded.encode()),
            app.extend(acme.service_key, "auth_x", padded),
        ):
            assert answer.refusal == (413, "request_too_large")

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "APPLICATION/json"]
    )
    def test_json_is_read_whatever_it_is_called(
        self, app: Application, acme: Organization, content_type: str
    ) -> None:
        answer = app.post_authorization(acme.service_key, asked(), {"content-type": content_type})

        assert answer.status == 200

    def test_another_form_of_content_is_refused(self, app: Application, acme: Organization) -> None:
        form = '--x\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nuser_ada\r\n--x--'
        header = {"content-type": "multipart/form-data; boundary=x"}

        assert refused_field(app.post_authorization(acme.service_key, form, header)) == "body"


class TestAuthorizationIds:
    @pytest.mark.parametrize(
        "authorization_id",
        [
            "auth_",
            "auth_x",
            "x",
            "auth_" + "A" * 10_000,
            "auth_" + "A" * 36 + "ada",
            "auth_" + "A" * 36 + "ada/../../user_ben",
            "..",
            "%2e%2e%2fetc%2fpasswd",
            "auth_%00",
            "auth_%ff%fe",
            "é" * 40,
            "auth_" + "é" * 36 + "ada",
            "' OR 1=1 --",
        ],
        ids=lambda text: text[:30],
    )
    def test_what_is_no_id_of_ours_is_not_found(
        self, app: Application, acme: Organization, authorization_id: str
    ) -> None:
        for answer in (
            app.release(acme.service_key, authorization_id),
            app.extend(acme.service_key, authorization_id, {"ttl_seconds": 60}),
        ):
            assert answer.refusal == (404, "not_found_error")
        if len(authorization_id) <= 128:
            (result,) = app.record(acme, usage_event("msg_1", authorization_id))
            assert result["error"]["type"] == "not_found_error"

    def test_an_id_of_ten_thousand_characters_is_refused_in_an_event(
        self, app: Application, acme: Organization
    ) -> None:
        (result,) = app.record(acme, usage_event("msg_1", "auth_" + "A" * 9_995))

        assert result["error"]["type"] == "invalid_request_error"
        assert result["error"]["message"].startswith("authorization_id: ")

    @pytest.mark.parametrize("method", ["DELETE", "POST"])
    def test_an_empty_id_is_not_found(
        self, app: Application, acme: Organization, method: str
    ) -> None:
        name = "release" if method == "DELETE" else "extend"
        event = at(sample(f"authorize_spend/{name}_authorization"), "")

        assert app.send(event, acme.service_key, {}).refusal == (404, "not_found_error")


class TestForgedIds:
    """An id's tag is no secret: whoever holds a key can make one up."""

    def forged(self, organization: Organization, held: str, **changes: Any) -> str:
        parsed = AuthorizationId.parse(held, org_id=organization.id)
        facts = {name: getattr(parsed, name) for name in AuthorizationId.__slots__}
        return str(AuthorizationId(**facts | changes))

    @pytest.mark.parametrize(
        "changes",
        [
            {"source": "included"},
            {"period": "2031-01"},
            {"amount_nanos": 1},
            {"amount_nanos": 2**64 - 1},
            {"home": "pool"},
            {"seat_tier": "standard"},
            {"exhausted_minutes": 300},
            {"key": hold_key(datetime(2050, 1, 1, tzinfo=UTC), b"abcdef")},
        ],
        ids=str,
    )
    def test_neither_moves_money_out_of_the_books(
        self, app: Application, acme: Organization, changes: dict[str, Any]
    ) -> None:
        held = app.held(acme)
        forged = self.forged(acme, held, **changes)

        app.record(acme, usage_event("msg_1", forged))
        app.release(acme.service_key, forged)
        app.extend(acme.service_key, forged, {"ttl_seconds": 60})
        app.release(acme.service_key, held)

        # `lines` proves that they agree with the counters.
        filed = {(line.source, line.seat_tier, line.because) for line in app.lines(acme)}
        assert filed <= {("extra_usage", "premium", "no_included_allowance")}
        budget = app.budget(acme)
        assert (budget.held, budget.included, dict(budget.holds)) == (0, 0, {})

    def test_a_moment_beyond_the_calendar_is_not_found(
        self, app: Application, acme: Organization
    ) -> None:
        key = base64.urlsafe_b64encode(b"\xff" * 12).decode()
        forged = self.forged(acme, app.held(acme), key=key)

        (result,) = app.record(acme, usage_event("msg_1", forged))

        assert result["error"]["type"] == "not_found_error"
        assert app.release(acme.service_key, forged).status == 404


class TestUsageEvents:
    def test_a_hundred_and_one_events_are_refused_together(
        self, app: Application, acme: Organization
    ) -> None:
        events = [usage_event(f"msg_{index}") for index in range(101)]

        answer = app.post_events(acme.service_key, {"events": events})

        assert refused_field(answer) == "events"
        assert app.lines(acme) == []

    @pytest.mark.parametrize(
        "body",
        [{}, {"events": None}, {"events": []}, {"events": {}}, {"events": "x"}],
        ids=str,
    )
    def test_a_batch_without_events_is_refused(
        self, app: Application, acme: Organization, body: Any
    ) -> None:
        assert refused_field(app.post_events(acme.service_key, body)) == "events"

    def test_a_batch_with_an_unknown_member_is_refused(
        self, app: Application, acme: Organization
    ) -> None:
        body = {"events": [usage_event("msg_1")], "dry_run": True}

        assert refused_field(app.post_events(acme.service_key, body)) == "dry_run"
        assert app.lines(acme) == []

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"id": None}, "id"),
            ({"id": ""}, "id"),
            ({"id": 1}, "id"),
            ({"id": "msg 1"}, "id"),
            ({"id": "msg_é"}, "id"),
            ({"id": LONE_SURROGATE}, "id"),
            ({"id": "x" * 10_000}, "id"),
            ({"user_id": "user_../ben"}, "user_id"),
            ({"user_id": "user_nobody"}, "user_id"),
            ({"model": ""}, "model"),
            ({"model": LONE_SURROGATE}, "model"),
            ({"product": ""}, "product"),
            ({"product": "x" * 65}, "product"),
            ({"product": LONE_SURROGATE}, "product"),
            ({"authorization_id": 1}, "authorization_id"),
            ({"unknown": 1}, "unknown"),
            ({"usage": {"input_tokens": 1, "output_tokens": 1, "x": "y" * 190_000}}, "usage"),
            ({"usage": {"input_tokens": 1, "output_tokens": 1, "x": nested(900)}}, "usage"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_the_wrong_field_is_named_and_nothing_is_recorded(
        self, app: Application, acme: Organization, changes: dict[str, Any], field: str
    ) -> None:
        bad = usage_event("msg_1") | changes

        results = app.record(acme, bad, usage_event("msg_2"))

        assert [result["status"] for result in results] == ["rejected", "recorded"]
        assert results[0].keys() == {"type", "id", "status", "error"}
        assert results[0]["error"].keys() == {"type", "message"}
        assert results[0]["error"]["message"].startswith(f"{field}: ")
        assert [line.event_id for line in app.lines(acme)] == ["msg_2"]

    @pytest.mark.parametrize("depth", [16, 880, 920, 960, 2_000, 20_000])
    def test_no_depth_of_nesting_is_a_crash(
        self, app: Application, acme: Organization, depth: int
    ) -> None:
        """The reader's limit is a matter of how deep we are ourselves when it is called."""
        deep = "[" * depth + "]" * depth
        event = json.dumps(usage_event("msg_1", usage={"input_tokens": 1, "output_tokens": 1}))
        body = event.replace('"output_tokens": 1', f'"output_tokens": 1, "x": {deep}')

        answer = app.post_events(acme.service_key, f'{{"events": [{body}]}}')

        if answer.status == 200:
            (result,) = answer.body["results"]
            assert result["error"]["message"].startswith("usage: ")
        else:
            assert refused_field(answer) == "body"

    def test_usage_may_nest_as_deep_as_sixteen_levels(
        self, app: Application, acme: Organization
    ) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1, "x": nested(15)}

        (result,) = app.record(acme, usage_event("msg_1", usage=usage))

        assert result["status"] == "recorded"

    def test_a_number_beyond_any_float_is_refused(
        self, app: Application, acme: Organization
    ) -> None:
        """It would be read as infinity, which JSON cannot say again."""
        event = json.dumps(usage_event("msg_1")).replace(
            '"output_tokens"', '"x": 1e999, "output_tokens"'
        )

        answer = app.post_events(acme.service_key, f'{{"events": [{event}]}}')

        assert refused_field(answer) == "body"

    def test_usage_kept_as_it_came_may_hold_any_text(
        self, app: Application, acme: Organization
    ) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1, "x": ["é", "\U0001f600", LONE_SURROGATE]}

        (result,) = app.record(acme, usage_event("msg_1", usage=usage))

        assert result["status"] == "recorded"
        (line,) = app.lines(acme)
        assert line.usage == usage

    def test_an_occurred_at_of_any_zone_is_one_moment(
        self, app: Application, acme: Organization
    ) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        there = (now + timedelta(hours=5, minutes=45)).strftime("%Y-%m-%dt%H:%M:%S.123456789+05:45")

        (result,) = app.record(acme, usage_event("msg_1", occurred_at=there))

        assert result["status"] == "recorded"
        (line,) = app.lines(acme)
        assert line.occurred_at == now.strftime("%Y-%m-%dT%H:%M:%S.123456Z#msg_1")


@pytest.mark.parametrize("key", ["\ud800", "\x00", "sk é"])
def test_a_key_of_odd_characters_is_unknown(app: Application, key: str) -> None:
    assert app.post_authorization(key, asked()).refusal == (401, "authentication_error")
