"""The bound of a request's input is above what it turns into, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom_client import Unbounded
from headroom_client.bound import IMAGE_TOKENS_MAX, bound_chat, bound_request

PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
IMAGE = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}


def body(content: Any = "hello", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": "m", "max_tokens": 100, "messages": messages, **more}


@given(st.text(), st.text(), st.lists(st.text(), max_size=4))
def test_a_token_of_text_is_at_least_a_byte(system: str, content: str, more: list[str]) -> None:
    blocks = [{"type": "text", "text": text} for text in more]
    asked = body(content, system=system)
    asked["messages"] += [{"role": "assistant", "content": blocks}]

    bound = bound_request(asked).input_tokens

    texts = [system, content, *more]
    assert bound >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    # Three tokens of frame for each message and block, and the few that the API adds.
    assert bound >= sum(map(len, texts)) + 3 * (3 + len(more)) + 16


def test_text_that_grows_when_it_is_normalized_is_counted_as_it_is_then() -> None:
    """One sign of three bytes, which NFKC writes as eighteen letters of 33 bytes."""
    grown = bound_request(body("\ufdfa" * 100)).input_tokens
    plain = bound_request(body("a" * 300)).input_tokens

    assert grown - plain == 100 * (33 - 3)


def test_everything_that_is_sent_counts() -> None:
    tool: Any = {"name": "t", "description": "d" * 500, "input_schema": {"type": "object"}}
    used: Any = [{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"q": "x" * 700}}]
    found: Any = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y" * 900}]
    nothing = bound_request(body()).input_tokens

    assert bound_request(body(tools=[tool])).input_tokens > nothing + 500
    assert bound_request(body(used)).input_tokens > nothing + 700
    assert bound_request(body(found)).input_tokens > nothing + 900
    output: Any = {"format": {"type": "json_schema", "schema": {"description": "z" * 800}}}
    assert bound_request(body(output_config=output)).input_tokens > nothing + 800


def test_images_are_bounded_by_what_the_largest_takes() -> None:
    one = bound_request(body([{"type": "image", "source": IMAGE}])).input_tokens
    nested: Any = [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": IMAGE}]}
    ]

    assert IMAGE_TOKENS_MAX < one < IMAGE_TOKENS_MAX + 300
    assert IMAGE_TOKENS_MAX < bound_request(body(nested)).input_tokens < IMAGE_TOKENS_MAX + 400


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "document", "source": PDF}],
        [{"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}}],
        [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}],
        [{"type": "container_upload", "file_id": "file_1"}],
        [
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "document", "source": PDF}],
            }
        ],
        [{"type": "text", "text": object()}],
    ],
)
def test_what_cannot_be_seen_has_no_bound(content: Any) -> None:
    with pytest.raises(Unbounded):
        bound_request(body(content))


def test_documents_of_text_have_one() -> None:
    text = {"type": "text", "media_type": "text/plain", "data": "t" * 1000}
    parts = {"type": "content", "content": [{"type": "image", "source": IMAGE}]}

    assert bound_request(body([{"type": "document", "source": text}])).input_tokens > 1000
    assert bound_request(body([{"type": "document", "source": parts}])).input_tokens > 5000


def test_server_tools_are_a_term_unless_the_caller_bounds_them() -> None:
    search = {"type": "web_search_20260209", "name": "web_search", "max_uses": 4}

    left = bound_request(body(tools=[search]))
    bound = bound_request(body(tools=[search]), server_tool_tokens=50_000)

    assert (left.web_search_requests, left.terms) == (
        0,
        {"server_tools": {"web_search": {"max_uses": 4}}},
    )
    assert (bound.web_search_requests, bound.terms) == (4, {})
    assert bound.input_tokens == left.input_tokens + 50_000
    with pytest.raises(Unbounded, match="max_uses"):
        bound_request(body(tools=[{**search, "max_uses": None}]), server_tool_tokens=1)


def test_what_an_mcp_server_adds_is_bounded_by_the_caller_too() -> None:
    servers = [{"type": "url", "url": "https://a.example", "name": "a"}]

    bound = bound_request(body(mcp_servers=servers), server_tool_tokens=50_000)

    assert bound.terms == {}
    assert bound.input_tokens > 50_000


def test_a_server_tool_of_another_time_needs_the_callers_word() -> None:
    tool = {"type": "of_tomorrow_20300101", "name": "tomorrow"}

    with pytest.raises(Unbounded, match="server_tool_tokens"):
        bound_request(body(tools=[tool]))
    assert bound_request(body(tools=[tool]), server_tool_tokens=9000).input_tokens > 9000


def test_instructions_of_a_compaction_and_formats_of_fallbacks_count() -> None:
    nothing = bound_request(body(), counted_tokens=10).input_tokens
    edit = {"type": "compact_20260112", "instructions": "i" * 500}
    form = {"format": {"type": "json_schema", "schema": {"description": "z" * 800}}}
    fallback = {"model": "n", "output_config": form}

    for more, least in (
        ({"context_management": {"edits": [edit]}}, 500),
        ({"compaction": {"type": "summarize", "instructions": "i" * 500}}, 500),
        ({"fallbacks": [fallback]}, 800 + 1000),
    ):
        assert bound_request(body(**more), counted_tokens=10).input_tokens > nothing + least


def test_tools_that_the_client_runs_need_no_word() -> None:
    for kind in ("bash_20250124", "text_editor_20250728", "computer_20251124", "memory_20250818"):
        bound = bound_request(body(tools=[{"type": kind, "name": "t"}]))
        assert bound.web_search_requests == 0
        assert bound.input_tokens > 3000


def test_a_count_has_a_margin() -> None:
    assert bound_request(body(), counted_tokens=10_000).input_tokens == 10_000 + 200 + 64
    seen = bound_request(body([{"type": "document", "source": PDF}]), counted_tokens=1000)
    assert seen.input_tokens == 1000 + 20 + 64


@pytest.mark.parametrize(
    ("thinking", "least"),
    [
        (None, 50),
        ({"type": "adaptive"}, 50),
        ({"type": "enabled", "budget_tokens": 80}, 81),
        ({"type": "enabled", "budget_tokens": 5000}, 100),
    ],
)
def test_the_least_output_leaves_room_for_the_thinking(thinking: Any, least: int) -> None:
    assert bound_request(body(thinking=thinking), min_tokens=50).min_tokens == least
    assert bound_request(body(thinking=thinking)).min_tokens is None


def test_the_least_output_leaves_room_for_the_thinking_of_fallbacks_too() -> None:
    thinks = {"model": "n", "thinking": {"type": "enabled", "budget_tokens": 80}}
    its_own = {**thinks, "max_tokens": 90}

    assert bound_request(body(fallbacks=[thinks]), min_tokens=50).min_tokens == 81
    assert bound_request(body(fallbacks=[its_own]), min_tokens=50).min_tokens == 50


def test_warming_a_cache_generates_nothing_and_is_authorized_for_one_token() -> None:
    assert bound_request({**body(), "max_tokens": 0}, min_tokens=7).max_tokens == 1
    assert bound_request({**body(), "max_tokens": 0}, min_tokens=7).min_tokens == 1


@pytest.mark.parametrize("max_tokens", [None, -1, "100", 1.5, True])
def test_output_without_a_limit_has_no_bound(max_tokens: Any) -> None:
    with pytest.raises(Unbounded, match="max_tokens"):
        bound_request({**body(), "max_tokens": max_tokens})


def test_a_bound_is_not_far_above_the_bytes() -> None:
    """Close enough to be of use: framing, not a multiple."""
    content = "word " * 10_000
    asked = body(content)

    assert bound_request(asked).input_tokens < len(json.dumps(asked)) + 300


def test_what_a_proxy_adds_to_a_chat_is_bounded() -> None:
    chat = {"model": "claude-opus-5", "max_tokens": 10, "messages": []}
    edits = {"edits": [{"type": "compact_20260112"}]}
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

    added = bound_chat({**chat, **cached, "system": "x" * 900, "context_management": edits})

    assert added.terms["compaction"] == {"trigger": 150_000}
    assert added.terms["cache_lifetimes"] == ["1h"]
    assert added.input_tokens >= bound_chat(chat).input_tokens + 900
