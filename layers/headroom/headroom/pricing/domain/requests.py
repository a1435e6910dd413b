"""What a client says of a request before it is sent: everything that can make it dearer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from headroom.pricing.domain.prices import ServiceTier
from headroom.pricing.domain.usage import Geography, Speed

CacheLifetime = Literal["5m", "1h"]
CACHE_LIFETIMES: Final[tuple[CacheLifetime, ...]] = ("5m", "1h")

ServerTool = Literal["web_search", "web_fetch", "code_execution", "tool_search", "mcp"]
SERVER_TOOLS: Final[tuple[ServerTool, ...]] = (
    "web_search",
    "web_fetch",
    "code_execution",
    "tool_search",
    "mcp",
)


@dataclass(frozen=True, slots=True)
class Advisor:
    """A model that the request may ask: how often, and how much it may say each time."""

    model: str
    max_uses: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that is tried when those before it declined; None stands for the request's own."""

    model: str
    max_tokens: int | None = None
    speed: Speed | None = None


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What was asked for, kept with the hold so that it can be enlarged under the same terms.

    `inference_geo` None is the organization's default, `cache_lifetimes` None is any,
    `compaction_trigger` None is no compaction. `server_tools` are those beside the searches of
    `web_search_requests`, with how often each may be used, None for as often as it likes.
    """

    model: str
    input_tokens: int
    max_tokens: int
    web_search_requests: int
    service_tier: ServiceTier
    speed: Speed = "standard"
    inference_geo: Geography | None = None
    cache_lifetimes: tuple[CacheLifetime, ...] | None = None
    compaction_trigger: int | None = None
    advisor: Advisor | None = None
    fallbacks: tuple[Fallback, ...] = ()
    default_fallbacks: bool = False
    server_tools: tuple[tuple[ServerTool, int | None], ...] = ()

    def searches_at_most(self, most: int) -> int:
        """Return how many searches `server_tools` allows, `most` where it does not say."""
        uses = dict(self.server_tools)
        if "web_search" not in uses:
            return 0
        limit = uses["web_search"]
        return most if limit is None else limit

    def pack(self) -> str:
        """Return one short string; the hold shares the member's one write unit of 1 KB.

        What most requests do not say takes no room. Models come last in their word, because their
        names hold every sign but a space.
        """
        words = [
            f"{self.model} {self.input_tokens} {self.max_tokens} "
            f"{self.web_search_requests} {self.service_tier}"
        ]
        if self.speed != "standard":
            words.append(f"s={self.speed}")
        if self.inference_geo is not None:
            words.append(f"g={self.inference_geo}")
        if self.cache_lifetimes is not None:
            words.append(f"c={','.join(self.cache_lifetimes)}")
        if self.compaction_trigger is not None:
            words.append(f"k={self.compaction_trigger}")
        if self.advisor is not None:
            limits = f"{_said(self.advisor.max_uses)}:{_said(self.advisor.max_tokens)}"
            words.append(f"a={limits}:{self.advisor.model}")
        for fallback in self.fallbacks:
            terms = f"{_said(fallback.max_tokens)}:{fallback.speed or ''}"
            words.append(f"f={terms}:{fallback.model}")
        if self.default_fallbacks:
            words.append("d=1")
        words += [f"t={_said(uses)}:{tool}" for tool, uses in self.server_tools]
        return " ".join(words)

    @classmethod
    def unpack(cls, text: str) -> HoldRequest:
        """Read what `pack` wrote, also in a release that knew fewer words."""
        model, input_tokens, max_tokens, searches, tier, *words = text.split(" ")
        said: dict[str, list[str]] = {}
        for word in words:
            name, _, value = word.partition("=")
            said.setdefault(name, []).append(value)
        lifetimes = said.get("c")
        advisor = None
        if "a" in said:
            uses, tokens, its_model = said["a"][0].split(":", 2)
            advisor = Advisor(its_model, _whole(uses), _whole(tokens))
        return cls(
            model=model,
            input_tokens=int(input_tokens),
            max_tokens=int(max_tokens),
            web_search_requests=int(searches),
            service_tier="batch" if tier == "batch" else "standard",
            speed="fast" if "s" in said else "standard",
            inference_geo=_geography(said["g"][0]) if "g" in said else None,
            cache_lifetimes=None
            if lifetimes is None
            else tuple(each for each in CACHE_LIFETIMES if each in lifetimes[0].split(",")),
            compaction_trigger=int(said["k"][0]) if "k" in said else None,
            advisor=advisor,
            fallbacks=tuple(_fallback(value) for value in said.get("f", ())),
            default_fallbacks="d" in said,
            server_tools=tuple(
                (tool, _whole(value.partition(":")[0]))
                for value in said.get("t", ())
                for tool in SERVER_TOOLS
                if value.partition(":")[2] == tool
            ),
        )


def _said(limit: int | None) -> str:
    return "" if limit is None else str(limit)


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _geography(text: str) -> Geography:
    return "us" if text == "us" else "global"


def _fallback(text: str) -> Fallback:
    tokens, speed, model = text.split(":", 2)
    at: Speed | None = None
    if speed:
        at = "fast" if speed == "fast" else "standard"
    return Fallback(model, _whole(tokens), at)
