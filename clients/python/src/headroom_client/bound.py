"""The most input that a request to the Messages API can turn into, seen from the request alone.

The count is a true upper bound under these assumptions:

* A token of text is at least one byte, of the text as it stands or as NFKC writes it. What frames
  messages and blocks takes fewer tokens than their JSON takes bytes, and all of it is counted.
* An image takes at most IMAGE_TOKENS_MAX, whatever its size: larger ones are scaled down.
* What the API adds by itself is at most what the constants below say.

No such bound can be seen in a PDF, in a file that only its id names, nor in what server tools find:
the first two have to be counted by the API, the last has to be bounded by the caller.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from headroom_client.errors import Unbounded

# Published: 4,784 tokens for the highest resolution that any model reads.
IMAGE_TOKENS_MAX: Final = 5_000
REQUEST_TOKENS: Final = 64
# Published: at most 530 tokens of system prompt when there are tools.
TOOLS_TOKENS: Final = 1_000
FORMAT_TOKENS: Final = 1_000
# Published: 735 tokens for the computer, 700 for the editor, 245 for bash.
DEFINED_TOOL_TOKENS: Final = 3_000
# The counting endpoint says of itself that it may be off by a small amount.
COUNT_MARGIN_TOKENS: Final = 64
COUNT_MARGIN_PERCENT: Final = 2

_TEXT_PARTS: Final = ("system", "messages", "tools", "tool_choice", "output_config")
_CLIENT_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_", "browser_")
_WEB_SEARCH: Final = "web_search_"


@dataclass(frozen=True, slots=True)
class Bound:
    """What to hold money for. `min_tokens` is None unless less output is acceptable."""

    model: str
    input_tokens: int
    max_tokens: int
    min_tokens: int | None
    web_search_requests: int


def bound_request(
    body: Mapping[str, Any],
    *,
    counted_tokens: int | None = None,
    min_tokens: int | None = None,
    server_tool_tokens: int | None = None,
) -> Bound:
    """Bound a body of `POST /v1/messages`.

    `counted_tokens` is what the counting endpoint said, where it was asked. `min_tokens` is the
    least output that is still of use, `server_tool_tokens` the most input that server tools add.

    Raises:
        Unbounded: there is no bound.
    """
    model, max_tokens = body.get("model"), body.get("max_tokens")
    if not isinstance(model, str):
        raise Unbounded("model: must be a name")
    if type(max_tokens) is not int or max_tokens < 0:
        raise Unbounded("max_tokens: must be a whole number")
    if body.get("speed") not in (None, "standard"):
        raise Unbounded("speed: Headroom sells standard speed only")
    searches, input_tokens = _server_tools(body, server_tool_tokens)
    if counted_tokens is None:
        input_tokens += REQUEST_TOKENS + sum(_measure(body.get(part)) for part in _TEXT_PARTS)
        input_tokens += TOOLS_TOKENS if body.get("tools") else 0
        input_tokens += FORMAT_TOKENS if body.get("output_config") else 0
        input_tokens += DEFINED_TOOL_TOKENS * sum(map(_is_defined, _tools(body)))
    else:
        margin = -(-counted_tokens * COUNT_MARGIN_PERCENT // 100)
        input_tokens += counted_tokens + margin + COUNT_MARGIN_TOKENS
    return Bound(
        model=model,
        input_tokens=input_tokens,
        # Nothing is generated to warm a cache, but an authorization is for at least one token.
        max_tokens=max(max_tokens, 1),
        min_tokens=_least(body, min_tokens, max(max_tokens, 1)),
        web_search_requests=searches,
    )


def bound_chat(body: Mapping[str, Any], *, min_tokens: int | None = None) -> Bound:
    """Bound a body of `POST /v1/chat/completions`, as other APIs have it, for a Claude model.

    Raises:
        Unbounded: there is no bound.
    """
    if body.get("n") not in (None, 1):
        raise Unbounded("n: must be 1")
    for name in ("web_search_options", "audio", "prediction", "fallbacks", "extra_body", "models"):
        if body.get(name):
            raise Unbounded(f"{name}: a request with it has no bound")
    tools = _tools(body)
    if any(tool.get("type") != "function" for tool in tools):
        raise Unbounded("tools: must be functions")
    wire = {
        "model": body.get("model"),
        "max_tokens": body.get("max_tokens"),
        "speed": body.get("speed"),
        "thinking": body.get("thinking"),
        "messages": body.get("messages"),
        # By these names they are measured; what they are called does not change their size.
        "system": [body.get("functions"), body.get("stop"), tools],
        "output_config": body.get("response_format"),
    }
    bound = bound_request(wire, min_tokens=min_tokens)
    has_tools = bool(tools or body.get("functions"))
    return replace(bound, input_tokens=bound.input_tokens + (TOOLS_TOKENS if has_tools else 0))


def _server_tools(body: Mapping[str, Any], server_tool_tokens: int | None) -> tuple[int, int]:
    """Return how many searches there may be, and how much input the server's tools may add."""
    searches, found = 0, False
    for tool in _tools(body):
        kind = tool.get("type") or "custom"
        if kind == "custom" or str(kind).startswith(_CLIENT_TOOLS):
            continue
        found = True
        if str(kind).startswith(_WEB_SEARCH):
            uses = tool.get("max_uses")
            if type(uses) is not int or uses < 0:
                raise Unbounded("tools: web search must have max_uses")
            searches += uses
    if not found:
        return 0, 0
    if server_tool_tokens is None:
        raise Unbounded(
            "tools: what a server tool finds is input too; say how much by server_tool_tokens"
        )
    return searches, server_tool_tokens


def _tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise Unbounded("tools: must be a list of objects")
    return tools


def _is_defined(tool: Mapping[str, Any]) -> bool:
    return (tool.get("type") or "custom") != "custom"


def _least(body: Mapping[str, Any], min_tokens: int | None, max_tokens: int) -> int | None:
    """The least max_tokens: the API refuses one that is not above the budget for thinking."""
    if min_tokens is None:
        return None
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    least = max(min_tokens, budget + 1 if type(budget) is int else 1)
    return min(least, max_tokens)


def _measure(value: object) -> int:
    """Return at least as many as the tokens that a part of the request can become."""
    match value:
        case None | bool() | int() | float():
            return len(str(value)) + 1
        case str():
            return _measure_text(value) + 3
        case list() | tuple():
            return 2 + sum(map(_measure, value))
        case Mapping():
            return _measure_object(value)
        case _:
            raise Unbounded(f"a {type(value).__name__} is not JSON")


def _measure_object(value: Mapping[str, Any]) -> int:
    kind = value.get("type")
    source = value.get("source")
    if kind == "image" and isinstance(source, Mapping):
        around = {name: part for name, part in value.items() if name != "source"}
        return IMAGE_TOKENS_MAX + _measure(around)
    if kind == "document" and isinstance(source, Mapping):
        if source.get("type") not in ("text", "content"):
            raise Unbounded("a document: its pages have to be counted; use count_tokens=True")
    elif kind == "image_url":
        return IMAGE_TOKENS_MAX
    elif kind in ("container_upload", "file", "input_audio") or "file_id" in value:
        raise Unbounded("a file: its content has to be counted; use count_tokens=True")
    return 2 + sum(_measure(str(name)) + _measure(part) for name, part in value.items())


def _measure_text(text: str) -> int:
    size = len(text.encode("utf-8", "surrogatepass"))
    if text.isascii():
        return size
    return max(size, len(unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")))
