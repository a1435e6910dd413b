"""What every member of every body means when it is left out, null, "0", or empty: one table.

Nothing that guards money is lifted by what is not said. What is left out keeps what was set, or
has the default that the row names, or is a 400 that names the member; null is a value only where
the contract gives it a meaning. The table is complete, and the OpenAPI document says the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema_rs
import pytest

from headroom.organizations.domain.mail_topics import TOPICS
from headroom.pricing.domain.requests import SERVER_TOOLS
from tests.every_route import MEMBER, ROUTES, Site
from tests.fake_payments import GOOD_CARD
from tests.in_process import Answer
from tools.build_openapi import DOCUMENT

ABSENT: Final = object()
FORMS: Final[Mapping[str, Any]] = {
    "absent": ABSENT,
    "null": None,
    "zero": "0",
    "empty": "",
    "list": [],
    "object": {},
}
ANY: Final = object()


@dataclass(frozen=True)
class Means:
    """It is accepted: what that means, and what the answer then shows, where it shows it."""

    words: str
    shows: Any = ANY


# A refusal by its status; a 400 names the member, and nothing is stored by any of them.
Outcome = Means | int
TAKEN: Final = Means("the value itself")
AS_ABSENT: Final = Means("as if left out")
UNPRICED: Final = Means("kept until it has a price")
# It only explains: another form than the document's changes nothing.
UNEXPLAINED: Final = Means("as if left out, and no form that the document has")


@dataclass(frozen=True)
class Row:
    """What each form of one member means. Most are wrong in most forms."""

    member: str
    absent: Outcome = 400
    null: Outcome = 400
    zero: Outcome = 400
    empty: Outcome = 400
    list: Outcome = 400
    object: Outcome = 400


def optional(member: str, words: str, shows: Any = ANY, **others: Outcome) -> Row:
    """A member that may be left out, and that null leaves out too."""
    meaning = Means(words, shows)
    return Row(member, **{"absent": meaning, "null": meaning, **others})


def explained(member: str, words: str, forms: Outcome = UNPRICED, **others: Outcome) -> Row:
    """An optional member of usage beside its figures: usage that has happened is not rejected."""
    every = dict.fromkeys(("zero", "empty", "list", "object"), forms)
    return optional(member, words, **{**every, **others})


def kept(member: str, shows: Any, **others: Outcome) -> Row:
    """A setting: left out it stays as it is, and null is no value of it."""
    return Row(member, **{"absent": Means("stays as it is", shows), **others})


def next_time(member: str, shows: Any) -> Row:
    """A figure that is said while it is off: it is there the next time."""
    return optional(member, "stays for the next time", shows, zero=Means("the value itself", "0"))


def limit(member: str, **others: Outcome) -> Row:
    """A limit that has to be said."""
    said: dict[str, Outcome] = {
        "null": Means("unlimited", None),
        "zero": Means("nothing beyond what the seat includes", "0"),
    }
    return Row(member, **{**said, **others})


@dataclass(frozen=True)
class Scene:
    """One body of a route with every member given, and what has happened before it is sent."""

    method: str
    rule: str
    body: dict[str, Any]
    rows: tuple[Row, ...]
    note: str = ""
    plan: str = "enterprise"
    # Returns the path's parameters.
    before: Callable[[Site], dict[str, str]] = lambda site: {}
    headers: Mapping[str, str] = field(default_factory=dict)
    # Where the answer shows what was taken.
    shown_in: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.rule}{f' ({self.note})' if self.note else ''}"

    def send(self, site: Site, body: dict[str, Any], parameters: dict[str, str]) -> Answer:
        return site.call(self.method, self.rule, body, headers=self.headers, **parameters)


ORGANIZATION: Final = "/v1/organizations"
HOLD: Final[dict[str, Any]] = {
    "user_id": MEMBER,
    "model": "claude-sonnet-4-5",
    "input_tokens": 10,
    "max_tokens": 1000,
    "min_tokens": 100,
    "web_search_requests": 1,
    "service_tier": "standard",
    "use_extra_usage": True,
    "ttl_seconds": 60,
}
# All that can make a request dearer, for a model that is sold with all of it.
DEAR: Final[dict[str, Any]] = {
    "user_id": MEMBER,
    "model": "claude-opus-5-5",
    "input_tokens": 10,
    "max_tokens": 100,
    "speed": "fast",
    "inference_geo": "us",
    "cache_lifetimes": ["5m"],
    "compaction": {"trigger": 50_000},
    "advisor": {"model": "claude-fable-5-1", "max_uses": 2, "max_tokens": 100},
    "fallbacks": [{"model": "claude-opus-5", "max_tokens": 100, "speed": "fast"}],
    "server_tools": {tool: {"max_uses": 2} for tool in SERVER_TOOLS},
}
SET_BEFORE: Final = {
    "enabled": True,
    "threshold": "1000",
    "amount": "5000",
    "monthly_limit": "20000",
}


def held(site: Site) -> dict[str, str]:
    return {"authorization_id": accepted(site.call("POST", "/v1/authorizations", HOLD))["id"]}


def reloading(site: Site) -> dict[str, str]:
    accepted(site.call("PUT", f"{ORGANIZATION}/wallet/auto_reload", SET_BEFORE))
    return {}


def with_card(site: Site) -> dict[str, str]:
    asked = {"amount": "1000", "payment_method": GOOD_CARD}
    key = {"idempotency-key": "first"}
    accepted(site.call("POST", f"{ORGANIZATION}/wallet/top_ups", asked, headers=key))
    return {}


def asking(site: Site) -> dict[str, str]:
    rule = "/v1/me/spend_limit_increase_requests"
    return {"request_id": accepted(site.call("POST", rule, {}))["id"]}


def with_endpoint(site: Site) -> dict[str, str]:
    hook = {"url": "https://old.example/", "description": "Books", "event_types": ["wallet.low"]}
    made = accepted(site.call("POST", f"{ORGANIZATION}/webhook_endpoints", hook))
    return {"endpoint_id": made["id"]}


def with_pricing(site: Site) -> dict[str, str]:
    said = {
        "model_aliases": {"old": "claude-haiku-4-5"},
        "default_inference_geo": "us",
        "loop_rounds": 9,
    }
    accepted(site.call("PUT", f"{ORGANIZATION}/pricing", said))
    return {}


def accepted(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return dict(answer.body)


def set_limit(scope: dict[str, str], *rows: Row) -> Scene:
    return Scene(
        "POST",
        f"{ORGANIZATION}/spend_limits",
        {"scope": scope, "amount": "500", "period": "monthly"},
        (
            Row("scope"),
            Row("scope.type"),
            *rows,
            limit("amount"),
            optional("period", "monthly", "monthly"),
        ),
        note=scope["type"],
    )


SCENES: Final = (
    Scene(
        "POST",
        "/v1/authorizations",
        HOLD,
        (
            Row("user_id"),
            Row("model"),
            Row("input_tokens"),
            Row("max_tokens"),
            optional("min_tokens", "all of max_tokens or nothing"),
            optional("web_search_requests", "none is held for"),
            optional("service_tier", "standard"),
            optional("use_extra_usage", "the member's own choice"),
            optional("ttl_seconds", "600"),
        ),
    ),
    Scene(
        "POST",
        "/v1/authorizations",
        DEAR,
        (
            optional("speed", "standard"),
            optional("inference_geo", "the organization's default"),
            optional("cache_lifetimes", "any, so the dearest", list=Means("none is written")),
            optional("compaction", "it is not compacted", object=Means("at the API's default")),
            optional("compaction.trigger", "the API's default"),
            optional("advisor", "none"),
            Row("advisor.model"),
            optional("advisor.max_uses", "each round of the loop"),
            optional("advisor.max_tokens", "4096"),
            optional("fallbacks", "none", list=AS_ABSENT),
            Row("fallbacks.0.model"),
            optional("fallbacks.0.max_tokens", "the request's"),
            optional("fallbacks.0.speed", "the request's, where it is sold"),
            optional("server_tools", "none", object=AS_ABSENT),
            *(
                row
                for tool in SERVER_TOOLS
                for row in (
                    optional(f"server_tools.{tool}", "not given", object=Means("without a limit")),
                    optional(f"server_tools.{tool}.max_uses", "without a limit"),
                )
            ),
        ),
        note="all that can make it dearer",
    ),
    Scene(
        "POST",
        "/v1/authorizations/<authorization_id>/extend",
        {"ttl_seconds": 120, "max_tokens": 2000},
        (
            optional("ttl_seconds", "not prolonged; one of the two must be given"),
            optional("max_tokens", "not enlarged; one of the two must be given"),
        ),
        before=held,
    ),
    Scene(
        "POST",
        "/v1/usage/events",
        {
            "events": [
                {
                    "id": "msg_1",
                    "authorization_id": "auth_unknown",
                    "user_id": MEMBER,
                    "model": "claude-sonnet-4-5",
                    "product": "chat",
                    "occurred_at": "2026-11-23T12:00:00Z",
                    "usage": {
                        "input_tokens": 10,
                        "output_tokens": 10,
                        "cache_read_input_tokens": 10,
                        "cache_creation_input_tokens": 0,
                        "cache_creation": {
                            "ephemeral_5m_input_tokens": 0,
                            "ephemeral_1h_input_tokens": 0,
                        },
                        "server_tool_use": {"web_search_requests": 1},
                        "service_tier": "standard",
                        "speed": "standard",
                        "inference_geo": "global",
                        "iterations": [
                            {
                                "type": "message",
                                "model": "claude-sonnet-4-5",
                                "input_tokens": 10,
                                "output_tokens": 10,
                                "cache_read_input_tokens": 10,
                                "cache_creation_input_tokens": 0,
                                "cache_creation": {
                                    "ephemeral_5m_input_tokens": 0,
                                    "ephemeral_1h_input_tokens": 0,
                                },
                            }
                        ],
                        "fallback_credit": {"status": {"type": "redeemed"}},
                    },
                    "stop_reason": "end_turn",
                }
            ]
        },
        (
            Row("events"),
            Row("events.0.id", zero=TAKEN),
            optional("events.0.authorization_id", "charged on arrival", zero=404),
            Row("events.0.user_id"),
            Row("events.0.model", zero=UNPRICED),
            optional("events.0.product", "none", zero=TAKEN),
            Row("events.0.occurred_at"),
            Row("events.0.usage"),
            Row("events.0.usage.input_tokens", null=Means("0")),
            Row("events.0.usage.output_tokens", null=Means("0")),
            optional("events.0.usage.cache_read_input_tokens", "0"),
            optional("events.0.usage.cache_creation_input_tokens", "0"),
            optional(
                "events.0.usage.cache_creation", "all of them five-minute ones", object=AS_ABSENT
            ),
            optional("events.0.usage.cache_creation.ephemeral_5m_input_tokens", "0"),
            optional("events.0.usage.cache_creation.ephemeral_1h_input_tokens", "0"),
            optional("events.0.usage.server_tool_use", "none", object=AS_ABSENT),
            optional("events.0.usage.server_tool_use.web_search_requests", "0"),
            explained("events.0.usage.service_tier", "standard"),
            explained("events.0.usage.speed", "standard, where no name says another"),
            explained("events.0.usage.inference_geo", "anywhere", empty=AS_ABSENT),
            explained("events.0.usage.iterations", "one sampling", list=AS_ABSENT),
            explained("events.0.usage.iterations.0.type", "", absent=UNPRICED, null=UNPRICED),
            explained("events.0.usage.iterations.0.model", "the model that was asked"),
            *(
                explained(f"events.0.usage.iterations.0.{count}", "0")
                for count in (
                    "input_tokens",
                    "output_tokens",
                    "cache_read_input_tokens",
                    "cache_creation_input_tokens",
                    "cache_creation.ephemeral_5m_input_tokens",
                    "cache_creation.ephemeral_1h_input_tokens",
                )
            ),
            explained(
                "events.0.usage.iterations.0.cache_creation",
                "all of them five-minute ones",
                object=AS_ABSENT,
            ),
            explained("events.0.usage.fallback_credit", "none", UNEXPLAINED, object=AS_ABSENT),
            explained(
                "events.0.usage.fallback_credit.status", "none", UNEXPLAINED, object=AS_ABSENT
            ),
            optional(
                "events.0.usage.fallback_credit.status.type",
                "none was redeemed",
                zero=AS_ABSENT,
                empty=AS_ABSENT,
                list=AS_ABSENT,
                object=AS_ABSENT,
            ),
            optional("events.0.stop_reason", "it is not known that it was refused", zero=TAKEN),
        ),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/extra_usage/members",
        {"mode": "selected"},
        (Row("mode"),),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/extra_usage/requests",
        {"enabled": False},
        (Row("enabled"),),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/pricing",
        {
            "model_aliases": {"new": "claude-opus-5"},
            "default_inference_geo": "global",
            "loop_rounds": 6,
        },
        (
            kept("model_aliases", {"old": "claude-haiku-4-5"}, object=Means("no names", {})),
            kept("default_inference_geo", "us"),
            kept("loop_rounds", 9),
        ),
        before=with_pricing,
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/spend_limit",
        {"amount": "500"},
        (limit("amount"),),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/seat_tiers/<seat_tier>/spend_limit",
        {"amount": "500", "period": "monthly"},
        (limit("amount"), optional("period", "monthly", "monthly")),
        before=lambda site: {"seat_tier": "standard"},
    ),
    Scene(
        "POST",
        f"{ORGANIZATION}/members",
        {
            "user_id": "user_new",
            "name": "New",
            "email": "new@site.example",
            "role": "admin",
            "seat_tier": "premium",
            "extra_usage": True,
            "continue_with_extra_usage": True,
        },
        (
            optional("user_id", "made from the address"),
            Row("name", zero=TAKEN),
            Row("email"),
            Row("role", absent=Means("member", "member")),
            Row("seat_tier", absent=Means("standard", "standard")),
            optional("extra_usage", "not admitted", False),
            optional("continue_with_extra_usage", "not chosen", False),
        ),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/members/<user_id>",
        {"extra_usage": False, "seat_tier": "premium", "role": "admin"},
        (
            kept("extra_usage", True),
            kept("seat_tier", "standard"),
            kept("role", "member"),
        ),
        before=lambda site: {"user_id": MEMBER},
    ),
    Scene(
        "POST",
        f"{ORGANIZATION}/api_keys",
        {"name": "Books", "scopes": ["read:billing"]},
        (Row("name", zero=TAKEN), Row("scopes")),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/notifications",
        {"mail": dict.fromkeys(TOPICS, False)},
        (Row("mail"), *(kept(f"mail.{topic}", True) for topic in TOPICS)),
    ),
    Scene(
        "POST",
        f"{ORGANIZATION}/wallet/top_ups",
        {"amount": "1000", "payment_method": GOOD_CARD},
        (
            Row("amount"),
            optional("payment_method", "the one that is saved", zero=429),
        ),
        plan="team",
        before=with_card,
        headers={"idempotency-key": "second"},
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/wallet/auto_reload",
        {"enabled": True, "threshold": "2000", "amount": "6000", "monthly_limit": "30000"},
        (
            Row("enabled"),
            Row("threshold", zero=Means("when nothing is left", "0")),
            Row("amount"),
            Row(
                "monthly_limit",
                absent=Means("stays as it is", "20000"),
                null=Means("unlimited", None),
            ),
        ),
        note="on",
        plan="team",
        before=reloading,
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/wallet/auto_reload",
        {"enabled": False, "threshold": "2000", "amount": "6000", "monthly_limit": "30000"},
        (
            Row("enabled"),
            next_time("threshold", "1000"),
            next_time("amount", "5000"),
            next_time("monthly_limit", "20000"),
        ),
        note="off",
        plan="team",
        before=reloading,
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/wallet/auto_reload",
        {"enabled": True, "threshold": "2000", "amount": "6000", "monthly_limit": "30000"},
        (
            Row("enabled"),
            Row("threshold", zero=Means("when nothing is left", "0")),
            Row("amount"),
            # There is no guard yet that absence could lift, and older programs name three members.
            optional("monthly_limit", "unlimited, until one is said", None),
        ),
        note="on, never set",
        plan="team",
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/wallet/auto_reload",
        {"enabled": False, "threshold": "2000", "amount": "6000", "monthly_limit": "30000"},
        (
            Row("enabled"),
            next_time("threshold", None),
            next_time("amount", None),
            next_time("monthly_limit", None),
        ),
        note="off, never set",
        plan="team",
    ),
    Scene(
        "POST",
        f"{ORGANIZATION}/webhook_endpoints",
        {"url": "https://new.example/", "description": "New", "event_types": ["wallet.low"]},
        (
            Row("url"),
            optional("description", "none", None, zero=TAKEN),
            optional("event_types", "every event", None),
        ),
    ),
    Scene(
        "PUT",
        f"{ORGANIZATION}/webhook_endpoints/<endpoint_id>",
        {
            "url": "https://new.example/",
            "description": "New",
            "event_types": ["invoice.paid"],
            "status": "disabled",
        },
        (
            kept("url", "https://old.example/"),
            kept("description", "Books", null=Means("taken away", None), zero=TAKEN),
            kept("event_types", ["wallet.low"], null=Means("every event", None)),
            kept("status", "enabled"),
        ),
        before=with_endpoint,
    ),
    set_limit({"type": "organization"}),
    set_limit({"type": "seat_tier", "seat_tier": "standard"}, Row("scope.seat_tier")),
    set_limit({"type": "user", "user_id": MEMBER}, Row("scope.user_id")),
    Scene(
        "POST",
        f"{ORGANIZATION}/spend_limit_increase_requests/<request_id>/approve",
        {"amount": "5000", "period": "monthly", "suppress_notification": True},
        (
            Row("amount", zero=Means("nothing beyond what the seat includes", "0")),
            optional("period", "the request's own", "monthly"),
            optional("suppress_notification", "the member is told"),
        ),
        before=asking,
        shown_in=("spend_limit",),
    ),
    Scene(
        "POST",
        f"{ORGANIZATION}/spend_limit_increase_requests/<request_id>/deny",
        {"suppress_notification": True},
        (optional("suppress_notification", "the member is told"),),
        before=asking,
    ),
    Scene(
        "PUT",
        "/v1/me/extra_usage",
        {"continue_with_extra_usage": False},
        (Row("continue_with_extra_usage"),),
    ),
    Scene(
        "POST",
        "/v1/me/spend_limit_increase_requests",
        {"period": "monthly", "note": "For the audit"},
        (
            optional("period", "monthly", "monthly"),
            optional("note", "none", None, zero=TAKEN),
        ),
    ),
)

CASES: Final = [
    pytest.param(scene, row, form, id=f"{scene}-{row.member}-{form}")
    for scene in SCENES
    for row in scene.rows
    for form in FORMS
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return loaded


def with_form(body: dict[str, Any], member: str, value: Any) -> dict[str, Any]:
    """Return a body with one member in another form."""
    changed = deepcopy(body)
    place: Any = changed
    *outer, last = member.split(".")
    for name in outer:
        place = place[int(name) if name.isdigit() else name]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return changed


def at(answer: Mapping[str, Any], member: str) -> Any:
    found: Any = answer
    for name in member.split("."):
        found = found[name]
    return found


def dotted(field: str) -> str:
    """Return a field's path as the table has it: `fallbacks[0].speed` is `fallbacks.0.speed`."""
    return re.sub(r"\[(\d+)\]", r".\1", field)


