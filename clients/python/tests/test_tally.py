"""A stream says the same of its usage in pieces of any size, and when it is cut off anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.domain.usage import parse_usage
from headroom_client.tally import Tally

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
