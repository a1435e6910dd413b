"""Message batches of the real `anthropic` SDK: held for when created, settled when read."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from clients.python.tests.fake_messages import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    FakeMessages,
    Script,
)
from clients.python.tests.headroom_server import (
    USER,
    HeadroomServer,
    headroom_server,
    wait_until,
)
from headroom_client import (
    AsyncClient,
    Client,
    InexactBound,
    OutboxFull,
    Refused,
    Unbounded,
    Unmetered,
    UsageMissing,
)
from headroom_client.anthropic import metered

SOURCES = Path(__file__).resolve().parents[1] / "src"
# Half of what the same message costs by itself: 3 and 15 dollars a million tokens.
EACH = (INPUT_TOKENS * 3_000 + OUTPUT_TOKENS * 15_000) // 2
ASKED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "What do you count?"}],
}


def requests(*custom_ids: str, **params: Any) -> Any:
    return [{"custom_id": each, "params": {**ASKED, **params}} for each in custom_ids]


def authorized(headroom: HeadroomServer) -> list[dict[str, Any]]:
    return [json.loads(sent) for _, _, _, sent in headroom.calls("POST", "/v1/authorizations")]


def reported(headroom: HeadroomServer) -> list[dict[str, Any]]:
    """Return the usage events that were sent."""
    calls = headroom.calls("POST", "/v1/usage/events")
    return [event for _, _, _, sent in calls for event in json.loads(sent)["events"]]


def read(claude: Anthropic, batch_id: str) -> dict[str, str]:
    """Return how each request ended."""
    results = claude.messages.batches.results(batch_id)
    return {each.custom_id: each.result.type for each in results}


# From create to results


@pytest.mark.parametrize("beta", [False, True])
def test_a_batch_is_held_for_and_its_results_are_paid_for_at_half_the_price(
    claude: Anthropic, headroom: HeadroomServer, settled: Any, beta: bool
) -> None:
    batches: Any = claude.beta.messages.batches if beta else claude.messages.batches

    batch = batches.create(requests=requests("a", "b", "c"))

    assert headroom.holds() == 3
    for sent in authorized(headroom):
        assert (sent["service_tier"], sent["ttl_seconds"]) == ("batch", 86_400)
    assert [each.custom_id for each in batches.results(batch.id)] == ["a", "b", "c"]
    assert settled() == 3 * EACH
    for line in headroom.lines():
        assert line.charged == EACH
        assert line.authorization_id
        assert line.usage["service_tier"] == "batch"
        assert not line.notes


def test_half_as_much_is_held_as_for_the_same_message_by_itself(
    claude: Anthropic, client: Client, headroom: HeadroomServer
) -> None:
    claude.messages.batches.create(requests=requests("a"))
    (in_batch,) = headroom.budget().holds.values()
    (asked,) = authorized(headroom)

    single = client.authorize(**{**asked, "service_tier": None})

    assert 2 * in_batch.amount_nanos == single.amount_nanos


def test_requests_may_come_from_a_generator(
    bare: Anthropic, client: Client, api: FakeMessages, settled: Any
) -> None:
    """The SDK takes any iterable, and each of its attempts has to see the same requests."""
    api.scripts = [Script(status=529)]
    claude = metered(bare.with_options(max_retries=1), client, user_id=USER)

    batch = claude.messages.batches.create(requests=iter(requests("a", "b")))
    read(claude, batch.id)

    assert settled() == 2 * EACH
    for created in api.created():
        assert [each["custom_id"] for each in created.body["requests"]] == ["a", "b"]


def test_results_are_recorded_under_the_messages_ids_with_why_they_ended(
    claude: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    api.results = Script(stop_reason="max_tokens", usage={"service_tier": None})
    batch = claude.messages.batches.create(requests=requests("a"))

    (result,) = claude.messages.batches.results(batch.id)

    assert settled() == EACH
    (event,) = reported(headroom)
    assert result.result.type == "succeeded"
    assert event["id"] == result.result.message.id
    assert event["stop_reason"] == "max_tokens"
    # Only what the usage does not say is added to it.
    assert event["usage"]["service_tier"] == "batch"
    assert event["usage"]["input_tokens"] == INPUT_TOKENS
    assert event["occurred_at"] == api.batches[batch.id].at.isoformat().replace("+00:00", "Z")
    assert client.outbox.open_batch_requests() == 0


@pytest.mark.parametrize("way", ["results", "raw", "streaming_response", "bytes", "get"])
def test_results_are_settled_whichever_way_they_are_read(
    claude: Anthropic, api: FakeMessages, settled: Any, way: str
) -> None:
    batches = claude.messages.batches
    batch = batches.create(requests=requests("a", "b"))
    url = f"{api.base_url}/v1/messages/batches/{batch.id}/results"
    match way:
        case "results":
            assert read(claude, batch.id) == {"a": "succeeded", "b": "succeeded"}
        case "raw":
            assert len(list(batches.with_raw_response.results(batch.id).parse())) == 2
        case "streaming_response":
            with batches.with_streaming_response.results(batch.id) as streaming:
                assert len(list(streaming.parse())) == 2
        case "bytes":
            with batches.with_streaming_response.results(batch.id) as streaming:
                assert b"".join(streaming.iter_bytes()).count(b"custom_id") == 2
        case "get":
            assert claude.get(url, cast_to=str).count("custom_id") == 2

    assert settled() == 2 * EACH
    asked = next(each for each in api.asked if each.path.endswith("/results"))
    assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("outcome", ["errored", "canceled", "expired"])
def test_what_a_request_did_not_use_is_given_back(
    claude: Anthropic, api: FakeMessages, headroom: HeadroomServer, settled: Any, outcome: str
) -> None:
    api.outcomes = {"b": outcome}
    batch = claude.messages.batches.create(requests=requests("a", "b"))

    assert read(claude, batch.id) == {"a": "succeeded", "b": outcome}

    assert settled() == EACH
    assert len(headroom.calls("DELETE", "/v1/authorizations")) == 1


def test_results_that_are_read_twice_are_charged_once(
    claude: Anthropic, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    api.outcomes = {"b": "canceled"}
    batch = claude.messages.batches.create(requests=requests("a", "b"))
    read(claude, batch.id)
    assert settled() == EACH

    read(claude, batch.id)

    # Not even sent: with its hold gone the event would be another one under the same id.
    assert settled() == EACH
    assert len(reported(headroom)) == 1
    assert len(headroom.calls("DELETE", "/v1/authorizations")) == 1


def test_who_stops_reading_leaves_the_rest_to_the_next(
    claude: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    batch = claude.messages.batches.create(requests=requests("a", "b", "c"))
    api.results = Script(hold_after=1)
    results = claude.messages.batches.results(batch.id)
    # The decoder has the line when it sees the next piece; one is all that was sent.
    threading.Thread(target=lambda: next(results, None), daemon=True).start()
    assert api.results.reached.wait(10)
    wait_until(lambda: client.outbox.open_batch_requests() == 2)
    assert client.flush(10)
    assert headroom.holds() == 2
    api.results.go_on.set()
    api.results = Script()

    assert len(read(claude, batch.id)) == 3

    assert settled() == 3 * EACH


def test_results_that_break_off_are_settled_as_far_as_they_came(
    claude: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    batch = claude.messages.batches.create(requests=requests("a", "b", "c"))
    api.results = Script(cut_after=2)
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected|reset"):
        read(claude, batch.id)
    assert client.outbox.open_batch_requests() == 1
    api.results = Script()

    read(claude, batch.id)

    assert settled() == 3 * EACH


def test_a_result_without_usage_keeps_its_hold_and_spoils_no_other(
    claude: Anthropic,
    client: Client,
    api: FakeMessages,
    headroom: HeadroomServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch = claude.messages.batches.create(requests=requests("a"))
    api.results = Script(without_usage=True)

    assert read(claude, batch.id) == {"a": "succeeded"}

    assert "a was answered without usage" in caplog.text
    assert client.flush()
    assert (headroom.holds(), client.outbox.open_batch_requests()) == (1, 1)


def test_results_that_are_compressed_all_the_same_are_not_read(
    claude: Anthropic, client: Client, api: FakeMessages, settled: Any
) -> None:
    batch = claude.messages.batches.create(requests=requests("a"))
    api.results = Script(content_encoding="gzip")
    with pytest.raises(UsageMissing, match="compressed"):
        read(claude, batch.id)
    assert client.outbox.open_batch_requests() == 1
    api.results = Script()

    read(claude, batch.id)

    assert settled() == EACH


def test_what_costs_nothing_about_a_batch_goes_through(
    claude: Anthropic, headroom: HeadroomServer
) -> None:
    batches = claude.messages.batches
    batch = batches.create(requests=requests("a"))
    before = list(headroom.asked)

    assert batches.retrieve(batch.id).id == batch.id
    with batches.with_streaming_response.retrieve(batch.id) as streaming:
        assert streaming.parse().id == batch.id
    assert [each.id for each in batches.list()] == [batch.id]
    assert batches.cancel(batch.id).id == batch.id
    assert claude.beta.messages.batches.cancel(batch.id).id == batch.id
    assert batches.delete(batch.id).id == batch.id

    assert headroom.asked == before
    assert headroom.holds() == 1


# What is not held for is not sent


def test_when_one_request_is_refused_what_the_others_hold_is_given_back(
    bare: Anthropic, api: FakeMessages
) -> None:
    """A cap of one cent fits the bound of one such request at batch rates, not of two."""
    with (
        headroom_server(spend_limit="1") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        with pytest.raises(Refused) as caught:
            metered(bare, client, user_id=USER).messages.batches.create(
                requests=requests("small", "too much", "never asked")
            )
        assert client.flush()

        assert caught.value.reason == "organization_limit_reached"
        assert caught.value.custom_id == "too much"
        assert any("too much" in note for note in caught.value.__notes__)
        # Asked again once what was under way was settled, of which there was nothing.
        assert len(authorized(headroom)) == 2
        assert headroom.holds() == 0
    assert api.asked == []


def test_output_is_lowered_for_each_request_to_what_the_money_allows(
    bare: Anthropic, api: FakeMessages
) -> None:
    asked = requests("a", "b")
    with (
        headroom_server(spend_limit="1") as headroom,
        Client(headroom.base_url, api_key=headroom.key) as client,
    ):
        claude = metered(bare, client, user_id=USER, min_tokens=10)
        batch = claude.messages.batches.create(requests=asked)
        read(claude, batch.id)
        assert client.flush()
        assert sum(line.charged for line in headroom.lines()) == 2 * EACH

    (created,) = api.created()
    first, second = (each["params"]["max_tokens"] for each in created.body["requests"])
    assert first == 1000
    assert 10 <= second < 700
    assert asked == requests("a", "b")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (requests("a", stream=True), "stream"),
        (requests("a", of_tomorrow=True), "of_tomorrow"),
        (requests("a", "b", "a"), "custom_id of its own"),
        (requests(*(f"number-{number}" for number in range(101))), "at most 100"),
        ([], "not empty"),
        ([{"custom_id": "a"}], "requests.0"),
        ([{"custom_id": "a", "params": ASKED, "of_tomorrow": 1}], "requests.0"),
        ([{"custom_id": 1, "params": ASKED}], "custom_id must be text"),
    ],
)
def test_a_batch_that_cannot_be_metered_is_not_sent(
    claude: Anthropic, api: FakeMessages, headroom: HeadroomServer, asked: Any, said: str
) -> None:
    with pytest.raises(Unmetered, match=said):
        claude.messages.batches.create(requests=asked)
    with pytest.raises(Unmetered, match=said):
        claude.beta.messages.batches.create(requests=asked)

    assert api.asked == []
    assert headroom.asked == []


def test_members_beside_the_requests_are_not_metered(claude: Anthropic, api: FakeMessages) -> None:
    with pytest.raises(Unmetered):
        claude.messages.batches.create(requests=requests("a"), extra_body={"priority": "high"})
    with pytest.raises(Unmetered):
        claude.post("/v1/messages/batches/of/tomorrow", body={}, cast_to=object)

    assert api.asked == []


def test_a_request_without_a_bound_is_named_before_anything_is_held(
    claude: Anthropic, headroom: HeadroomServer
) -> None:
    for params in ({"service_tier": "batch"}, {"max_tokens": None}):
        with pytest.raises(Unbounded) as caught:
            claude.messages.batches.create(
                requests=[*requests("good"), *requests("boundless", **params)]
            )
        assert caught.value.custom_id == "boundless"
    assert headroom.asked == []


def test_who_wants_true_bounds_only_has_the_whole_batch_refused(
    claude: Anthropic, api: FakeMessages, settled: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", InexactBound)
        with pytest.raises(InexactBound):
            claude.beta.messages.batches.create(
                requests=[*requests("a"), *requests("b", fallbacks="default")]
            )

    assert api.asked == []
    assert settled() == 0


def test_the_input_of_each_request_can_be_counted(
    bare: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer
) -> None:
    api.counted_tokens = 5000
    claude = metered(bare, client, user_id=USER, count_tokens=True)

    claude.messages.batches.create(requests=requests("a", "b"))

    assert [sent["input_tokens"] for sent in authorized(headroom)] == [5164, 5164]


def test_a_full_outbox_lets_no_batch_start(
    bare: Anthropic, api: FakeMessages, headroom: HeadroomServer
) -> None:
    with Client(headroom.base_url, api_key=headroom.key, outbox_entries_max=1) as client:
        claude = metered(bare, client, user_id=USER)
        with pytest.raises(OutboxFull):
            claude.messages.batches.create(requests=requests("a", "b"))

    assert api.asked == []
    assert headroom.asked == []


# Batches that came to nothing, and those of which nobody knows


@pytest.mark.parametrize("status", [400, 413, 429, 503, 529])
def test_a_batch_that_is_not_taken_on_gives_the_money_back(
    claude: Anthropic, api: FakeMessages, settled: Any, status: int
) -> None:
    api.expect(Script(status=status))

    with pytest.raises(anthropic.APIStatusError):
        claude.messages.batches.create(requests=requests("a", "b"))

    assert settled() == 0


@pytest.mark.parametrize("how", ["no connection", "no key"])
def test_a_batch_that_was_never_sent_gives_the_money_back(
    api: FakeMessages, client: Client, settled: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    base_url = "http://127.0.0.1:1" if how == "no connection" else api.base_url
    with Anthropic(api_key="sk-test", base_url=base_url, max_retries=0) as bare:
        if how == "no key":
            bare.api_key = None
        claude = metered(bare, client, user_id=USER)
        with pytest.raises((anthropic.APIConnectionError, TypeError)):
            claude.messages.batches.create(requests=requests("a"))

    assert api.asked == []
    assert settled() == 0


@pytest.mark.parametrize("how", ["silent", "timeout", "failed"])
def test_a_batch_whose_answer_was_lost_keeps_its_holds(
    claude: Anthropic,
    client: Client,
    api: FakeMessages,
    headroom: HeadroomServer,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may be running, though nobody has its id: the money is left to be held."""
    scripts = {"silent": Script(silent=True), "timeout": Script(hold_after=0)}
    script = api.expect(scripts.get(how, Script(status=500)))

    with pytest.raises(anthropic.APIError):
        claude.with_options(timeout=2).messages.batches.create(requests=requests("a", "b"))
    script.go_on.set()

    assert client.flush()
    assert headroom.holds() == 2
    assert "a batch may run whose id is lost" in caplog.text
    for hold in headroom.budget().holds.values():
        assert hold.key in caplog.text
    # Who finds it in the list of batches can read it; what is recorded then has no hold.
    for batch_id in api.batches:
        read(claude, batch_id)
        assert client.flush()
        assert sum(line.charged for line in headroom.lines()) == 2 * EACH
        assert headroom.holds() == 2