def outcome_of(answer: Answer) -> tuple[int, str]:
    """Return the status, and what a refusal names; an event's own result counts as an answer."""
    if answer.status == 200 and answer.body["type"] == "usage_events":
        (result,) = answer.body["results"]
        if result["status"] == "rejected":
            statuses = {"invalid_request_error": 400, "not_found_error": 404}
            named = result["error"]["message"].partition(": ")[0]
            return statuses[result["error"]["type"]], f"events.0.{dotted(named)}"
        return 200, ""
    if answer.status == 400:
        return 400, dotted(answer.error["details"]["field"])
    return answer.status, ""


@pytest.mark.parametrize(("scene", "row", "form"), CASES)
def test_each_form_of_each_member_means_what_the_table_says(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, row: Row, form: str
) -> None:
    site = Site(monkeypatch, scene.plan)
    parameters = scene.before(site)
    expected: Outcome = getattr(row, form)
    body = with_form(timed(scene.body, site), row.member, FORMS[form])
    before = deepcopy(site.state())

    answer = scene.send(site, body, parameters)

    status, named = outcome_of(answer)
    if isinstance(expected, Means):
        assert status == 200, answer.body
        shown = answer.body
        for name in scene.shown_in:
            shown = shown[name]
        if expected.shows is not ANY:
            assert at(shown, row.member) == expected.shows
    else:
        assert status == expected, answer.body
        # A payment that the processor declines is filed all the same.
        assert expected == 429 or site.state() == before
        if expected == 400:
            assert f"{named}.".startswith(f"{row.member}.")


