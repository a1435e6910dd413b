"""What in the body of a request makes it dearer, in the words of an authorization.

Only what the body says is in the terms: what it leaves out is left to Headroom, which then holds
for the dearest that it can be. So an older Headroom is asked for what it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom_client.errors import Unbounded

# "Defaults to 150000 input tokens": types/beta/beta_compact_20260112_edit_param.py in the SDK.
COMPACTION_TRIGGER: Final = 150_000
CACHE_LIFETIMES: Final = ("5m", "1h")
# The API's own default.
CACHE_LIFETIME: Final = "5m"

_ADVISOR: Final = "advisor_"
_CLIENT_TOOLS: Final = (
    *("bash_", "text_editor_", "computer_", "memory_", "browser_"),
    # Its words are measured like those of the client's tools; what it reads is a term of its own.
    _ADVISOR,
)
# By how a tool's type begins: what an authorization calls it.
_SERVER_TOOLS: Final = {
    "web_search_": "web_search",
    "web_fetch_": "web_fetch",
    "code_execution_": "code_execution",
    "tool_search_tool_": "tool_search",
    "mcp_toolset": "mcp",
}
# Edits that only take something out of the context.
_CLEARING: Final = ("clear_tool_uses_", "clear_thinking_")
_COMPACT: Final = "compact_"
_CACHED_PARTS: Final = ("cache_control", "system", "messages", "tools")
_BREAKPOINTS: Final = ("cache_control", "caching")
# Data of the application's own, in which nothing means what it means elsewhere.
_OPAQUE: Final = ("input", "input_schema", "schema")


def terms_of(body: Mapping[str, Any], *, server_tools_are_bounded: bool) -> dict[str, Any]:
    """Return the members of an authorization that a body of `POST /v1/messages` asks for.

    `server_tools_are_bounded` says that the caller said how much input server tools add at most:
    then they are no term, but part of the input.

    Raises:
        Unbounded: the body says what no authorization can be asked for.
    """
    tools = tools_of(body)
    said = {
        "speed": _speed(body.get("speed")),
        "inference_geo": body.get("inference_geo"),
        "service_tier": _service_tier(body.get("service_tier")),
        "cache_lifetimes": _cache_lifetimes(body),
        "compaction": _compaction(body),
        "advisor": _advisor(tools),
        "fallbacks": _fallbacks(body.get("fallbacks")),
        "server_tools": None if server_tools_are_bounded else _server_tools(body, tools),
    }
    return {name: value for name, value in said.items() if value is not None}


def tools_of(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tools of a body.

    Raises:
        Unbounded: they are none.
    """
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise Unbounded("tools: must be a list of objects")
    return tools


def is_defined(tool: Mapping[str, Any]) -> bool:
    """Tell whether a tool is one that Anthropic defines, whoever runs it."""
    return (tool.get("type") or "custom") != "custom"


def runs_on_server(tool: Mapping[str, Any]) -> bool:
    """Tell whether the API runs a tool: what it finds is input too, and nobody bounds it."""
    return is_defined(tool) and not str(tool["type"]).startswith(_CLIENT_TOOLS)


def server_tool(tool: Mapping[str, Any]) -> str | None:
    """Return what an authorization calls a server tool, None if it knows no such tool."""
    kind = str(tool.get("type"))
    return next((name for begin, name in _SERVER_TOOLS.items() if kind.startswith(begin)), None)


def _speed(value: object) -> object:
    return None if value == "standard" else value


def _service_tier(value: object) -> object:
    """Return a tier that is none of those that the API may choose between at a standard rate.

    "batch" is none that a request can ask for: believed, it would halve what is held.
    """
    if value == "batch":
        raise Unbounded("service_tier: only a batch of messages is of it")
    return None if value in ("auto", "standard_only") else value


def _cache_lifetimes(body: Mapping[str, Any]) -> list[str] | None:
    """Return which caches the body's breakpoints write, None if it has none."""
    parts = {name: body.get(name) for name in _CACHED_PARTS}
    found = {str(marker.get("ttl") or CACHE_LIFETIME) for marker in _breakpoints(parts)}
    if not found <= set(CACHE_LIFETIMES):
        raise Unbounded(f"cache_control: ttl must be one of {', '.join(CACHE_LIFETIMES)}")
    return [each for each in CACHE_LIFETIMES if each in found] or None


def _breakpoints(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name in _BREAKPOINTS and isinstance(part, Mapping):
                yield part
            elif name not in _OPAQUE:
                yield from _breakpoints(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _breakpoints(part)


def _compaction(body: Mapping[str, Any]) -> dict[str, int] | None:
    # A request that says so is one compaction, however short it is.
    trigger = 0 if body.get("compaction") is not None else None
    management = body.get("context_management")
    if management is None:
        return None if trigger is None else {"trigger": trigger}
    edits = management.get("edits") or [] if isinstance(management, Mapping) else None
    if not isinstance(edits, list):
        raise Unbounded("context_management: must be an object with a list of edits")
    for edit in edits:
        kind = str(edit.get("type")) if isinstance(edit, Mapping) else ""
        if kind.startswith(_CLEARING):
            continue
        if not kind.startswith(_COMPACT):
            raise Unbounded(f"context_management: an edit {kind!r} has no bound")
        at = edit.get("trigger")
        begins = at.get("value") if isinstance(at, Mapping) else COMPACTION_TRIGGER
        if type(begins) is not int or begins < 0:
            raise Unbounded("context_management: trigger must have a value")
        trigger = begins if trigger is None else min(trigger, begins)
    return None if trigger is None else {"trigger": trigger}


def _advisor(tools: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    found = [tool for tool in tools if str(tool.get("type")).startswith(_ADVISOR)]
    if not found:
        return None
    if len(found) > 1:
        raise Unbounded("tools: more than one advisor has no bound")
    return _given(found[0], "model", "max_uses", "max_tokens")


def _fallbacks(value: object) -> str | list[dict[str, Any]] | None:
    if value is None or value == "default":
        return value
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise Unbounded('fallbacks: must be "default" or a list of objects')
    found = []
    for each in value:
        said = _given(each, "model", "max_tokens", "speed")
        if "speed" in each and each["speed"] is None:
            # Left out, the speed is the request's own; null is standard.
            said["speed"] = "standard"
        found.append(said)
    return found or None


def _server_tools(
    body: Mapping[str, Any], tools: list[Mapping[str, Any]]
) -> dict[str, dict[str, int]] | None:
    found: dict[str, dict[str, int]] = {}
    if body.get("mcp_servers"):
        found["mcp"] = {}
    for tool in filter(runs_on_server, tools):
        name, uses = server_tool(tool), tool.get("max_uses")
        if name is None:
            raise Unbounded(
                f"tools: {tool['type']!r} is a server tool that Headroom does not know; "
                "say how much input it adds by server_tool_tokens"
            )
        if uses is not None and (type(uses) is not int or uses < 0):
            raise Unbounded("tools: max_uses must be a whole number")
        if name in found:
            earlier = found[name].get("max_uses")
            uses = None if uses is None or earlier is None else uses + earlier
        found[name] = {} if uses is None else {"max_uses": uses}
    return found or None


def _given(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value[name] for name in names if value.get(name) is not None}
