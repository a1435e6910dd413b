"""Whatever body is thrown at the routes, they answer as the contract has it: never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.in_process import Application, Organization, application, sample_body, usage_event

texts = st.text(max_size=20) | st.sampled_from(["user_ada", "claude-sonnet-4-5", "\ud800", "0"])
numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 10**9, 10**9 + 1, 2**63, 10**300])
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn, document: Any) -> Any:
    """Replace, drop or add members of a good document, here or further down."""
    changed = dict(document)
    for name in draw(st.lists(st.sampled_from(sorted(changed)), max_size=2, unique=True)):
        inner = changed[name]
        match draw(st.sampled_from(["replace", "drop", "inside"])):
            case "replace":
                changed[name] = draw(documents)
            case "drop":
                del changed[name]
            case "inside":
                changed[name] = draw(spoilt(inner)) if isinstance(inner, dict) else draw(scalars)
    if draw(st.booleans()):
        changed[draw(texts)] = draw(documents)
    return changed


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Application, Organization]]:
    with application() as app:
        yield app, app.provision()


@given(body=documents | spoilt(sample_body("authorize_spend/create_authorization")))
def test_authorizations(running: tuple[Application, Organization], body: Any) -> None:
    app, acme = running

    answer = app.post_authorization(acme.service_key, json.dumps(body))

    assert answer.status in (200, 400, 404, 429)
    if answer.status == 200:
        app.release(acme.service_key, answer.body["id"])


@given(
    body=documents
    | st.lists(spoilt(usage_event("msg_1")), max_size=3).map(lambda events: {"events": events})
)
def test_usage_events(running: tuple[Application, Organization], body: Any) -> None:
    app, acme = running

    answer = app.post_events(acme.service_key, json.dumps(body))

    assert answer.status in (200, 400)
    if answer.status == 200:
        results = answer.body["results"]
        assert len(results) == len(body["events"])
        assert {result["status"] for result in results} <= {"recorded", "duplicate", "rejected"}
        assert all(("error" in result) == (result["status"] == "rejected") for result in results)


@given(body=st.text() | st.binary())
def test_bodies_that_need_not_even_be_json(
    running: tuple[Application, Organization], body: str | bytes
) -> None:
    app, acme = running

    for answer in (
        app.post_authorization(acme.service_key, body),
        app.post_events(acme.service_key, body),
    ):
        assert answer.status == 400
