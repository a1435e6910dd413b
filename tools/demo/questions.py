"""What a client would have asked for, had it known what its request would use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headroom.pricing.domain.usage import Iteration, IterationType, Tokens, Usage
from tools.demo.dealing import Task


def question(task: Task, *, ttl_seconds: int) -> dict[str, Any]:
    """Return the body of `POST /v1/authorizations` for a request, from the usage on record.

    What a server's tool loop read again is in the recorded input: its tools are not named.
    """
    usage = task.recorded.usage
    compactions = _of(usage, "compaction")
    asked: dict[str, Any] = {
        "user_id": task.person.user_id,
        "model": task.model,
        # The largest context that any of the models saw, summaries together.
        "input_tokens": max(
            usage.tokens.total_input,
            sum(each.tokens.total_input for each in compactions),
            *(each.tokens.total_input for each in usage.iterations),
        )
        if usage.iterations
        else usage.tokens.total_input,
        "max_tokens": task.max_tokens,
        "ttl_seconds": ttl_seconds,
        "cache_lifetimes": _cache_lifetimes(usage),
    }
    if usage.web_search_requests:
        asked["web_search_requests"] = usage.web_search_requests
    if usage.service_tier != "standard":
        asked["service_tier"] = usage.service_tier
    if usage.speed == "fast":
        asked["speed"] = usage.speed
    if usage.inference_geo != "global":
        asked["inference_geo"] = usage.inference_geo
    if compactions:
        asked["compaction"] = {"trigger": 0}
    if advice := _of(usage, "advisor_message"):
        asked["advisor"] = {
            "model": advice[0].model,
            "max_uses": len(advice),
            "max_tokens": max(1, *(each.tokens.output for each in advice)),
        }
    attempts = _of(usage, "message") + _of(usage, "fallback_message")
    others = dict.fromkeys(each.model for each in attempts if each.model not in (None, task.model))
    if others:
        asked["fallbacks"] = [{"model": model} for model in others]
    return asked


def _cache_lifetimes(usage: Usage) -> list[str]:
    every: Sequence[Tokens] = [usage.tokens, *(each.tokens for each in usage.iterations)]
    written = {
        "5m": any(tokens.cache_write_5m for tokens in every),
        "1h": any(tokens.cache_write_1h for tokens in every),
    }
    return [lifetime for lifetime, is_written in written.items() if is_written]


def _of(usage: Usage, kind: IterationType) -> list[Iteration]:
    return [each for each in usage.iterations if each.type == kind]
