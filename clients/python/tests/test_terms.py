"""What a body says that makes it dearer is said to Headroom, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from headroom.spending.wire.authorizations import parse_authorization_request
from headroom_client import Unbounded
from headroom_client.bound import bound_chat, bound_request
from headroom_client.calls import Terms

ADVISOR = {"type": "advisor_20260301", "name": "advisor", "model": "claude-fable-5-1"}
FIVE: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
COMPACT = {"type": "compact_20260112"}
AT_80K = {"trigger": {"type": "input_tokens", "value": 80_000}}
TOOL = {"name": "t", "input_schema": {"type": "object"}}
MCP = {"type": "url", "url": "https://mcp.example", "name": "m"}


def body(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"model": "claude-opus-5-5", "max_tokens": 100, "messages": messages, **more}


def said(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def text(**more: Any) -> dict[str, Any]:
    return {"type": "text", "text": "x", **more}


def edits(*found: dict[str, Any]) -> dict[str, Any]:
    return {"context_management": {"edits": list(found)}}


TABLE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"speed": "standard", "service_tier": "auto"}, {}),
    ({"speed": None, "service_tier": "standard_only", "inference_geo": None}, {}),
    ({"speed": "fast"}, {"speed": "fast"}),
    ({"inference_geo": "us"}, {"inference_geo": "us"}),
    # The organization's default may be another.
    ({"inference_geo": "global"}, {"inference_geo": "global"}),
    ({"service_tier": "priority"}, {"service_tier": "priority"}),
    # Caches: by every breakpoint, and the one that the top level asks for.
    (FIVE, {"cache_lifetimes": ["5m"]}),
    (HOUR, {"cache_lifetimes": ["1h"]}),
    ({"cache_control": None}, {}),
    ({"system": [text(**HOUR)], **said(text(**FIVE))}, {"cache_lifetimes": ["5m", "1h"]}),
    ({"tools": [{**TOOL, **HOUR}]}, {"cache_lifetimes": ["1h"]}),
    (
        said({"type": "tool_result", "tool_use_id": "t", "content": [text(**HOUR)]}),
        {"cache_lifetimes": ["1h"]},
    ),
    # Data of the application's own that looks like one is none.
    (said({"type": "tool_use", "id": "t", "name": "t", "input": HOUR}), {}),
    ({"metadata": HOUR}, {}),
    # Compaction.
    (edits(COMPACT), {"compaction": {"trigger": 150_000}}),
    (edits({**COMPACT, "trigger": None}), {"compaction": {"trigger": 150_000}}),
    (edits({**COMPACT, **AT_80K}), {"compaction": {"trigger": 80_000}}),
    (edits(COMPACT, {**COMPACT, **AT_80K}), {"compaction": {"trigger": 80_000}}),
    (edits({"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}), {}),
    ({"context_management": {}}, {}),
    ({"context_management": None, "compaction": None}, {}),
    ({"compaction": {"type": "summarize"}}, {"compaction": {"trigger": 0}}),
    # An advisor.
    ({"tools": [ADVISOR]}, {"advisor": {"model": "claude-fable-5-1"}}),
    (
        {
            "tools": [
                {**ADVISOR, "max_uses": 2, "max_tokens": 2048, "caching": HOUR["cache_control"]}
            ]
        },
        {
            "advisor": {"model": "claude-fable-5-1", "max_uses": 2, "max_tokens": 2048},
            "cache_lifetimes": ["1h"],
        },
    ),
    ({"tools": [{**ADVISOR, "max_uses": None}]}, {"advisor": {"model": "claude-fable-5-1"}}),
    # Fallbacks.
    ({"fallbacks": "default"}, {"fallbacks": "default"}),
    ({"fallbacks": []}, {}),
    (
        {"fallbacks": [{"model": "claude-opus-4-8", "thinking": {"type": "adaptive"}}]},
        {"fallbacks": [{"model": "claude-opus-4-8"}]},
    ),
    (
        {"fallbacks": [{"model": "claude-opus-4-8", "max_tokens": 50, "speed": "fast"}]},
        {"fallbacks": [{"model": "claude-opus-4-8", "max_tokens": 50, "speed": "fast"}]},
    ),
    # Null is standard; left out it would be the request's own.
    (
        {"speed": "fast", "fallbacks": [{"model": "claude-opus-4-8", "speed": None}]},
        {"speed": "fast", "fallbacks": [{"model": "claude-opus-4-8", "speed": "standard"}]},
    ),
    # Server tools.
    (
        {"tools": [{"type": "web_search_20260318", "name": "web_search", "max_uses": 3}]},
        {"server_tools": {"web_search": {"max_uses": 3}}},
    ),
    (
        {
            "tools": [
                {"type": "web_search_20250305", "name": "web_search"},
                {"type": "web_fetch_20260318", "name": "web_fetch", "max_uses": 2},
                {"type": "code_execution_20260521", "name": "code_execution"},
                {"type": "tool_search_tool_bm25_20251119", "name": "s"},
                {"type": "tool_search_tool_regex_20251119", "name": "r", "max_uses": 1},
            ]
        },
        {
            "server_tools": {
                "web_search": {},
                "web_fetch": {"max_uses": 2},
                "code_execution": {},
                "tool_search": {},
            }
        },
    ),
    (
        {
            "tools": [
                {"type": f"web_fetch_{day}", "name": "f", "max_uses": uses}
                for day, uses in (("20260309", 2), ("20260318", 3))
            ]
        },
        {"server_tools": {"web_fetch": {"max_uses": 5}}},
    ),
    (
        {"mcp_servers": [MCP], "tools": [{"type": "mcp_toolset", "mcp_server_name": "m"}]},
        {"server_tools": {"mcp": {}}},
    ),
    ({"mcp_servers": [MCP]}, {"server_tools": {"mcp": {}}}),
    ({"mcp_servers": []}, {}),
    ({"tools": [TOOL, {"type": "bash_20250124", "name": "bash"}]}, {}),
    # All of it together.
    (
        {
            "speed": "fast",
            "inference_geo": "us",
            **FIVE,
            **edits(COMPACT),
            "tools": [ADVISOR, {"type": "web_fetch_20260318", "name": "f", "max_uses": 1}],
            "fallbacks": "default",
        },
        {
            "speed": "fast",
            "inference_geo": "us",
            "cache_lifetimes": ["5m"],
            "compaction": {"trigger": 150_000},
            "advisor": {"model": "claude-fable-5-1"},
            "fallbacks": "default",
            "server_tools": {"web_fetch": {"max_uses": 1}},
        },
    ),
]


@pytest.mark.parametrize(("more", "expected"), TABLE)
def test_a_body_asks_for_what_it_says(more: dict[str, Any], expected: dict[str, Any]) -> None:
    bound = bound_request(body(**more))

    assert bound.terms == expected
    # The contract knows all of it.
    given = {name: value for name, value in bound.to_authorize().items() if value is not None}
    parse_authorization_request({"user_id": "user_a", **given})
    assert given.keys() >= expected.keys()


def test_the_terms_are_the_members_of_the_contract() -> None:
    every = set().union(*(expected for _, expected in TABLE))
    assert every - {"service_tier"} == set(Terms.__annotations__)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"cache_control": {"type": "ephemeral", "ttl": "24h"}}, "ttl"),
        ({"cache_control": {"type": "ephemeral", "ttl": 3600}}, "ttl"),
        (edits({"type": "enlarge_20300101"}), "context_management"),
        (edits({**COMPACT, "trigger": {"type": "tool_uses", "value": None}}), "context_management"),
        # As other APIs have it.
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"tools": [ADVISOR, ADVISOR]}, "advisor"),
        ({"fallbacks": ["claude-opus-4-8"]}, "fallbacks"),
        ({"fallbacks": [1]}, "fallbacks"),
        ({"fallbacks": {"model": "claude-opus-4-8"}}, "fallbacks"),
        ({"tools": [{"type": "of_tomorrow_20300101", "name": "t"}]}, "of_tomorrow"),
        ({"tools": [{"type": "web_fetch_20260318", "max_uses": "2"}]}, "max_uses"),
        # Believed, it would halve the hold of a request that is none of a batch.
        ({"service_tier": "batch"}, "service_tier"),
    ],
)
def test_what_no_authorization_can_be_asked_for_is_unbounded(
    more: dict[str, Any], named: str
) -> None:
    with pytest.raises(Unbounded, match=named):
        bound_request(body(**more))


def test_a_chat_asks_for_what_it_says() -> None:
    chat = body(speed="fast", inference_geo="us", service_tier="priority")

    assert bound_chat(chat).terms == {
        "speed": "fast",
        "inference_geo": "us",
        "service_tier": "priority",
    }
