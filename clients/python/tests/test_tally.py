"""A stream says the same of its usage in pieces of any size, and when it is cut off anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.pricing.domain.usage import parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK
from headroom_client.bodies import MeteredBody
from headroom_client.client import Client, UsageEvent
from headroom_client.results import Authorization
from headroom_client.tally import Tally
from headroom_client.ticket import Ticket

USAGE = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "usage": USAGE}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "ping"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "né\u2028"}},
    {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": ""}},
    {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30, "input_tokens": None}},
    {"type": "message_stop"},
]


def as_bytes(events: list[dict[str, Any]], newline: str = "\n") -> bytes:
    lines = [
        f"event: {event['type']}{newline}"
        f"data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}"
        for event in events
    ]
    return "".join(lines).encode()


@given(st.lists(st.integers(1, 40), min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_a_whole_stream_is_told_by_its_end(sizes: list[int], newline: str) -> None:
    content, tally, index = as_bytes(EVENTS, newline), Tally(), 0
    while content:
        size = sizes[index % len(sizes)]
        tally.feed(content[:size])
        content, index = content[size:], index + 1

    assert tally.complete
    assert tally.message_id == "msg_1"
    assert tally.final_usage() == {**USAGE, "output_tokens": 30}


@pytest.mark.parametrize(
    ("seen", "output_tokens"),
    [(1, 1), (2, 1), (3, 1), (5, 2), (6, 2), (7, 3), (8, 30), (9, 30)],
)
def test_a_cut_stream_counts_the_pieces_that_arrived(seen: int, output_tokens: int) -> None:
    tally = Tally()
    tally.feed(as_bytes(EVENTS[:seen]))

    usage = tally.final_usage()

    assert usage is not None
    assert usage["output_tokens"] == output_tokens
    assert ("headroom" in usage) == (output_tokens in (2, 3))


@pytest.mark.parametrize("content", [b"", b"data: {}\n\n", b"data: nonsense\n\n", b"<html>"])
def test_what_never_began_used_nothing(content: bytes) -> None:
    tally = Tally()
    tally.feed(content)

    assert tally.final_usage() is None


def test_half_an_event_is_none() -> None:
    tally = Tally()
    tally.feed(as_bytes(EVENTS[:1])[:-1])

    assert tally.final_usage() is None


def test_a_stream_that_is_cut_counts_what_was_delivered() -> None:
    tally = Tally()
    start = {"id": "msg_1", "usage": {"input_tokens": 25, "output_tokens": 1}}
    word = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word"}}
    tally.feed(as_bytes([{"type": "message_start", "message": start}, *[word] * 806]))

    usage = tally.final_usage()

    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (25, 806)
    # The line in the ledger says so.
    assert parse_usage(usage).notes == ("output_tokens_counted_by_client",)
    assert tally.stop_reason is None


def test_what_the_end_says_is_passed_on_as_it_is() -> None:
    """Also where sum and parts of the cache disagree: what is to be made of it is Headroom's."""
    start = {
        "input_tokens": 412,
        "output_tokens": 1,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 80},
        "speed": "standard",
        "inference_geo": "us",
    }
    end = {
        "output_tokens": 264,
        "cache_creation_input_tokens": 900,
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        "iterations": [{"type": "message", "input_tokens": 412, "output_tokens": 264}],
        "fallback_credit": {"status": {"type": "redeemed"}},
    }
    tally = Tally()
    tally.feed(
        as_bytes(
            [
                {"type": "message_start", "message": {"id": "msg_1", "usage": start}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end},
                {"type": "message_stop"},
            ]
        )
    )

    assert tally.final_usage() == {**start, **end}
    assert tally.stop_reason == "end_turn"


# USD a million tokens: 10 in and 50 out of the one, 5 and 25 of the other.
DEAR, CHEAP = "claude-fable-5", "claude-opus-4-8"
WORD = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word"}}


def start_of(model: str) -> dict[str, Any]:
    usage = {"input_tokens": 412, "output_tokens": 1, "speed": "standard"}
    return {"type": "message_start", "message": {"id": "msg_1", "model": model, "usage": usage}}


def hop(declined: str, serving: str) -> dict[str, Any]:
    block = {"type": "fallback", "from": {"model": declined}, "to": {"model": serving}}
    return {"type": "content_block_start", "index": 0, "content_block": block}


