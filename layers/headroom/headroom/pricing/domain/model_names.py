"""What people call a model, read as one plain model: the table of spellings.

The same model comes as `claude-opus-5-5`, `claude-opus-5-5@20260922`, `claude-haiku-5-5[1m]`,
`us.anthropic.claude-opus-4-6-v1:0`, `bedrock/…`, `anthropic/claude-sonnet-4.6`, or inside an ARN.
A name is taken apart from both ends by the tables below, and what is left has to be a whole family
and version: no match of beginnings, so that `claude-opus-4-65` is not read as 4.6.

Sources of the spellings: the model pages of the Claude API, Amazon Bedrock's ids and inference
profiles, Vertex AI's `@date`, and the prefixes of OpenRouter and of LiteLLM, whose whole map of
models a test reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

NAME_LENGTH_MAX: Final = 128

# Where a name says through whom it was called: each at most once, and in this order.
PREFIXES: Final[tuple[re.Pattern[str], ...]] = tuple(
    re.compile(pattern)
    for pattern in (
        # LiteLLM: a proxy, or whatever speaks OpenAI's protocol, before whom it calls.
        r"(?:litellm_proxy|openai)/",
        # LiteLLM's providers, two of which have a name of their own for a model.
        r"(?:aihubmix|azure_ai|bedrock|bedrock_mantle|deepinfra|github_copilot|gmi|heroku|openrouter"
        r"|perplexity|replicate|snowflake|vercel_ai_gateway|vertex_ai)/"
        r"|databricks/(?:databricks-)?|gradient_ai/(?:anthropic-)?",
        r"(?:converse|converse_like|invoke)/",
        r"[a-z]{2}(?:-[a-z]+)+-[0-9]/",  # A region of Amazon's, as in bedrock/us-west-2/…
        # The vendor by OpenRouter and LiteLLM, or a whole resource name: a publisher's model of
        # Google's, Amazon's foundation model or a system's inference profile.
        r"anthropic/"
        r"|(?:projects/[^/]+/)?(?:locations/[^/]+/)?publishers/anthropic/models/"
        r"|arn:aws[a-z-]*:bedrock:[a-z0-9-]*:[0-9]*:(?:inference-profile|foundation-model)/",
        # Amazon: a cross-region inference profile, and the vendor.
        r"(?:us|us-gov|eu|apac|jp|au|ca|global)\.(?=anthropic\.)",
        r"anthropic\.",
    )
)

# What may stand behind a version, each at most once; taken off from the back.
ENDINGS: Final[dict[str, re.Pattern[str]]] = {
    "window": re.compile(r"\[1m\]$"),
    "variant": re.compile(r":(?:beta|thinking)$"),  # OpenRouter's, at the same price.
    "revision": re.compile(r"-v[0-9]{1,2}(?::[0-9]{1,2}(?::[0-9]{1,4}k)?)?$"),  # Amazon's.
    "dated": re.compile(
        r"(?:[-@](?P<day>20[0-9]{6})|-(?P<dashed>20[0-9]{2}-[0-9]{2}-[0-9]{2})|[-@]latest|@default)$"
    ),
    "fast": re.compile(r"-fast$"),
}

FAMILIES: Final = "opus|sonnet|haiku|fable|mythos"
_FAMILY_FIRST: Final = re.compile(
    rf"claude-(?P<family>{FAMILIES})-(?P<major>[1-9][0-9]?)(?:[-.](?P<minor>0|[1-9][0-9]?))?"
)
# So were models called until Claude 4, and by some gateways those of 4.
_VERSION_FIRST: Final = re.compile(
    rf"claude-(?P<major>[1-4])(?:[-.](?P<minor>0|[1-9][0-9]?))?-(?P<family>{FAMILIES})"
)
# Names from before there were families, and one that has no version.
_PLAIN: Final = {
    "claude-v1": "claude-v1",
    "claude-2": "claude-2",
    "claude-2.0": "claude-2",
    "claude-2.1": "claude-2",
    "claude-v2": "claude-2",
    "claude-v2:1": "claude-2",
    "claude-mythos-preview": "claude-mythos-preview",
}
_VISIBLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name taken apart: which model, and what the name itself asks of it.

    `key` is the same for all spellings of a model. `fast` is said by ids that end in `-fast`.
    """

    key: str
    fast: bool = False


def read_model_name(name: str) -> ModelName | None:
    """Return which model is meant by a name, None if it is no spelling of any.

    That there is such a model, and what it costs, is for the price book to say.
    """
    if len(name) > NAME_LENGTH_MAX or not _VISIBLE.fullmatch(name):
        return None
    rest = name.lower()
    for prefix in PREFIXES:
        if found := prefix.match(rest):
            rest = rest[found.end() :]
    if rest in _PLAIN:
        return ModelName(_PLAIN[rest])
    endings: set[str] = set()
    while (ending := _ending(rest)) is not None:
        kind, rest = ending
        if kind in endings:
            return None
        endings.add(kind)
    version = _PLAIN.get(rest) or _version(rest)
    return None if version is None else ModelName(version, fast="fast" in endings)


def _ending(rest: str) -> tuple[str, str] | None:
    for kind, pattern in ENDINGS.items():
        found = pattern.search(rest)
        if found is None or (kind == "dated" and not _is_day(found)):
            continue
        return kind, rest[: found.start()]
    return None


def _is_day(found: re.Match[str]) -> bool:
    """Tell a date from eight digits that are none."""
    said = found["day"] or found["dashed"]
    if said is None:
        return True
    try:
        date.fromisoformat(said)
    except ValueError:
        return False
    return True


def _version(rest: str) -> str | None:
    found = _FAMILY_FIRST.fullmatch(rest) or _VERSION_FIRST.fullmatch(rest)
    if found is None:
        return None
    return f"{found['family']}-{int(found['major'])}.{int(found['minor'] or 0)}"