def timed(body: dict[str, Any], site: Site) -> dict[str, Any]:
    """Let what is to have occurred now occur now, and without an authorization."""
    timed = deepcopy(body)
    for event in timed.get("events", ()):
        event["occurred_at"] = site.now.isoformat()
        event["authorization_id"] = None
    return timed


def test_every_member_of_every_body_has_its_row(document: dict[str, Any]) -> None:
    """A new route or member is put into the table, or this fails."""
    described = {
        (method.upper(), rule, member)
        for method, rule, schema in bodies(document)
        for member in members(document, schema)
    }
    tabled = {(scene.method, scene.rule, row.member) for scene in SCENES for row in scene.rows}

    assert tabled == described
    assert {(scene.method, scene.rule) for scene in SCENES} <= set(ROUTES)


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_the_openapi_document_admits_what_the_table_does(
    document: dict[str, Any], scene: Scene
) -> None:
    """`required` and null are in the document as they are in the answers."""
    (schema,) = (
        schema
        for method, rule, schema in bodies(document)
        if (method.upper(), rule) == (scene.method, scene.rule)
    )
    validator = jsonschema_rs.Draft202012Validator(
        {**schema, "components": document["components"]}, validate_formats=True
    )
    assert validator.is_valid(scene.body), [
        each.message for each in validator.iter_errors(scene.body)
    ]
    for row in scene.rows:
        # What "0" is worth is a matter of value, not of form; so is what has no price yet.
        for form in FORMS.keys() - {"zero"}:
            if getattr(row, form) in (UNPRICED, UNEXPLAINED):
                continue
            body = with_form(scene.body, row.member, FORMS[form])
            admitted = isinstance(getattr(row, form), Means)
            assert validator.is_valid(body) == admitted, (row.member, form)


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.method == "PUT"], ids=str)
def test_a_setting_that_says_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], scene: Scene
) -> None:
    site = Site(monkeypatch, scene.plan)
    parameters = scene.before(site)
    before = deepcopy(site.state())

    assert scene.send(site, {}, parameters).refusal == (400, "invalid_request_error")
    assert site.state() == before


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" in operation:
                rule = path.replace("{", "<").replace("}", ">")
                content = operation["requestBody"]["content"]
                yield method, rule, content["application/json"]["schema"]


def members(document: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Walk through the members that a schema names, however deep they are."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from members(document, document["components"]["schemas"][name], path)
    for kind in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(kind, ()):
            yield from members(document, each, path)
    if "items" in schema:
        yield from (member for member in members(document, schema["items"], f"{path}0.") if member)
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from members(document, inner, f"{path}{name}.")
