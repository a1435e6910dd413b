"""What the plugin makes of what LiteLLM makes of usage objects.

LiteLLM has an environment of its own, so that one runs this: usage as JSON on stdin and stdout.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.types.utils import Usage

from headroom_client.litellm import usage_of


def main() -> None:
    """Answer with each usage object as it is reported."""
    config = AnthropicConfig()
    made = [
        # What has LiteLLM's names is already its own.
        Usage(**raw) if "prompt_tokens" in raw else config.calculate_usage(raw, None)
        for raw in json.load(sys.stdin)
    ]
    json.dump([usage_of(SimpleNamespace(usage=each)) for each in made], sys.stdout)


if __name__ == "__main__":
    main()
