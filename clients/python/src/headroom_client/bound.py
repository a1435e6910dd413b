"""The most input that a request to the Messages API can turn into, seen from the request alone.

The count is a true upper bound under these assumptions:

* A token of text is at least one byte, of the text as it stands or as NFKC writes it. What frames
  messages and blocks takes fewer tokens than their JSON takes bytes, and all of it is counted.
* An image takes at most IMAGE_TOKENS_MAX, whatever its size: larger ones are scaled down.
* What the API adds by itself is at most what the constants below say.

No such bound can be seen in a PDF, nor in a file that only its id names: those the API counts.
What server tools find is bounded by the caller, or else a term of the authorization, of which
Headroom says that nobody bounds it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from headroom_client.errors import Unbounded
from headroom_client.terms import is_defined, runs_on_server, server_tool, terms_of, tools_of

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
# What the counting endpoint does not count: instructions, and what fallbacks say in its place.
_UNCOUNTED_PARTS: Final = ("context_management", "compaction", "fallbacks", "mcp_servers")
# Members of the Messages API that a proxy may add to a chat.
_BESIDE_A_CHAT: Final = ("cache_control", "context_management", "compaction", "mcp_servers")


@dataclass(frozen=True, slots=True)
class Bound:
    """What to hold money for. `min_tokens` is None unless less output is acceptable.

    `terms` are the members of the authorization that say what makes the request dearer.
    """

    model: str
    input_tokens: int
    max_tokens: int
    min_tokens: int | None
    web_search_requests: int
    terms: Mapping[str, Any] = field(default_factory=dict)

    def to_authorize(self) -> dict[str, Any]:
        """Return the arguments of `authorize` that say what is asked for."""
        return {
            "model": self.model,
            "input_tokens": self.input_tokens,
            "max_tokens": self.max_tokens,
            "min_tokens": self.min_tokens,
            "web_search_requests": self.web_search_requests or None,
            **self.terms,
        }


def bound_request(
    body: Mapping[str, Any],
    *,
    counted_tokens: int | None = None,
    min_tokens: int | None = None,
    server_tool_tokens: int | None = None,
) -> Bound:
    """Bound a body of `POST /v1/messages`.

    `counted_tokens` is what the counting endpoint said, where it was asked. `min_tokens` is the
    least output that is still of use, `server_tool_tokens` the most input that server tools add;
    without it Headroom holds for them by a cautious factor, and says that it is no bound.

    Raises:
        Unbounded: there is no bound.
    """
    model, max_tokens = body.get("model"), body.get("max_tokens")
    if not isinstance(model, str):
        raise Unbounded("model: must be a name")
    if type(max_tokens) is not int or max_tokens < 0:
        raise Unbounded("max_tokens: must be a whole number")
    searches, input_tokens = _server_tools(body, server_tool_tokens)
    input_tokens += sum(_measure(body[part]) for part in _UNCOUNTED_PARTS if body.get(part))
    input_tokens += FORMAT_TOKENS if _has_formats(body.get("fallbacks")) else 0
    if counted_tokens is None:
        input_tokens += REQUEST_TOKENS + sum(_measure(body.get(part)) for part in _TEXT_PARTS)
        input_tokens += TOOLS_TOKENS if body.get("tools") else 0
        input_tokens += FORMAT_TOKENS if body.get("output_config") else 0
        input_tokens += DEFINED_TOOL_TOKENS * sum(map(is_defined, tools_of(body)))
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
        terms=terms_of(body, server_tools_are_bounded=server_tool_tokens is not None),
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
    tools = tools_of(body)
    if any(tool.get("type") != "function" for tool in tools):
        raise Unbounded("tools: must be functions")
    wire = {
        "model": body.get("model"),
        "max_tokens": body.get("max_tokens"),
        "speed": body.get("speed"),
        "inference_geo": body.get("inference_geo"),
        "service_tier": body.get("service_tier"),
        "thinking": body.get("thinking"),
        **{name: body.get(name) for name in _BESIDE_A_CHAT},
        "messages": body.get("messages"),
        # By these names they are measured; what they are called does not change their size.
        "system": [body.get("system"), body.get("functions"), body.get("stop"), tools],
        "output_config": body.get("response_format"),
    }
    bound = bound_request(wire, min_tokens=min_tokens)
    has_tools = bool(tools or body.get("functions"))
    return replace(bound, input_tokens=bound.input_tokens + (TOOLS_TOKENS if has_tools else 0))


def _server_tools(body: Mapping[str, Any], server_tool_tokens: int | None) -> tuple[int, int]:
    """Return how many searches there may be, and how much input the server's tools may add.

    Both by the caller's word; without it they are terms of the authorization.
    """
    found = [tool for tool in tools_of(body) if runs_on_server(tool)]
    if server_tool_tokens is None or not (found or body.get("mcp_servers")):
        return 0, 0
    searches = 0
    for tool in found:
        if server_tool(tool) == "web_search":
            uses = tool.get("max_uses")
            if type(uses) is not int or uses < 0:
                raise Unbounded("tools: web search must have max_uses")
            searches += uses
    return searches, server_tool_tokens


def _has_formats(fallbacks: object) -> bool:
    return any(fallback.get("output_config") for fallback in _listed(fallbacks))


def _listed(fallbacks: object) -> list[Mapping[str, Any]]:
    """Return the fallbacks that a body lists; what is wrong with others is said elsewhere."""
    listed = fallbacks if isinstance(fallbacks, list) else []
    return [fallback for fallback in listed if isinstance(fallback, Mapping)]


def _least(body: Mapping[str, Any], min_tokens: int | None, max_tokens: int) -> int | None:
    """The least max_tokens: the API refuses one that is not above the budget for thinking."""
    if min_tokens is None:
        return None
    # What a fallback does not say of itself is the request's own.
    follows = [each for each in _listed(body.get("fallbacks")) if not each.get("max_tokens")]
    budgets = [_thinking_budget(each) for each in (body, *follows)]
    least = max(min_tokens, *(budget + 1 for budget in budgets))
    return min(least, max_tokens)


def _thinking_budget(request: Mapping[str, Any]) -> int:
    thinking = request.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return budget if type(budget) is int else 0


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
