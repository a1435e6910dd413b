"""What an owner says of the organization's requests holds for the next one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from functions.administer_organization import handler as administer_organization
from tests.every_route import MEMBER, Site

PRICING = "/v1/organizations/pricing"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5"
HAIKU, OPUS = "claude-haiku-4-5", "claude-opus-5"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def put(site: Site, **said: Any) -> dict[str, Any]:
    answer = site.call("PUT", PRICING, said)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def held(site: Site, **changes: Any) -> Fraction:
    """Return the cents that are held for a request."""
    asked = {"user_id": MEMBER, "model": OPUS, "input_tokens": 1000, "max_tokens": 100}
    answer = site.call("POST", "/v1/authorizations", asked | changes)
    assert answer.status == 200, answer.body
    return Fraction(answer.body["amount"])


def refused_field(site: Site, body: object) -> str:
    answer = site.call("PUT", PRICING, body)
    assert answer.refusal == (400, "invalid_request_error")
    return str(answer.error["details"]["field"])


def test_a_repeat_waits_as_well_whose_first_try_died_before_it_waited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the change is written, and whoever meters may still remember the old terms."""
    before = held(site)
    with monkeypatch.context() as dying:
        dying.setattr(administer_organization, "pause", lambda seconds: None)
        put(site, default_inference_geo="us")
    assert held(site) == before

    put(site, default_inference_geo="us")

    assert held(site) == before * Fraction(11, 10)


def test_an_organization_that_said_nothing_has_the_defaults(site: Site) -> None:
    assert site.call("GET", PRICING).body == {
        "type": "pricing",
        "model_aliases": {},
        "default_inference_geo": "global",
        "loop_rounds": 4,
    }


def test_what_is_left_out_stays(site: Site) -> None:
    put(site, model_aliases={PROFILE: HAIKU}, loop_rounds=7)
    put(site, default_inference_geo="us")

    shown = put(site, loop_rounds=3)

    assert shown == site.call("GET", PRICING).body
    assert shown == {
        "type": "pricing",
        "model_aliases": {PROFILE: HAIKU},
        "default_inference_geo": "us",
        "loop_rounds": 3,
    }


def test_names_are_set_all_together(site: Site) -> None:
    put(site, model_aliases={PROFILE: HAIKU, "house-model": OPUS})

    assert put(site, model_aliases={"house-model": HAIKU})["model_aliases"] == {
        "house-model": HAIKU
    }
    assert put(site, model_aliases={})["model_aliases"] == {}


def test_an_aliased_profile_is_held_for_and_charged_as_its_model(site: Site) -> None:
    asked = {"user_id": MEMBER, "model": PROFILE, "input_tokens": 1000, "max_tokens": 100}
    refused = site.call("POST", "/v1/authorizations", asked)
    assert (refused.status, refused.error["details"]["field"]) == (400, "model")
    put(site, model_aliases={PROFILE: HAIKU})

    hold = site.call("POST", "/v1/authorizations", asked).body
    event = {
        "id": "msg_1",
        "authorization_id": hold["id"],
        "user_id": MEMBER,
        "model": PROFILE,
        "occurred_at": site.now.isoformat(),
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }
    (result,) = site.call("POST", "/v1/usage/events", {"events": [event]}).body["results"]
    (line,) = site.call("GET", "/v1/me/usage").body["data"]

    assert Fraction(hold["amount"]) == held(site, model=HAIKU)
    # 1 and 5 USD a million tokens.
    assert (result["status"], result["amount"]) == ("recorded", "0.15")
    assert (line["model"], line["model_named"]) == (HAIKU, PROFILE)


def test_a_hold_is_prolonged_whose_model_has_lost_its_name(site: Site) -> None:
    """More of it cannot be priced any more; more time costs nothing."""
    put(site, model_aliases={PROFILE: HAIKU})
    asked = {"user_id": MEMBER, "model": PROFILE, "input_tokens": 1000, "max_tokens": 100}
    hold = site.call("POST", "/v1/authorizations", asked).body
    put(site, model_aliases={})

    def extended(**wanted: int) -> Any:
        rule = "/v1/authorizations/<authorization_id>/extend"
        return site.call("POST", rule, wanted, authorization_id=hold["id"])

    longer = extended(ttl_seconds=1200)
    assert (longer.status, longer.body["amount"]) == (200, hold["amount"])
    larger = extended(max_tokens=200)
    assert (larger.status, larger.error["details"]["field"]) == (400, "model")


