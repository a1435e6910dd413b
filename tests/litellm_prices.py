"""What LiteLLM makes of usage objects, by its own cost map and calculator.

It has an environment of its own, so that one runs this: cases as JSON on stdin, USD on stdout.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm
from litellm.cost_calculator import batch_cost_calculator
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.llms.anthropic.cost_calculation import (
    cost_per_token,
    get_cost_for_anthropic_web_search,
)


def usd(model: str, raw: dict[str, Any]) -> float:
    """Return what a usage object costs."""
    usage = AnthropicConfig().calculate_usage(raw, None)
    if raw.get("service_tier") == "batch":
        tokens = batch_cost_calculator(usage, model, "anthropic")
    else:
        tokens = cost_per_token(model, usage)
    info = litellm.get_model_info(model, custom_llm_provider="anthropic")
    return float(sum(tokens) + get_cost_for_anthropic_web_search(info, usage))


def main() -> None:
    """Answer with the models that the map has, and the cost of each case for each of them.

    `elsewhere` are models that it has only as others run them: they count as Anthropic's own.
    """
    asked = json.load(sys.stdin)
    cases = asked["cases"]
    for name in asked["elsewhere"]:
        entry = {**litellm.model_cost[name], "litellm_provider": "anthropic"}
        litellm.register_model({name: entry})
    models = [
        name
        for name, entry in litellm.model_cost.items()
        if entry.get("litellm_provider") == "anthropic" and "claude" in name
    ]
    costs = {model: {name: usd(model, raw) for name, raw in cases.items()} for model in models}
    json.dump(costs, sys.stdout)


if __name__ == "__main__":
    main()
