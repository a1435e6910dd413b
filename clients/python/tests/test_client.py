"""The client against the real functions: typed answers, errors, and repetitions that do no harm."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.python.tests.headroom_server import (
    LOST_REPLY,
    LOST_REQUEST,
    USER,
    Fault,
    HeadroomServer,
    envelope,
    wait_until,
)
from headroom_client import (
    AsyncClient,
    Authorization,
    Client,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    Outbox,
    RateLimited,
    Refused,
    Scope,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    UsageEvent,
    to_nanos,
)
from headroom_client.calls import repeat_authorization
from headroom_client.reading import authorization, usage_results

ASKED: dict[str, Any] = {
    "user_id": USER,
    "model": "claude-sonnet-4-5",
    "input_tokens": 1000,
    "max_tokens": 1000,
}
# 1,000 tokens written to the long-lived cache at 6 dollars a million, 1,000 of output at 15.
BOUND_NANOS = 1000 * 6_000 + 1000 * 15_000


def event(event_id: str, authorization: Authorization | None = None, **changes: Any) -> UsageEvent:
    fields: dict[str, Any] = {
        "id": event_id,
        "user_id": USER,
        "model": "claude-sonnet-4-5",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
        "occurred_at": datetime.now(UTC),
        "authorization_id": authorization.id if authorization else None,
        **changes,
    }
    return UsageEvent(**fields)


def test_a_request_is_authorized_extended_recorded_and_seen(
    client: Client, headroom: HeadroomServer
) -> None:
    held = client.authorize(**ASKED)
    larger = client.extend(held.id, max_tokens=2000, ttl_seconds=1200)
    (result,) = client.record([event("msg_1", held)])
    (again,) = client.record([event("msg_1", held, occurred_at=result_time(headroom))])

    assert (held.source, held.user_id, held.max_tokens) == ("extra_usage", USER, 1000)
    assert held.amount_nanos == BOUND_NANOS
    assert held.expires_at.tzinfo is not None
    assert larger.amount_nanos == BOUND_NANOS + 1000 * 15_000
    assert larger.expires_at > held.expires_at
    # 1,000 of input at 3 dollars, 100 of output at 15.
    assert result.amount_nanos == 1000 * 3_000 + 100 * 15_000
    assert (result.status, result.source, result.error_type) == ("recorded", "extra_usage", None)
    assert (again.status, again.amount) == ("duplicate", result.amount)
    assert headroom.budget().spent == result.amount_nanos
    assert headroom.holds() == 0


def test_what_makes_a_request_dearer_is_asked_for_and_the_answer_says_what_nobody_bounds(
    client: Client, headroom: HeadroomServer
) -> None:
    plain = client.authorize(**{**ASKED, "model": "claude-opus-5-5"}, cache_lifetimes=[])
    dear = client.authorize(
        **{**ASKED, "model": "claude-opus-5-5"},
        speed="fast",
        inference_geo="us",
        cache_lifetimes=[],
        advisor={"model": "claude-fable-5-1", "max_uses": 1},
        fallbacks="default",
        server_tools={"web_fetch": {"max_uses": 1}},
    )

    # A thousand tokens in at 4 dollars, and a thousand out at 20.
    assert plain.amount_nanos == 1000 * 4_000 + 1000 * 20_000
    assert (plain.bound_exact, plain.bound_because) == (True, ())
    assert dear.amount_nanos > plain.amount_nanos * 2 * 11 // 10
    assert not dear.bound_exact
    assert set(dear.bound_because) == {"server_tools", "advisor", "default_fallbacks"}


def test_a_term_that_no_authorization_has_is_a_slip_of_the_caller(
    client: Client, headroom: HeadroomServer
) -> None:
    with pytest.raises(TypeError, match="sped"):
        client.authorize(**ASKED, sped="fast")  # type: ignore[call-arg]
    assert headroom.asked == []


def test_an_older_headroom_says_nothing_of_its_bounds() -> None:
    answer = {
        **{"id": "auth_1", "user_id": USER, "model": "m", "source": "included", "amount": "1"},
        **{"max_tokens": 1, "expires_at": "2026-11-24T00:00:00Z", "period": "2026-11"},
        "limits": [],
    }
    assert authorization(answer).bound_exact
    inexact = {**answer, "bound": {"exact": False, "because": ["compaction"]}}
    assert authorization(inexact).bound_because == ("compaction",)
    for wrong in ("exact", {"exact": True, "because": [1]}):
        with pytest.raises(UnexpectedAnswer):
            authorization({**answer, "bound": wrong})


def test_what_has_no_price_yet_is_recorded_all_the_same() -> None:
    said = {"id": "msg_1", "status": "recorded", "source": "unpriced", "period": "2026-11"}
    (result,) = usage_results({"results": [{**said, "amount": None}]}, 1)

    assert (result.status, result.source, result.amount_nanos) == ("recorded", "unpriced", None)


def test_why_an_answer_ended_is_sent_with_its_usage(
    client: Client, headroom: HeadroomServer
) -> None:
    refused = event("msg_1", usage={"input_tokens": 5, "output_tokens": 1}, stop_reason="refusal")

    (result,) = client.record([refused])

    assert (result.status, result.amount_nanos) == ("recorded", 0)
    assert "stop_reason" not in json.loads(event("msg_2").to_json())


def result_time(headroom: HeadroomServer) -> datetime:
    (line,) = headroom.lines()
    return datetime.fromisoformat(line.occurred_at.partition("#")[0])


def test_a_release_gives_the_money_back_and_may_be_repeated(
    client: Client, headroom: HeadroomServer
) -> None:
    held = client.authorize(**ASKED)
    assert headroom.holds() == 1

    client.release(held.id)
    client.release(held.id)

    assert headroom.holds() == 0


def test_a_refusal_says_who_refused_when_it_resets_and_what_would_fit(
    client: Client, headroom: HeadroomServer
) -> None:
    with pytest.raises(Refused) as caught:
        client.authorize(**{**ASKED, "max_tokens": 100_000_000})

    refused = caught.value
    assert refused.reason == "organization_limit_reached"
    assert refused.scope == Scope("organization")
    assert refused.resets_at is not None
    assert refused.resets_at > datetime.now(UTC)
    # The cap of 10,000 cents less the input, at 15,000 nanos a token.
    assert refused.affordable_max_tokens == (10_000 * 10_000_000 - 6_000_000) // 15_000
    assert refused.next_steps
    assert not refused.retryable
    assert refused.request_id
    assert len(headroom.calls("POST", "/v1/authorizations")) == 1, "a refusal is never repeated"


def test_less_output_is_accepted_where_the_caller_allows_it(client: Client) -> None:
    held = client.authorize(**{**ASKED, "max_tokens": 100_000_000, "min_tokens": 1})

    assert held.max_tokens == (10_000 * 10_000_000 - 6_000_000) // 15_000


@pytest.mark.parametrize(
    "fault",
    [
        LOST_REQUEST,
        LOST_REPLY,
        Fault(502),
        Fault(503, {"retry-after": "0"}, envelope("overloaded_error")),
        Fault(500, {}, envelope("api_error")),
        Fault(429, {}, b'{"message": "Too Many Requests"}'),
    ],
    ids=lambda fault: f"{fault.status or 'silence'}-{'after' if fault.reached else 'before'}",
)
def test_what_is_no_answer_is_asked_again_and_holds_once(
    client: Client, headroom: HeadroomServer, fault: Fault
) -> None:
    """A lost reply above all: the second attempt must find the hold of the first."""
    headroom.faults = [fault, fault]

    held = client.authorize(**ASKED)

    calls = headroom.calls("POST", "/v1/authorizations")
    assert len(calls) == 3
    assert len({call[2]["idempotency-key"] for call in calls}) == 1
    assert len({call[3] for call in calls}) == 1
    assert headroom.holds() == 1
    assert next(iter(headroom.budget().holds.values())).amount_nanos == held.amount_nanos


# A call that is answered so is not repeated: it would have to wait longer than anybody's patience.
LATER = {"retry-after": "3600"}
FAILED_AFTER = Fault(503, LATER, reached=True)
FAILED_BEFORE = Fault(503, LATER)


@pytest.mark.parametrize(
    "fault",
    [LOST_REPLY, LOST_REQUEST, FAILED_AFTER, FAILED_BEFORE],
    ids=["reply lost", "request lost", "failed after", "failed before"],
)
def test_what_an_authorization_without_an_answer_holds_is_given_back_by_the_outbox(
    headroom: HeadroomServer, fault: Fault
) -> None:
    """Whether an attempt took the hold or not, nothing is held in the end."""
    # Of those that ask for patience one is enough, and the outbox must not meet another.
    headroom.faults = [fault] * (1 if fault.status else 1000)
    with Client(headroom.base_url, api_key=headroom.key, patience_seconds=0.5) as client:
        with pytest.raises(Unavailable) as caught:
            client.authorize(**ASKED)
        assert caught.value.may_be_done
        headroom.faults = []

        assert client.flush()
        assert client.outbox.parked() == []

    assert headroom.holds() == 0
    calls = headroom.calls("POST", "/v1/authorizations")
    assert len(calls) >= 2
    assert len({(call[2]["idempotency-key"], call[3]) for call in calls}) == 1, (
        "only the very same request finds the hold"
    )
    assert headroom.calls("DELETE", "/v1/authorizations/")


def test_an_answer_that_comes_too_late_is_an_answer_that_was_lost(
    headroom: HeadroomServer,
) -> None:
    """A busy machine: the hold is taken after the client gave up."""
    with Client(headroom.base_url, api_key=headroom.key, patience_seconds=0.3) as client:
        headroom.answering.clear()
        with pytest.raises(Unavailable):
            client.authorize(**ASKED)
        headroom.answering.set()

        assert client.flush()
    wait_until(lambda: headroom.holds() == 0)


@pytest.mark.parametrize("lost", ["told to release", "not told"])
def test_a_courier_that_dies_in_the_middle_of_giving_back_is_continued(
    headroom: HeadroomServer, tmp_path: Path, lost: str
) -> None:
    """It repeated the authorization, and was killed before or after it noted what to release."""
    place: dict[str, Any] = {"api_key": headroom.key, "outbox": tmp_path / "outbox.db"}
    first = Client(headroom.base_url, **place)
    first.courier.close()
    headroom.faults = [FAILED_AFTER]
    with pytest.raises(Unavailable):
        first.authorize(**ASKED)
    (entry,) = first.outbox.lease("give_back", 1)
    answer = first._line.attempt(repeat_authorization(entry.id, entry.body))
    if lost == "told to release":
        first.outbox.replace(entry, "release", answer["id"], entry.hold_until or 0)
    first._line.close()
    first.outbox.close()  # As at its death: nobody holds the lease any more.
    assert headroom.holds() == 1

    with Client(headroom.base_url, **place) as second:
        assert second.flush()
    assert headroom.holds() == 0


@pytest.mark.parametrize(
    "answer",
    [
        Fault(409, {}, envelope("conflict_error", "Idempotency-Key: it was used before")),
        Fault(400, {}, envelope("invalid_request_error", "model: has no price")),
        Fault(
            429,
            {},
            b'{"type":"error","error":{"type":"billing_error","message":"no",'
            b'"details":{"reason":"user_limit_reached","retryable":false}}}',
        ),
    ],
    ids=["settled before", "never valid", "refused"],
)
def test_where_nothing_is_held_nothing_is_left_to_give_back(
    client: Client, headroom: HeadroomServer, answer: Fault
) -> None:
    headroom.faults = [FAILED_BEFORE, answer]
    with pytest.raises(Unavailable):
        client.authorize(**ASKED)

    assert client.flush()
    assert client.outbox.parked() == []
    assert len(headroom.asked) == 2
    assert headroom.holds() == 0


def test_a_hold_that_is_over_is_not_asked_for(headroom: HeadroomServer, tmp_path: Path) -> None:
    now = [1000.0]
    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: now[0])
    outbox.put("give_back", "key", "{}", hold_until=1100.0)
    outbox.close()

    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox.path) as client:
        assert client.flush()
    assert headroom.asked == []


def test_what_was_never_sent_is_not_given_back(tmp_path: Path) -> None:
    """Or the end of an outage would bring a hold for each request that was made in it."""
    with Client("http://127.0.0.1:9", api_key="k", patience_seconds=0.1) as client:
        with pytest.raises(Unavailable) as caught:
            client.authorize(**ASKED)

        assert not caught.value.may_be_done
        assert client.outbox.waiting() == 0


def test_one_lost_answer_among_the_attempts_is_enough(headroom: HeadroomServer) -> None:
    headroom.faults = [
        LOST_REPLY,
        Fault(401, {}, envelope("authentication_error", "the key was revoked")),
    ]
    with Client(headroom.base_url, api_key=headroom.key) as client:
        with pytest.raises(Unauthenticated):
            client.authorize(**ASKED)

        assert client.flush()
    assert headroom.holds() == 0


def test_a_key_of_the_callers_own_is_theirs_to_repeat(
    client: Client, headroom: HeadroomServer
) -> None:
    """Somebody may have sent it again and use the hold: it must not be taken from them."""
    headroom.faults = [FAILED_AFTER]
    with pytest.raises(Unavailable):
        client.authorize(**ASKED, idempotency_key="turn-7")
    assert client.outbox.waiting() == 0

    held = client.authorize(**ASKED, idempotency_key="turn-7")

    assert client.flush()
    assert headroom.holds() == 1
    client.release(held.id)


def test_no_answer_is_waited_for_longer_than_its_hold_lasts(
    client: Client, headroom: HeadroomServer
) -> None:
    """The hold of the first attempt would be over by then, and the answer of no use."""
    headroom.faults = [LOST_REPLY, *[Fault(503, {"retry-after": "1"})] * 9]
    started = time.monotonic()

    with pytest.raises(Unavailable):
        client.authorize(**ASKED, ttl_seconds=1)

    assert time.monotonic() - started < 3
    headroom.faults = []


def test_a_release_that_cannot_be_delivered_is_left_to_the_outbox(
    client: Client, headroom: HeadroomServer
) -> None:
    held = client.authorize(**ASKED)
    headroom.faults = [FAILED_BEFORE]

    with pytest.raises(Unavailable):
        client.release(held.id)

    assert client.flush()
    assert headroom.holds() == 0


def test_a_full_outbox_does_not_hide_what_failed(headroom: HeadroomServer, tmp_path: Path) -> None:
    with Client(
        headroom.base_url, api_key=headroom.key, outbox_entries_max=0, outbox=tmp_path / "o.db"
    ) as client:
        headroom.faults = [FAILED_AFTER]
        with pytest.raises(Unavailable):
            client.authorize(**ASKED)


@pytest.mark.parametrize("end", ["patience", "cancelled"])
def test_the_asynchronous_client_gives_back_too(headroom: HeadroomServer, end: str) -> None:
    async def drive() -> None:
        async with AsyncClient(headroom.base_url, api_key=headroom.key) as client:
            if end == "patience":
                headroom.faults = [FAILED_AFTER]
                with pytest.raises(Unavailable):
                    await client.authorize(**ASKED)
            else:
                headroom.answering.clear()
                task = asyncio.create_task(client.authorize(**ASKED))
                assert await asyncio.to_thread(headroom.reached.wait, 10)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                headroom.answering.set()
            assert await client.flush()

    asyncio.run(drive())
    wait_until(lambda: headroom.holds() == 0)
    assert headroom.calls("DELETE", "/v1/authorizations/")


def test_two_calls_have_two_keys_and_hold_twice(client: Client, headroom: HeadroomServer) -> None:
    client.authorize(**ASKED)
    client.authorize(**ASKED)

    assert headroom.holds() == 2


def test_a_contended_answer_is_asked_again(client: Client, headroom: HeadroomServer) -> None:
    body = (
        b'{"type":"error","error":{"type":"billing_error","message":"busy",'
        b'"details":{"reason":"contended","retryable":true}}}'
    )
    headroom.faults = [Fault(429, {"retry-after": "0"}, body)]

    assert client.authorize(**ASKED).max_tokens == 1000
    assert len(headroom.calls("POST", "/v1/authorizations")) == 2


def test_recording_again_after_a_lost_reply_bills_once(
    client: Client, headroom: HeadroomServer
) -> None:
    headroom.faults = [LOST_REPLY]

    (result,) = client.record([event("msg_1")])

    assert result.status == "duplicate"
    assert [line.event_id for line in headroom.lines()] == ["msg_1"]


def test_patience_ends_and_says_so(headroom: HeadroomServer) -> None:
    headroom.down = True
    with Client(headroom.base_url, api_key=headroom.key, patience_seconds=0.6) as client:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.authorize(**ASKED)
        assert time.monotonic() - started < 3
        headroom.down = False

    assert len(headroom.calls("POST", "/v1/authorizations")) >= 2


def test_no_patience_outlasts_what_the_answer_asks_to_wait(
    client: Client, headroom: HeadroomServer
) -> None:
    headroom.faults = [Fault(429, {"retry-after": "3600"}, envelope("rate_limit_error"))]
    started = time.monotonic()

    with pytest.raises(RateLimited) as caught:
        client.authorize(**ASKED)

    assert caught.value.retry_after_seconds == 3600
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", InvalidRequest),
        (401, "authentication_error", Unauthenticated),
        (403, "permission_error", Forbidden),
        (404, "not_found_error", NotFound),
        (409, "conflict_error", Conflict),
        (418, "teapot_error", UnexpectedAnswer),
    ],
)
def test_errors_are_told_apart_and_not_repeated(
    client: Client, headroom: HeadroomServer, status: int, kind: str, error: type[Exception]
) -> None:
    headroom.faults = [Fault(status, {"request-id": "req_7"}, envelope(kind, "model: is odd"))]

    with pytest.raises(error, match="model: is odd") as caught:
        client.authorize(**ASKED)

    assert type(caught.value) is error
    assert vars(caught.value)["request_id"] == "req_7"
    assert len(headroom.asked) == 1


def test_a_server_that_keeps_failing_is_told_from_one_that_cannot_be_reached(
    headroom: HeadroomServer,
) -> None:
    headroom.faults = [Fault(500, {}, envelope("api_error"))] * 100
    with Client(headroom.base_url, api_key=headroom.key, patience_seconds=0.3) as client:
        with pytest.raises(ServerFailed):
            client.authorize(**ASKED)
        headroom.faults = []


def test_a_wrong_field_is_named(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.authorize(**{**ASKED, "max_tokens": -1})

    assert caught.value.field == "max_tokens"


def test_a_wrong_key_is_not_let_in(headroom: HeadroomServer) -> None:
    with (
        Client(headroom.base_url, api_key="sk-headroom-service-guessed") as client,
        pytest.raises(Unauthenticated),
    ):
        client.authorize(**ASKED)


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b'{"type": "authorization"}', b"\xff"])
def test_an_answer_that_is_none_of_headrooms_is_no_permission(
    client: Client, headroom: HeadroomServer, body: bytes
) -> None:
    headroom.faults = [Fault(200, {}, body)]

    with pytest.raises(UnexpectedAnswer):
        client.authorize(**ASKED)


def test_a_client_needs_an_address_and_one_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADROOM_BASE_URL", raising=False)
    monkeypatch.delenv("HEADROOM_API_KEY", raising=False)
    wrong: list[dict[str, Any]] = [
        {"api_key": "k"},
        {"base_url": "http://127.0.0.1:1"},
        {"base_url": "http://127.0.0.1:1", "api_key": "k", "token": "t"},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"base_url|api_key"):
            Client(**arguments)
    monkeypatch.setenv("HEADROOM_BASE_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("HEADROOM_API_KEY", "k")
    Client().close()


def test_the_asynchronous_client_is_alike(headroom: HeadroomServer) -> None:
    headroom.faults = [LOST_REPLY]

    async def drive() -> tuple[str, str]:
        async with AsyncClient(headroom.base_url, api_key=headroom.key) as client:
            first, second = await asyncio.gather(
                client.authorize(**ASKED), client.authorize(**ASKED)
            )
            await client.extend(first.id, ttl_seconds=1200)
            (result,) = await client.record([event("msg_1", first)])
            await client.release(second.id)
            with pytest.raises(Refused):
                await client.authorize(**{**ASKED, "max_tokens": 100_000_000})
            client.report(event("msg_2"))
            assert await client.flush()
            return result.status, result.amount or ""

    assert asyncio.run(drive()) == ("recorded", "0.45")
    assert headroom.holds() == 0
    assert sorted(line.event_id for line in headroom.lines()) == ["msg_1", "msg_2"]


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [
        ("0", 0),
        ("1", 10_000_000),
        ("14.352", 143_520_000),
        ("0.0000001", 1),
        ("0.000000100", 1),
        ("-2.5", -25_000_000),
        ("123456789012345", 1_234_567_890_123_450_000_000),
    ],
)
def test_amounts_are_whole_nanos(amount: str, nanos: int) -> None:
    assert to_nanos(amount) == nanos


@pytest.mark.parametrize("amount", ["", "1e3", ".5", "1.", "0.00000001", "1,5", "٣", " 1", "--1"])
def test_what_is_no_amount_is_none(amount: str) -> None:
    with pytest.raises(ValueError, match=r"cents|nano"):
        to_nanos(amount)
