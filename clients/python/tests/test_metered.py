"""The real `anthropic` SDK, metered, against a Messages API and Headroom's real functions."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from clients.python.tests.fake_messages import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    WORDS,
    FakeMessages,
    Script,
)
from clients.python.tests.headroom_server import (
    LOST_REPLY,
    USER,
    Fault,
    HeadroomServer,
    headroom_server,
)
from headroom_client import (
    AsyncClient,
    Client,
    InexactBound,
    OutboxFull,
    Refused,
    Unavailable,
    Unbounded,
    Unmetered,
    UsageMissing,
)
from headroom_client.anthropic import metered

INPUT_NANOS, OUTPUT_NANOS = 3_000, 15_000
WHOLE = INPUT_TOKENS * INPUT_NANOS + OUTPUT_TOKENS * OUTPUT_NANOS
# What one event of the fake's stream is: the start, the block's start, then a word each.
AFTER_START, AFTER_TWO_WORDS = 1, 4
ASKED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "What do you count?"}],
}


def test_a_message_is_paid_for(claude: Anthropic, settled: Any, headroom: HeadroomServer) -> None:
    message = claude.messages.create(**ASKED)

    assert message.content[0].type == "text"
    assert settled() == WHOLE
    (line,) = headroom.lines()
    assert (line.event_id, line.model) == (message.id, MODEL)
    ((_, _, _, sent),) = headroom.calls("POST", "/v1/usage/events")
    assert json.loads(sent)["events"][0]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("way", ["create", "stream", "text", "final", "raw", "streaming_response"])
def test_a_stream_is_paid_for_however_it_is_read(claude: Anthropic, settled: Any, way: str) -> None:
    match way:
        case "create":
            kinds = [event.type for event in claude.messages.create(**ASKED, stream=True)]
            assert kinds[-1] == "message_stop"
        case "stream":
            with claude.messages.stream(**ASKED) as stream:
                assert list(stream)[-1].type == "message_stop"
        case "text":
            with claude.messages.stream(**ASKED) as stream:
                assert "".join(stream.text_stream) == "".join(WORDS)
        case "final":
            with claude.messages.stream(**ASKED) as stream:
                assert stream.get_final_message().usage.output_tokens == OUTPUT_TOKENS
        case "raw":
            response = claude.messages.with_raw_response.create(**ASKED, stream=True)
            assert [event.type for event in response.parse()][-1] == "message_stop"
        case "streaming_response":
            create = claude.messages.with_streaming_response.create
            with create(**ASKED, stream=True) as streaming:
                assert b"message_stop" in b"".join(streaming.iter_bytes())

    assert settled() == WHOLE


def test_a_message_is_paid_for_with_streaming_response_too(claude: Anthropic, settled: Any) -> None:
    with claude.messages.with_streaming_response.create(**ASKED) as response:
        assert response.parse().usage.output_tokens == OUTPUT_TOKENS

    assert settled() == WHOLE


def test_the_money_is_held_before_the_model_is_asked(
    claude: Anthropic, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    script = api.expect(Script(hold_after=0))
    thread = threading.Thread(target=lambda: claude.messages.create(**ASKED))
    thread.start()
    assert script.reached.wait(10)

    assert headroom.holds() == 1
    script.go_on.set()
    thread.join(10)
    assert settled() == WHOLE


def test_an_answer_of_headroom_that_is_lost_is_asked_for_again_and_used(
    claude: Anthropic, headroom: HeadroomServer, settled: Any
) -> None:
    headroom.faults = [LOST_REPLY]

    claude.messages.create(**ASKED)

    assert settled() == WHOLE
    assert len(headroom.calls("POST", "/v1/authorizations")) == 2


@pytest.mark.parametrize("way", ["synchronous", "asynchronous"])
def test_a_hold_whose_answer_never_came_is_given_back_and_nothing_is_sent(
    headroom: HeadroomServer, api: FakeMessages, way: str
) -> None:
    headroom.faults = [Fault(503, {"retry-after": "3600"}, reached=True)]

    async def drive() -> None:
        async with (
            AsyncClient(headroom.base_url, api_key=headroom.key) as client,
            AsyncAnthropic(api_key="sk-test", base_url=api.base_url) as bare,
        ):
            with pytest.raises(Unavailable):
                await metered(bare, client, user_id=USER).messages.create(**ASKED)
            assert await client.flush()

    if way == "asynchronous":
        asyncio.run(drive())
    else:
        with (
            Client(headroom.base_url, api_key=headroom.key) as client,
            Anthropic(api_key="sk-test", base_url=api.base_url) as bare,
        ):
            with pytest.raises(Unavailable):
                metered(bare, client, user_id=USER).messages.create(**ASKED)
            assert client.flush()

    assert headroom.holds() == 0
    assert headroom.calls("DELETE", "/v1/authorizations/")
    assert api.messages() == []


def test_what_is_recorded_says_until_when_its_hold_is_open(
    claude: Anthropic, client: Client, headroom: HeadroomServer
) -> None:
    """So that the outbox delivers it before others that can wait, and in time."""
    client.courier.close()
    claude.messages.create(**ASKED)

    (entry,) = client.outbox.lease("event", 1)
    (hold,) = headroom.budget().holds.values()
    assert entry.hold_until == hold.until_millis / 1000
    client.outbox.let_go([entry])
    assert client.flush()


def test_a_refusal_comes_before_the_model_is_asked(api: FakeMessages, bare: Anthropic) -> None:
    with (
        headroom_server(spend_limit="1") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        claude = metered(bare, client, user_id=USER)
        for call in (
            lambda: claude.messages.create(**ASKED),
            lambda: claude.messages.create(**ASKED, stream=True),
            lambda: claude.messages.stream(**ASKED).__enter__(),
        ):
            with pytest.raises(Refused) as caught:
                call()
            assert caught.value.reason == "organization_limit_reached"

    assert api.messages() == []


def test_without_headroom_nothing_is_spent(
    bare: Anthropic, api: FakeMessages, headroom: HeadroomServer
) -> None:
    headroom.down = True
    with Client(headroom.base_url, api_key=headroom.key, patience_seconds=0.2) as client:
        with pytest.raises(Unavailable):
            metered(bare, client, user_id=USER).messages.create(**ASKED)
        headroom.down = False

    assert api.messages() == []


def test_output_is_clamped_to_what_the_money_allows(api: FakeMessages, bare: Anthropic) -> None:
    with (
        headroom_server(spend_limit="1") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        message = metered(bare, client, user_id=USER, min_tokens=10).messages.create(**ASKED)
        assert client.flush()
        (line,) = headroom.lines()

    (asked,) = api.messages()
    # One cent, less the bound of the input, buys less than was asked for and more than the least.
    assert 10 <= asked.body["max_tokens"] < 700
    assert message.usage.output_tokens == OUTPUT_TOKENS
    assert line.charged == WHOLE
    assert ASKED["max_tokens"] == 1000


def test_output_is_never_clamped_below_the_least_or_the_thinking(
    api: FakeMessages, bare: Anthropic
) -> None:
    with (
        headroom_server(spend_limit="1") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        with pytest.raises(Refused):
            metered(bare, client, user_id=USER, min_tokens=900).messages.create(**ASKED)
        thinking: Any = {"type": "enabled", "budget_tokens": 950}
        with pytest.raises(Refused):
            metered(bare, client, user_id=USER, min_tokens=10).messages.create(
                **ASKED, thinking=thinking
            )

    assert api.messages() == []


def test_a_stream_that_breaks_is_paid_for_as_far_as_it_came(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer
) -> None:
    api.expect(Script(cut_after=AFTER_TWO_WORDS))

    with (
        pytest.raises(Exception, match=r"peer closed|incomplete|disconnected|reset"),
        claude.messages.stream(**ASKED) as stream,
    ):
        stream.until_done()

    # Nobody said how many tokens: two words arrived, each at least one.
    assert settled() == INPUT_TOKENS * INPUT_NANOS + 2 * OUTPUT_NANOS
    (line,) = headroom.lines()
    assert "cut off" in line.usage["headroom"]["output_tokens"]
    assert line.notes == ["output_tokens_counted_by_client"]


def test_a_long_stream_that_breaks_is_paid_for_by_the_pieces_that_arrived(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    api.expect(Script(words=("word ",) * 900, cut_after=2 + 806))

    with (
        pytest.raises(Exception, match=r"peer closed|incomplete|disconnected|reset"),
        claude.messages.stream(**ASKED) as stream,
    ):
        stream.until_done()

    assert settled() == 25 * INPUT_NANOS + 806 * OUTPUT_NANOS


def test_an_error_in_the_stream_is_paid_for_as_far_as_it_came(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    api.expect(Script(error_after=AFTER_TWO_WORDS))

    with pytest.raises(anthropic.APIStatusError):
        list(claude.messages.create(**ASKED, stream=True))

    assert settled() == INPUT_TOKENS * INPUT_NANOS + 2 * OUTPUT_NANOS


def test_an_error_before_the_model_began_costs_nothing(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    api.expect(Script(error_after=0))

    with pytest.raises(anthropic.APIStatusError):
        list(claude.messages.create(**ASKED, stream=True))

    assert settled() == 0


@pytest.mark.parametrize("how", ["break", "raise", "close", "drop", "unread", "generator"])
def test_an_abandoned_stream_is_paid_for_as_far_as_it_came(
    claude: Anthropic, api: FakeMessages, settled: Any, how: str
) -> None:
    """Whatever way the application leaves a stream by, its hold does not stay behind."""
    script = api.expect(Script(hold_after=AFTER_TWO_WORDS))

    def words() -> Generator[str, None, None]:
        with claude.messages.stream(**ASKED) as stream:
            yield from stream.text_stream

    match how:
        case "break":
            with claude.messages.stream(**ASKED) as stream:
                for number, _ in enumerate(stream.text_stream, 1):
                    if number == 2:
                        break
        case "raise":

            def fail_at_two() -> None:
                with claude.messages.stream(**ASKED) as stream:
                    for number, _ in enumerate(stream.text_stream, 1):
                        number / (2 - number)

            with pytest.raises(ZeroDivisionError):
                fail_at_two()
        case "close":
            events = claude.messages.create(**ASKED, stream=True)
            for _ in range(AFTER_TWO_WORDS):
                next(events)
            events.close()
        case "drop":
            events = claude.messages.create(**ASKED, stream=True)
            for _ in range(AFTER_TWO_WORDS):
                next(events)
            del events
            gc.collect()
        case "unread":
            # Nothing was looked at, so nothing is known of it.
            events = claude.messages.create(**ASKED, stream=True)
            del events
            gc.collect()
        case "generator":
            reading = words()
            next(reading)
            next(reading)
            reading.close()
    script.go_on.set()

    partly = INPUT_TOKENS * INPUT_NANOS + 2 * OUTPUT_NANOS
    assert settled() == (0 if how == "unread" else partly)


def test_a_failed_call_gives_the_money_back(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    api.scripts = [Script(status=529), Script(status=400), Script(silent=True)]

    with pytest.raises(anthropic.APIStatusError):
        claude.messages.create(**ASKED)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**ASKED, stream=True)
    with pytest.raises(anthropic.APIConnectionError):
        claude.messages.create(**ASKED)

    assert settled() == 0


def test_each_attempt_of_the_sdk_has_its_own_authorization(
    api: FakeMessages, client: Client, headroom: HeadroomServer, settled: Any
) -> None:
    api.scripts = [Script(status=500), Script(silent=True)]
    with Anthropic(api_key="sk-test", base_url=api.base_url, max_retries=2) as retrying:
        metered(retrying, client, user_id=USER).messages.create(**ASKED)

    assert settled() == WHOLE
    assert len(headroom.calls("POST", "/v1/authorizations")) == 3
    assert len(headroom.calls("DELETE", "/v1/authorizations")) == 2


def test_a_timeout_gives_the_money_back(claude: Anthropic, api: FakeMessages, settled: Any) -> None:
    script = api.expect(Script(hold_after=0))

    with pytest.raises(anthropic.APITimeoutError):
        claude.with_options(timeout=0.2).messages.create(**ASKED)
    script.go_on.set()

    assert settled() == 0


def test_what_was_used_while_headroom_is_away_is_delivered_when_it_is_back(
    claude: Anthropic, client: Client, headroom: HeadroomServer, settled: Any
) -> None:
    with claude.messages.stream(**ASKED) as stream:
        headroom.down = True
        stream.until_done()
    assert not client.flush(0.3)
    assert client.outbox.waiting() == 1

    headroom.down = False

    assert settled() == WHOLE


def test_holds_of_what_is_not_delivered_yet_refuse_nobody(bare: Anthropic) -> None:
    """The cap fits one request's bound at a time: the second has to wait for the first's usage."""
    with (
        headroom_server(spend_limit="3") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        claude = metered(bare, client, user_id=USER)
        for _ in range(3):
            claude.messages.create(**ASKED)
        assert client.flush()
        assert [line.charged for line in headroom.lines()] == [WHOLE] * 3


def test_what_is_not_metered_is_not_sent(
    claude: Anthropic, api: FakeMessages, headroom: HeadroomServer
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: claude.beta.messages.create(**ASKED, thread={"type": "create"}),
        lambda: claude.beta.messages.create(
            **ASKED, billing_policy={"type": "billing_policy", "bill_to": "user_profile"}
        ),
        lambda: claude.post("/v1/complete", body={}, cast_to=object),
        lambda: claude.post(f"{api.base_url}/v1/messages/", body=ASKED, cast_to=object),
        lambda: claude.post("/v1/messages", body=[1], cast_to=object),
        lambda: claude.messages.create(**ASKED, extra_body={"of_tomorrow": True}),
    ]
    for call in calls:
        with pytest.raises(Unmetered):
            call()

    assert api.asked == []
    assert headroom.asked == []


def test_what_costs_nothing_goes_through(claude: Anthropic, headroom: HeadroomServer) -> None:
    messages: Any = ASKED["messages"]
    assert claude.messages.count_tokens(model=MODEL, messages=messages).input_tokens == 25
    claude.get("/v1/models", cast_to=object)
    assert headroom.asked == []


def test_what_has_no_bound_is_not_sent(claude: Anthropic, api: FakeMessages) -> None:
    pdf: Any = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
    }
    tool: Any = {"type": "of_tomorrow_20300101", "name": "tomorrow"}
    asked: Any = {**ASKED, "messages": [{"role": "user", "content": [pdf]}]}
    calls: list[Callable[[], object]] = [
        lambda: claude.messages.create(**asked),
        lambda: claude.messages.create(**ASKED, tools=[tool]),
        lambda: claude.messages.create(**ASKED, extra_body={"service_tier": "batch"}),
    ]
    for call in calls:
        with pytest.raises(Unbounded):
            call()

    assert api.asked == []


def test_server_tools_are_bounded_by_what_the_caller_says(
    bare: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    api.expect(Script(usage={"server_tool_use": {"web_search_requests": 2}}))
    claude = metered(bare, client, user_id=USER, server_tool_tokens=100_000)

    claude.messages.create(**ASKED, tools=[search])

    ((_, _, _, sent),) = headroom.calls("POST", "/v1/authorizations")
    assert b'"web_search_requests":3' in sent
    # A search is a cent.
    assert settled() == WHOLE + 2 * 10_000_000


def test_the_input_can_be_counted_instead(
    bare: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    pdf: Any = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
    }
    asked: Any = {**ASKED, "messages": [{"role": "user", "content": [pdf]}]}
    api.counted_tokens = 5000

    metered(bare, client, user_id=USER, count_tokens=True).messages.create(
        **asked, stop_sequences=["."]
    )

    assert [each.path for each in api.asked] == ["/v1/messages/count_tokens", "/v1/messages"]
    assert "max_tokens" not in api.asked[0].body
    assert "stop_sequences" not in api.asked[0].body
    ((_, _, _, sent),) = headroom.calls("POST", "/v1/authorizations")
    assert b'"input_tokens":5164' in sent
    assert settled() == WHOLE


def test_cache_writes_that_a_stream_counts_on_are_sent_as_it_says_them(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer
) -> None:
    """The total at the end is more than the lifetimes at the start."""
    start = {
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
    }
    api.expect(Script(usage=start, delta_usage={"cache_creation_input_tokens": 150}))

    with claude.messages.stream(**ASKED) as stream:
        stream.until_done()

    # What came on top is not broken down: it is five-minute writes.
    assert settled() == WHOLE + 100 * 6_000 + 50 * 3_750
    (line,) = headroom.lines()
    assert line.usage["cache_creation_input_tokens"] == 150
    assert line.notes == ["cache_writes_not_broken_down:50"]


def test_an_answer_without_usage_is_an_error_and_keeps_its_hold(
    claude: Anthropic, api: FakeMessages, client: Client, headroom: HeadroomServer
) -> None:
    api.expect(Script(without_usage=True))

    with pytest.raises(UsageMissing):
        claude.messages.create(**ASKED)

    assert client.flush()
    assert headroom.holds() == 1


def test_a_full_outbox_lets_nothing_start(
    bare: Anthropic, api: FakeMessages, headroom: HeadroomServer
) -> None:
    with (
        Client(headroom.base_url, api_key=headroom.key, outbox_entries_max=0) as client,
        pytest.raises(OutboxFull),
    ):
        metered(bare, client, user_id=USER).messages.create(**ASKED)

    assert api.asked == []
    assert headroom.asked == []


def test_a_long_stream_prolongs_its_hold(
    bare: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    script = api.expect(Script(hold_after=AFTER_TWO_WORDS))
    claude = metered(bare, client, user_id=USER, ttl_seconds=1)

    with claude.messages.stream(**ASKED) as stream:
        words = stream.text_stream
        next(words)
        next(words)
        # Half a second after the hold was taken the next piece prolongs it.
        threading.Timer(0.6, script.go_on.set).start()
        for _ in words:
            pass

    assert headroom.calls("POST", "/v1/authorizations/auth_")
    assert settled() == WHOLE


def test_only_clients_whose_answers_can_be_read_are_metered(client: Client) -> None:
    class Anthropic2(Anthropic):
        pass

    with pytest.raises(TypeError):
        metered(Anthropic2(api_key="k"), client, user_id=USER)
    with pytest.raises(TypeError):
        metered(AsyncAnthropic(api_key="k"), client, user_id=USER)  # type: ignore[call-overload]


# What makes a request dearer

OPUS = "claude-opus-5-5"
FAST = 2
COMPACTS: Any = {"edits": [{"type": "compact_20260112"}]}
COMPACTION = {"type": "compaction", "input_tokens": 150_000, "output_tokens": 2_000}
LOOP = {"type": "message", "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
# At Opus 5.5's rates.
OPUS_WHOLE = INPUT_TOKENS * 4_000 + OUTPUT_TOKENS * 20_000


def authorized(headroom: HeadroomServer) -> dict[str, Any]:
    """Return what the only request was authorized with."""
    ((_, _, _, sent),) = headroom.calls("POST", "/v1/authorizations")
    return dict(json.loads(sent))


@pytest.mark.parametrize("way", ["create", "stream", "parse"])
def test_the_beta_namespace_is_paid_for(
    claude: Anthropic, settled: Any, headroom: HeadroomServer, way: str
) -> None:
    match way:
        case "create":
            message = claude.beta.messages.create(**ASKED)
            assert message.usage.output_tokens == OUTPUT_TOKENS
        case "stream":
            with claude.beta.messages.stream(**ASKED) as stream:
                assert "".join(stream.text_stream) == "".join(WORDS)
        case "parse":
            claude.beta.messages.parse(**ASKED)

    assert settled() == WHOLE
    assert "speed" not in authorized(headroom)


@pytest.mark.parametrize("beta", [False, True])
def test_fast_mode_is_held_and_paid_for_as_that(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer, beta: bool
) -> None:
    api.expect(Script(usage={"speed": "fast", "inference_geo": "us"}))
    asked: Any = {**ASKED, "model": OPUS, "speed": "fast", "inference_geo": "us"}

    (claude.beta.messages if beta else claude.messages).create(**asked)

    assert authorized(headroom).items() >= {"speed": "fast", "inference_geo": "us"}.items()
    assert settled() == OPUS_WHOLE * FAST * 11 // 10
    (line,) = headroom.lines()
    assert line.unbilled == 0


@pytest.mark.parametrize("streams", [False, True])
def test_a_compaction_is_held_and_paid_for(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer, streams: bool
) -> None:
    """Its tokens are said by the end of a stream alone, beside the top-level figures."""
    usage: Any = {"iterations": [COMPACTION, LOOP]}
    api.expect(Script(delta_usage=usage) if streams else Script(usage=usage))
    messages: Any = [{"role": "user", "content": "x" * 160_000}]
    asked: Any = {**ASKED, "model": OPUS, "messages": messages, "max_tokens": 4000}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactBound)
        if streams:
            with claude.beta.messages.stream(**asked, context_management=COMPACTS) as stream:
                stream.until_done()
        else:
            claude.beta.messages.create(**asked, context_management=COMPACTS)

    assert authorized(headroom)["compaction"] == {"trigger": 150_000}
    assert settled() == OPUS_WHOLE + 150_000 * 4_000 + 2_000 * 20_000
    (line,) = headroom.lines()
    assert line.usage["iterations"] == [COMPACTION, LOOP]


@pytest.mark.parametrize("streams", [False, True])
def test_a_refusal_before_any_output_costs_nothing_and_is_on_record(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer, streams: bool
) -> None:
    api.expect(Script(stop_reason="refusal", words=(), output_tokens=1))

    if streams:
        with claude.messages.stream(**ASKED) as stream:
            stream.until_done()
    else:
        claude.messages.create(**ASKED)

    assert settled() == 0
    (line,) = headroom.lines()
    assert line.notes == ["refused_before_output"]
    assert line.usage["input_tokens"] == INPUT_TOKENS


def test_server_tools_are_held_for_by_headrooms_factor_with_a_warning(
    claude: Anthropic, api: FakeMessages, settled: Any, headroom: HeadroomServer
) -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    api.expect(Script(usage={"server_tool_use": {"web_search_requests": 2}}))

    with pytest.warns(InexactBound, match="server_tools"):
        claude.messages.create(**ASKED, tools=[search])

    assert authorized(headroom)["server_tools"] == {"web_search": {"max_uses": 3}}
    assert settled() == WHOLE + 2 * 10_000_000


def test_who_wants_a_true_bound_makes_the_warning_an_error(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", InexactBound)
        with pytest.raises(InexactBound):
            claude.beta.messages.create(**ASKED, fallbacks="default")

    assert api.asked == []
    assert settled() == 0


def test_the_beta_namespace_is_counted_by_its_own_endpoint(
    bare: Anthropic, client: Client, api: FakeMessages, settled: Any
) -> None:
    claude = metered(bare, client, user_id=USER, count_tokens=True)

    claude.beta.messages.create(**ASKED, betas=["context-management-2025-06-27"])

    assert api.asked[0].path == "/v1/messages/count_tokens?beta=true"
    assert api.asked[0].headers["anthropic-beta"] == "context-management-2025-06-27"
    assert settled() == WHOLE


def test_an_older_headroom_is_asked_for_what_it_knows(
    claude: Anthropic, headroom: HeadroomServer, settled: Any
) -> None:
    claude.messages.create(**ASKED)

    assert settled() == WHOLE
    known = {"user_id", "model", "input_tokens", "max_tokens", "ttl_seconds"}
    assert authorized(headroom).keys() == known


# The asynchronous SDK


async def _drive(
    headroom: HeadroomServer, api: FakeMessages, work: Any, **options: Any
) -> tuple[int, int]:
    """Run `work(claude)`; return what was charged, and how many holds are open."""
    async with (
        AsyncClient(headroom.base_url, api_key=headroom.key) as client,
        AsyncAnthropic(api_key="sk-test", base_url=api.base_url, max_retries=0) as bare,
    ):
        await work(metered(bare, client, user_id=USER, **options))
        assert await client.flush(), client.courier.last_error
        assert client.outbox.parked() == []
    return sum(line.charged for line in headroom.lines()), headroom.holds()


def test_async_messages_and_streams_are_paid_for(
    headroom: HeadroomServer, api: FakeMessages
) -> None:
    async def work(claude: AsyncAnthropic) -> None:
        await claude.messages.create(**ASKED)
        async for _ in await claude.messages.create(**ASKED, stream=True):
            pass
        async with claude.messages.stream(**ASKED) as stream:
            assert await stream.get_final_text() == "".join(WORDS)
        async with claude.messages.with_streaming_response.create(**ASKED) as response:
            await response.parse()
        await asyncio.gather(*(claude.messages.create(**ASKED) for _ in range(4)))

    assert asyncio.run(_drive(headroom, api, work)) == (8 * WHOLE, 0)


def test_async_terms_are_held_and_paid_for(headroom: HeadroomServer, api: FakeMessages) -> None:
    api.expect(Script(usage={"speed": "fast"}))
    api.expect(Script(delta_usage={"iterations": [COMPACTION, LOOP]}))
    api.expect(Script(stop_reason="refusal", words=(), output_tokens=0))
    asked: Any = {**ASKED, "model": OPUS}

    async def work(claude: AsyncAnthropic) -> None:
        await claude.messages.create(**asked, speed="fast")
        messages: Any = [{"role": "user", "content": "x" * 160_000}]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InexactBound)
            async with claude.beta.messages.stream(
                **{**asked, "messages": messages, "max_tokens": 4000}, context_management=COMPACTS
            ) as stream:
                await stream.until_done()
        async for _ in await claude.messages.create(**asked, stream=True):
            pass

    compacted = OPUS_WHOLE + 150_000 * 4_000 + 2_000 * 20_000
    assert asyncio.run(_drive(headroom, api, work)) == (OPUS_WHOLE * FAST + compacted, 0)


def test_a_cancelled_async_call_gives_the_money_back(
    headroom: HeadroomServer, api: FakeMessages
) -> None:
    script = api.expect(Script(hold_after=0))

    async def work(claude: AsyncAnthropic) -> None:
        task = asyncio.create_task(claude.messages.create(**ASKED))
        await asyncio.to_thread(script.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        script.go_on.set()

    assert asyncio.run(_drive(headroom, api, work)) == (0, 0)


@pytest.mark.parametrize("how", ["cancel", "break", "timeout", "raise", "aclose"])
def test_an_abandoned_async_stream_is_paid_for_as_far_as_it_came(
    headroom: HeadroomServer, api: FakeMessages, how: str
) -> None:
    script = api.expect(Script(hold_after=AFTER_TWO_WORDS))

    async def read(claude: AsyncAnthropic) -> None:
        async with claude.messages.stream(**ASKED) as stream:
            number = 0
            async for _ in stream.text_stream:
                number += 1
                if number == 2 and how == "break":
                    return
                if number == 2 and how == "raise":
                    raise ZeroDivisionError

    async def work(claude: AsyncAnthropic) -> None:
        match how:
            case "cancel":
                task = asyncio.create_task(read(claude))
                await asyncio.to_thread(script.reached.wait, 10)
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            case "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await read(claude)
            case "break":
                await read(claude)
            case "raise":
                with pytest.raises(ZeroDivisionError):
                    await read(claude)
            case "aclose":
                events = await claude.messages.create(**ASKED, stream=True)
                for _ in range(AFTER_TWO_WORDS):
                    await anext(events)
                await events.close()
        script.go_on.set()

    partly = INPUT_TOKENS * INPUT_NANOS + 2 * OUTPUT_NANOS
    assert asyncio.run(_drive(headroom, api, work)) == (partly, 0)


def test_a_broken_async_stream_is_paid_for_as_far_as_it_came(
    headroom: HeadroomServer, api: FakeMessages
) -> None:
    api.expect(Script(cut_after=AFTER_START))

    async def work(claude: AsyncAnthropic) -> None:
        with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected|reset"):
            async with claude.messages.stream(**ASKED) as stream:
                await stream.until_done()

    # The start itself says that one token was there already.
    expected = INPUT_TOKENS * INPUT_NANOS + OUTPUT_NANOS
    assert asyncio.run(_drive(headroom, api, work)) == (expected, 0)


def test_async_refusals_come_before_the_model_is_asked(api: FakeMessages) -> None:
    async def work(claude: AsyncAnthropic) -> None:
        with pytest.raises(Refused):
            await claude.messages.create(**ASKED)
        with pytest.raises(Refused):
            await claude.beta.messages.create(**ASKED)
        with pytest.raises(Unmetered):
            await claude.messages.batches.create(requests=[])

    with headroom_server(spend_limit="1") as headroom:
        assert asyncio.run(_drive(headroom, api, work)) == (0, 0)
    assert api.asked == []


def test_async_output_is_clamped_and_input_counted(api: FakeMessages) -> None:
    async def work(claude: AsyncAnthropic) -> None:
        await claude.messages.create(**ASKED)

    with headroom_server(spend_limit="1") as headroom:
        found = asyncio.run(_drive(headroom, api, work, min_tokens=10, count_tokens=True))
    assert found == (WHOLE, 0)
    (asked,) = api.messages()
    assert 10 <= asked.body["max_tokens"] < 700
    assert len(api.asked) == 2
