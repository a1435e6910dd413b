"""The models that examples name, in one place, because a vendor takes its models away.

The demo, the bench and the OpenAPI document take them from here. Documents, sample events and the
client's pages cannot: tests/unit/test_example_models.py holds them to this, and this to what the
`anthropic` SDK says of each model's end. To move on, change these, replace the old names in what
that test then lists, and rebuild the OpenAPI document.
"""

from __future__ import annotations

from typing import Final

MODEL: Final = "claude-sonnet-4-6"
SMALL_MODEL: Final = "claude-haiku-4-5"
LARGE_MODEL: Final = "claude-opus-4-8"
MODELS: Final = (MODEL, SMALL_MODEL, LARGE_MODEL)
