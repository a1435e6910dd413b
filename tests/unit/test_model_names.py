"""How people spell models, and what is no model of ours."""

from __future__ import annotations

import pytest
from anthropic.types.model import Model

from headroom.pricing.domain.model_names import read_model_name
from headroom.pricing.domain.prices import UnknownModel
from headroom.pricing.price_book import PRICE_BOOK

ARN = "arn:aws:bedrock:us-east-1:123456789012:"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("Claude-Opus-5-5", "claude-opus-5-5"),
        ("claude-opus-5-5-latest", "claude-opus-5-5"),
        ("claude-opus-5-5-20260922", "claude-opus-5-5"),
        ("claude-opus-5-5-2026-09-22", "claude-opus-5-5"),
        # Vertex AI.
        ("claude-opus-5-5@20260922", "claude-opus-5-5"),
        ("claude-opus-5-5@default", "claude-opus-5-5"),
        (
            "projects/p1/locations/us-east5/publishers/anthropic/models/claude-opus-4-5@20251101",
            "claude-opus-4-5",
        ),
        ("vertex_ai/claude-sonnet-4@20250514", "claude-sonnet-4-0"),
        # Amazon Bedrock.
        ("anthropic.claude-haiku-5-5", "claude-haiku-5-5"),
        ("us.anthropic.claude-opus-5", "claude-opus-5"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("apac.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
        ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("anthropic.claude-3-sonnet-20240229-v1:0:28k", "claude-3-sonnet"),
        ("anthropic.claude-v2:1", "claude-2"),
        (
            f"{ARN}inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5", "claude-opus-5"),
        ("bedrock/us-west-2/anthropic.claude-v2:1", "claude-2"),
        ("bedrock/converse/global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        # Gateways.
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter/anthropic/claude-sonnet-4.5:thinking", "claude-sonnet-4-5"),
        ("anthropic/claude-opus-4.8-fast", "claude-opus-4-8"),
        ("openai/claude-opus-5-5", "claude-opus-5-5"),
        ("litellm_proxy/bedrock/converse/us-west-2/us.anthropic.claude-opus-5", "claude-opus-5"),
        (f"bedrock/{ARN}inference-profile/us.anthropic.claude-opus-5", "claude-opus-5"),
        ("databricks/databricks-claude-opus-5-5", "claude-opus-5-5"),
        ("databricks/claude-opus-5-5", "claude-opus-5-5"),
        ("gradient_ai/anthropic-claude-3.7-sonnet", "claude-3-7-sonnet-latest"),
        ("vercel_ai_gateway/anthropic/claude-opus-4.5", "claude-opus-4-5"),
        ("bedrock_mantle/us-gov-west-1/anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("replicate/anthropic/claude-4.5-haiku", "claude-haiku-4-5"),
        # Claude Code.
        ("claude-haiku-5-5[1m]", "claude-haiku-5-5"),
        ("claude-sonnet-4-6[1m]", "claude-sonnet-4-6"),
        # The version before the family, and with dots.
        ("claude-4.6-opus", "claude-opus-4-6"),
        ("claude-3.7-sonnet", "claude-3-7-sonnet-latest"),
        ("claude-opus-4", "claude-opus-4-0"),
        ("claude-opus-5.0", "claude-opus-5"),
        ("claude-mythos-preview", "claude-mythos-preview"),
    ],
)
def test_a_model_goes_by_many_names(name: str, model: str) -> None:
    assert PRICE_BOOK.find(name).id == model


@pytest.mark.parametrize(
    "name",
    [
        "opus",
        "claude",
        "claude-opus",
        "claude-9",
        "claude-opus-9",
        "claude-opus-4-65",
        "claude-sonnet-4-59",
        "claude-opus-05",
        "claude-opus-5-5-5",
        "claude-opus-5-5-20269999",
        "claude-opus-5-5-2026092",
        "claude-opus-5-5-20260922-20260922",
        "claude-opus-5-fast-fast",
        "claude-sonnet-5-5-fast",
        "claude-opus-5-5-turbo",
        "claude-opus-5-5:free",
        "us.claude-opus-5",
        # Nothing is called so: each prefix comes once, in its place; newer names begin with
        # the family.
        "anthropic.anthropic.openai/claude-opus-5",
        "anthropic.anthropic.claude-opus-5",
        "anthropic/anthropic/claude-opus-5",
        "anthropic.bedrock/claude-opus-5",
        "us.us.anthropic.claude-opus-5",
        "bedrock/bedrock/anthropic.claude-opus-5",
        "anthropic/openrouter/claude-opus-5",
        "databricks-databricks-claude-opus-5",
        "anthropic-claude-opus-5",
        "claude-5-opus",
        "claude-5.5-sonnet",
        "xx.anthropic.claude-opus-5",
        "anthropic.claude-opus-5:1:2:3:4",
        "openai/gpt-5",
        "gpt-5",
        "meta.llama3-70b",
        "<synthetic>",
        "claude-opus-5-5\n",
        "claude-opus-5-5@20260922 ",
        "claude-haiku-5-5[2m]",
        # A Kelvin sign is no k, though it is one in lower case.
        "claude-hai\N{KELVIN SIGN}u-5-5",
        f"{ARN}application-inference-profile/abcdef123456",
    ],
)
def test_what_is_no_spelling_of_a_model_has_no_price(name: str) -> None:
    with pytest.raises(UnknownModel):
        PRICE_BOOK.find(name)


def test_every_model_that_the_sdk_names_has_a_price() -> None:
    """A newer SDK names newer models: then the price book has to be refreshed, or added to."""
    literal = Model.__args__[0]  # type: ignore[attr-defined]
    for name in literal.__args__:
        assert PRICE_BOOK.find(name).prices, name


def test_only_names_that_end_so_ask_for_fast_mode() -> None:
    assert read_model_name("claude-opus-4.8-fast") is not None
    assert PRICE_BOOK.is_fast("anthropic/claude-opus-4.8-fast")
    assert not PRICE_BOOK.is_fast("claude-opus-4-8")
