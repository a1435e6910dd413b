"""The examples that an admin presses "Test" with do what they say, on functions as deployed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.administer_organization import handler as administer_organization
from functions.digest_requests import handler as digest_requests
from functions.follow_spend import handler as follow_spend
from functions.publish_events import handler as publish_events
from functions.serve_documents import handler as serve_documents
from functions.serve_member import handler as serve_member
from tests.in_process import Answer, Application, Context, Organization, sample


def invoke(module: Any, name: str, **changes: Any) -> dict[str, Any]:
    answer: dict[str, Any] = module.handler(sample(name) | changes, Context())
    return answer


@pytest.mark.parametrize("name", ["get_extra_usage", "set_spend_limit"])
def test_an_owners_examples_need_nothing_but_a_key(
    app: Application, acme: Organization, name: str
) -> None:
    event = sample(f"administer_organization/{name}")
    event["headers"]["x-api-key"] = acme.admin_key

    answer = Answer.read(administer_organization.handler(event, Context()))  # type: ignore[arg-type]

    assert answer.status == 200
    assert (
        answer.body["type"]
        == {
            "get_extra_usage": "extra_usage",
            "set_spend_limit": "spend_limit",
        }[name]
    )


def test_a_members_example_needs_their_token(app: Application) -> None:
    answer = Answer.read(invoke(serve_member, "serve_member/get_extra_usage"))

    assert answer.refusal == (401, "authentication_error")


def test_everybody_may_read_the_document() -> None:
    answer = invoke(serve_documents, "serve_documents/get_openapi")

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["openapi"].startswith("3.")


def test_the_streams_example_is_a_hold_that_was_taken(
    app: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(follow_spend, "follow_spend/budget_changed") == {"batchItemFailures": []}

    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert told["HeldNanos"] == [21_000_000.0]
    assert "SettledNanos" not in told


def test_the_announcements_example_is_a_limit_that_was_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[Any] = []
    monkeypatch.setattr(publish_events.bus, "publish", published.extend)

    invoke(publish_events, "publish_events/limit_changed")

    (event,) = published
    assert event.detail_type == "spend_limit.changed"
    assert event.detail["after"]["spend_limit"] == "50000"


def test_the_digest_finds_nobody_waiting(app: Application) -> None:
    assert invoke(digest_requests, "digest_requests/schedule") == {"organizations": 0}