def cost_of(events: list[dict[str, Any]], asked: str = DEAR) -> int:
    tally = Tally(asked=asked)
    tally.feed(as_bytes(events))
    usage = tally.final_usage()
    assert usage is not None
    at = datetime(2026, 11, 20, tzinfo=UTC)
    return price(parse_usage(usage), book=PRICE_BOOK, model=asked, at=at).amount_nanos


def test_a_cut_stream_is_of_the_model_that_took_over() -> None:
    """Who declined before any output is not paid for."""
    served = 412 * 5_000 + 3 * 25_000

    assert cost_of([start_of(DEAR), hop(DEAR, CHEAP), *[WORD] * 3]) == served


def test_what_was_given_out_before_a_fallback_is_of_who_declined() -> None:
    events = [start_of(DEAR), WORD, WORD, hop(DEAR, CHEAP), *[WORD] * 3]

    declined = 412 * 10_000 + 2 * 50_000
    assert cost_of(events) == declined + 412 * 5_000 + 3 * 25_000


def test_of_a_chain_of_fallbacks_the_last_serves() -> None:
    events = [start_of(DEAR), hop(DEAR, "claude-opus-5"), WORD, hop("claude-opus-5", CHEAP), WORD]

    # The second gave out a word before it declined too.
    assert cost_of(events) == 2 * (412 * 5_000 + 25_000)


def test_a_stream_that_begins_with_another_model_is_of_that_one() -> None:
    """Where nobody declined in this turn there is no block that says so."""
    assert cost_of([start_of(CHEAP), *[WORD] * 3]) == 412 * 5_000 + 3 * 25_000


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (DEAR, "claude-fable-5-20260301"),
        ("us.anthropic.claude-fable-5-20260301-v1:0", DEAR),
        ("anthropic/claude-opus-4.8-fast", CHEAP),
        ("claude-fable-5@20260301", DEAR),
        ("best", "best"),
        (DEAR, "a name of the gateway's own"),
    ],
)
def test_the_same_model_by_a_longer_name_is_no_fallback(asked: str, served: str) -> None:
    tally = Tally(asked=asked)
    tally.feed(as_bytes([start_of(served), WORD, WORD]))

    usage = tally.final_usage()

    assert usage is not None
    assert "iterations" not in usage


def test_what_the_end_says_of_a_fallback_stands() -> None:
    said = [{"type": "fallback_message", "model": CHEAP, "input_tokens": 9, "output_tokens": 7}]
    usage = {"input_tokens": 9, "output_tokens": 7, "iterations": said}
    end = {"type": "message_delta", "delta": {}, "usage": usage}
    tally = Tally(asked=DEAR)
    tally.feed(as_bytes([start_of(DEAR), WORD, hop(DEAR, CHEAP), WORD, WORD, end]))

    assert tally.final_usage() == {"speed": "standard", **usage}


def test_a_whole_stream_without_iterations_had_no_fallback() -> None:
    end = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}
    tally = Tally(asked=DEAR)
    tally.feed(as_bytes([start_of(CHEAP), WORD, end]))

    assert tally.final_usage() == {"input_tokens": 412, "output_tokens": 7, "speed": "standard"}


def test_a_compaction_that_is_cut_counts_its_pieces() -> None:
    piece = {"type": "compaction_delta", "content": "summary", "encrypted_content": None}
    delta = {"type": "content_block_delta", "delta": piece}
    closing = {**delta, "delta": {**piece, "content": None, "encrypted_content": "b64"}}

    assert cost_of([start_of(DEAR), *[delta] * 4, closing]) == 412 * 10_000 + 4 * 50_000


class Outlet:
    def __init__(self) -> None:
        self.events: list[UsageEvent] = []

    def report(self, event: UsageEvent, *, hold_expires_at: datetime | None = None) -> None:
        self.events.append(event)

    def release_later(
        self, authorization_id: str, *, hold_expires_at: datetime | None = None
    ) -> None:
        raise AssertionError(authorization_id)


def test_a_metered_stream_is_told_apart_from_what_it_asked_for() -> None:
    outlet, expires = Outlet(), datetime(2026, 11, 21, tzinfo=UTC)
    held = Authorization("auth", "ann", DEAR, "included", "1", 99, expires, "2026-11", ())
    stream = httpx2.ByteStream(as_bytes([start_of(CHEAP), WORD, WORD]))

    list(MeteredBody(stream, Ticket(outlet, held), Client(base_url="http://x", api_key="k"), 60))

    (event,) = outlet.events
    assert event.usage["iterations"][0]["model"] == CHEAP