def test_a_batch_without_an_id_keeps_its_holds(
    claude: Anthropic,
    client: Client,
    api: FakeMessages,
    headroom: HeadroomServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "_described", lambda batch: {"type": "message_batch"})

    with pytest.raises(UsageMissing, match="without an id"):
        claude.messages.batches.create(requests=requests("a"))

    assert client.flush()
    assert headroom.holds() == 1


def test_each_attempt_of_the_sdk_is_authorized_anew(
    api: FakeMessages, client: Client, headroom: HeadroomServer, settled: Any
) -> None:
    api.scripts = [Script(status=529)]
    with Anthropic(api_key="sk-test", base_url=api.base_url, max_retries=1) as retrying:
        claude = metered(retrying, client, user_id=USER)
        batch = claude.messages.batches.create(requests=requests("a", "b"))
        read(claude, batch.id)

    assert settled() == 2 * EACH
    assert len(authorized(headroom)) == 4
    assert len(headroom.calls("DELETE", "/v1/authorizations")) == 2


def test_a_batch_that_could_not_be_written_down_is_answered_all_the_same(
    claude: Anthropic,
    client: Client,
    headroom: HeadroomServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The batch runs and will cost: without its id nobody could read what it cost."""

    def fail(*arguments: object) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(client.outbox, "keep_batch", fail)
        batch = claude.messages.batches.create(requests=requests("a"))
    assert f"what is held for {batch.id} is not kept" in caplog.text

    read(claude, batch.id)
    assert client.flush()
    assert [line.charged for line in headroom.lines()] == [EACH]


# What is known of a batch by others


def test_results_of_a_batch_that_was_created_elsewhere_are_recorded_for_who_reads_them(
    bare: Anthropic, client: Client, api: FakeMessages, headroom: HeadroomServer, settled: Any
) -> None:
    api.outcomes = {"b": "errored"}
    batch = bare.messages.batches.create(requests=requests("a", "b", "c"))
    claude = metered(bare, client, user_id=USER, product="notebook")

    read(claude, batch.id)
    assert settled() == 2 * EACH
    read(claude, batch.id)

    assert settled() == 2 * EACH
    assert headroom.calls("DELETE", "/v1/authorizations") == []
    assert len(reported(headroom)) == 2
    for line in headroom.lines():
        assert not line.authorization_id
        assert (line.product, line.model) == ("notebook", MODEL)


def test_results_whose_hold_is_gone_are_recorded_as_late(
    claude: Anthropic, client: Client, headroom: HeadroomServer, settled: Any
) -> None:
    batch = claude.messages.batches.create(requests=requests("a"))
    held = client.outbox.find_batch_holds(batch.id, ["a"])["a"]
    client.release(held.authorization_id)

    read(claude, batch.id)

    assert settled() == EACH
    (line,) = headroom.lines()
    assert line.authorization_id == held.authorization_id
    assert line.notes == ["late"]


def test_results_are_recorded_for_who_created_the_batch_whoever_reads_them(
    bare: Anthropic, client: Client, headroom: HeadroomServer, settled: Any
) -> None:
    creator = metered(bare, client, user_id=USER, product="notebook")
    batch = creator.messages.batches.create(requests=requests("a"))

    read(metered(bare, client, user_id="user_somebody_else"), batch.id)

    assert settled() == EACH
    (line,) = headroom.lines()
    assert (line.user_id, line.product) == (USER, "notebook")


def test_results_are_kept_while_headroom_is_away(
    claude: Anthropic, headroom: HeadroomServer, settled: Any
) -> None:
    batch = claude.messages.batches.create(requests=requests("a", "b"))
    headroom.down = True
    read(claude, batch.id)
    headroom.down = False

    assert settled() == 2 * EACH


CREATING = """
import os, signal, sys, anthropic, headroom_client
from headroom_client.anthropic import metered
base_url, key, outbox, api, *custom_ids = sys.argv[1:]
hello = {"role": "user", "content": "Hello"}
params = {"model": "claude-sonnet-4-6", "max_tokens": 1000, "messages": [hello]}
client = headroom_client.Client(base_url, api_key=key, outbox=outbox)
bare = anthropic.Anthropic(api_key="sk-test", base_url=api)
claude = metered(bare, client, user_id="user_acme_finn", product="killed")
claude.messages.batches.create(
    requests=[{"custom_id": each, "params": params} for each in custom_ids]
)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_authorized_is_settled_by_the_next(
    bare: Anthropic, api: FakeMessages, headroom: HeadroomServer, tmp_path: Path
) -> None:
    """`kill -9` as soon as `create` returned; another process reads the results."""
    outbox = tmp_path / "outbox.db"
    program = [sys.executable, "-c", CREATING, headroom.base_url, headroom.key, str(outbox)]
    killed = subprocess.run(
        [*program, api.base_url, "a", "b"],
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    assert killed.returncode == -signal.SIGKILL
    (batch_id,) = api.batches
    assert headroom.holds() == 2

    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox) as client:
        read(metered(bare, client, user_id=USER), batch_id)
        assert client.flush(20)
        assert client.outbox.open_batch_requests() == 0

    assert headroom.holds() == 0
    assert [(line.charged, line.product) for line in headroom.lines()] == [(EACH, "killed")] * 2


def test_a_temporary_outbox_is_left_behind_while_a_batch_is_not_read(
    bare: Anthropic, headroom: HeadroomServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(headroom.base_url, api_key=headroom.key) as first:
        batch = metered(bare, first, user_id=USER).messages.batches.create(requests=requests("a"))
    path = first.outbox.path
    assert f"1 requests of batches are held for in {path}" in caplog.text

    with Client(headroom.base_url, api_key=headroom.key, outbox=path) as client:
        read(metered(bare, client, user_id=USER), batch.id)
        assert client.flush()
    assert headroom.holds() == 0
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()


# The asynchronous SDK


def drive(
    headroom: HeadroomServer, api: FakeMessages, work: Any, *, outbox: Path | None = None
) -> int:
    """Run `work(claude)`; return what was charged."""

    async def run() -> None:
        async with (
            AsyncClient(headroom.base_url, api_key=headroom.key, outbox=outbox) as client,
            AsyncAnthropic(api_key="sk-test", base_url=api.base_url, max_retries=0) as bare,
        ):
            await work(metered(bare, client, user_id=USER))
            assert await client.flush(), client.courier.last_error
            assert client.outbox.parked() == []

    asyncio.run(run())
    return sum(line.charged for line in headroom.lines())


@pytest.mark.parametrize("beta", [False, True])
def test_async_batches_are_held_and_paid_for(
    headroom: HeadroomServer, api: FakeMessages, beta: bool
) -> None:
    api.outcomes = {"b": "expired"}

    async def work(claude: AsyncAnthropic) -> None:
        batches: Any = claude.beta.messages.batches if beta else claude.messages.batches
        batch = await batches.create(requests=requests("a", "b", "c"))
        assert headroom.holds() == 3
        for _ in range(2):
            found = [each.custom_id async for each in await batches.results(batch.id)]
            assert found == ["a", "b", "c"]
        async with batches.with_streaming_response.results(batch.id) as streaming:
            assert (await streaming.read()).count(b"custom_id") == 3
        await batches.cancel(batch.id)

    assert drive(headroom, api, work) == 2 * EACH
    assert headroom.holds() == 0
    assert len(headroom.calls("DELETE", "/v1/authorizations")) == 1


def test_async_results_are_settled_as_far_as_they_are_read(
    headroom: HeadroomServer, api: FakeMessages, tmp_path: Path
) -> None:
    api.results = Script(hold_after=1)

    async def begin(claude: AsyncAnthropic) -> None:
        batch = await claude.messages.batches.create(requests=requests("a", "b", "c"))
        results = await claude.messages.batches.results(batch.id)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(results)
        await results.close()
        api.results.go_on.set()
        api.results = Script()

    async def go_on(claude: AsyncAnthropic) -> None:
        (batch_id,) = api.batches
        async for _ in await claude.messages.batches.results(batch_id):
            pass

    outbox = tmp_path / "outbox.db"
    assert drive(headroom, api, begin, outbox=outbox) == EACH
    assert headroom.holds() == 2
    assert drive(headroom, api, go_on, outbox=outbox) == 3 * EACH
    assert headroom.holds() == 0


def test_async_refusals_give_back_and_are_named(api: FakeMessages) -> None:
    async def work(claude: AsyncAnthropic) -> None:
        with pytest.raises(Refused) as caught:
            await claude.messages.batches.create(requests=requests("a", "b"))
        assert caught.value.custom_id == "b"
        with pytest.raises(Unmetered):
            await claude.messages.batches.create(requests=requests("a", stream=True))

    with headroom_server(spend_limit="1") as headroom:
        assert drive(headroom, api, work) == 0
        assert headroom.holds() == 0
    assert api.asked == []


def test_an_async_batch_that_is_cancelled_on_its_way_keeps_its_holds(
    headroom: HeadroomServer, api: FakeMessages, tmp_path: Path
) -> None:
    script = api.expect(Script(hold_after=0))

    async def work(claude: AsyncAnthropic) -> None:
        task = asyncio.create_task(claude.messages.batches.create(requests=requests("a", "b")))
        await asyncio.to_thread(script.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        script.go_on.set()

    assert drive(headroom, api, work) == 0
    assert headroom.holds() == 2


def test_an_async_batch_that_is_cancelled_before_it_is_sent_gives_the_money_back(
    headroom: HeadroomServer, api: FakeMessages
) -> None:
    async def work(claude: AsyncAnthropic) -> None:
        task = asyncio.create_task(claude.messages.batches.create(requests=requests("a", "b")))
        while headroom.holds() < 1:
            await asyncio.sleep(0.01)
        headroom.answering.clear()
        await asyncio.to_thread(headroom.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        headroom.answering.set()

    assert drive(headroom, api, work) == 0
    assert headroom.holds() == 0
    assert api.asked == []