def test_an_alias_is_known_as_an_advisor_and_as_a_fallback(site: Site) -> None:
    put(site, model_aliases={PROFILE: HAIKU})

    for asked in ("advisor", "fallbacks"):
        terms = {"model": PROFILE}, {"model": HAIKU}
        named, plain = ([each] if asked == "fallbacks" else each for each in terms)
        assert held(site, **{asked: named}) == held(site, **{asked: plain})


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        (OPUS, Fraction(11, 10)),
        ("claude-sonnet-4-6", Fraction(11, 10)),
        # From before there was the parameter.
        ("claude-sonnet-4-5", Fraction(1)),
        (HAIKU, Fraction(1)),
    ],
)
def test_a_default_geography_raises_the_hold_where_the_model_knows_it(
    site: Site, model: str, factor: Fraction
) -> None:
    before = held(site, model=model)
    put(site, default_inference_geo="us")

    assert held(site, model=model) == before * factor
    # What a request says for itself goes before the default.
    assert held(site, model=model, inference_geo="global") == before


def test_the_rounds_of_a_tool_loop_are_held_for(site: Site) -> None:
    tools: dict[str, Any] = {"server_tools": {"web_fetch": {}}}
    written = Fraction(1000) * 10 / 10_000  # 10 USD a million tokens for an hour in the cache.
    put(site, loop_rounds=1)
    once = held(site, **tools)
    put(site, loop_rounds=20)

    assert held(site, **tools) - once == 19 * written
    # A request without such tools is held for as ever.
    plain = held(site)
    put(site, loop_rounds=1)
    assert held(site) == plain


def test_a_change_is_audited_once(site: Site) -> None:
    put(site, default_inference_geo="us")
    put(site, default_inference_geo="us")

    entries = [
        entry
        for entry in site.call("GET", "/v1/organizations/audit").body["data"]
        if entry["action"] == "pricing.changed"
    ]

    (entry,) = entries
    assert entry["before"] == {"pricing.default_inference_geo": "global"}
    assert entry["after"] == {"pricing.default_inference_geo": "us"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ([], "body"),
        ({"aliases": {}}, "aliases"),
        ({"model_aliases": None}, "model_aliases"),
        ({"model_aliases": []}, "model_aliases"),
        ({"model_aliases": {f"name-{number}": OPUS for number in range(51)}}, "model_aliases"),
        ({"model_aliases": {"": OPUS}}, "model_aliases"),
        ({"model_aliases": {"two words": OPUS}}, "model_aliases"),
        ({"model_aliases": {"modèle": OPUS}}, "model_aliases"),
        ({"model_aliases": {"line\n": OPUS}}, "model_aliases"),
        ({"model_aliases": {"a" * 129: OPUS}}, "model_aliases"),
        ({"model_aliases": {"house": None}}, "model_aliases.house"),
        ({"model_aliases": {"house": 7}}, "model_aliases.house"),
        ({"model_aliases": {"house": "gpt-4"}}, "model_aliases.house"),
        ({"model_aliases": {"house": PROFILE}}, "model_aliases.house"),
        # What the price book knows, however it is spelled, or is to know one day.
        ({"model_aliases": {OPUS: HAIKU}}, f"model_aliases.{OPUS}"),
        (
            {"model_aliases": {"us.anthropic.claude-opus-5-v1:0": HAIKU}},
            "model_aliases.us.anthropic.claude-opus-5-v1:0",
        ),
        ({"model_aliases": {"claude-opus-6": HAIKU}}, "model_aliases.claude-opus-6"),
        ({"default_inference_geo": None}, "default_inference_geo"),
        ({"default_inference_geo": "eu"}, "default_inference_geo"),
        ({"default_inference_geo": ["us"]}, "default_inference_geo"),
        ({"loop_rounds": None}, "loop_rounds"),
        ({"loop_rounds": 0}, "loop_rounds"),
        ({"loop_rounds": 21}, "loop_rounds"),
        ({"loop_rounds": True}, "loop_rounds"),
        ({"loop_rounds": 4.0}, "loop_rounds"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_named_and_changes_nothing(site: Site, body: object, field: str) -> None:
    put(site, model_aliases={"old": HAIKU}, loop_rounds=9)
    before = site.state()

    assert refused_field(site, body) == field
    assert site.state() == before


def test_as_many_and_as_long_names_as_allowed_are_taken(site: Site) -> None:
    names = {f"{number:02}-{'n' * 125}": OPUS for number in range(50)}

    assert put(site, model_aliases=names)["model_aliases"] == names
    assert held(site, model=max(names)) == held(site)
