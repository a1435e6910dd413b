"""How an organization's requests are read: what its own names mean, and what is their default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.pricing.domain.bounds import LOOP_ROUNDS
from headroom.pricing.domain.usage import Geography

ALIASES_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class PricingTerms:
    """What an owner has said of the organization's requests.

    `model_aliases` give a model to names that only their owner can know, such as an application's
    inference profile. `default_inference_geo` is that of the workspace, for requests that name
    none. `loop_rounds` is how often a server's tool loop is held for, at most.
    """

    model_aliases: Mapping[str, str] = field(default_factory=dict)
    default_inference_geo: Geography = "global"
    loop_rounds: int = LOOP_ROUNDS

    def model_meant(self, name: str) -> str:
        """Return the model that a name means here: most often the name itself."""
        return self.model_aliases.get(name, name)

    def pack(self) -> dict[str, Any] | None:
        """Return the terms as items keep them, None for those of an organization that said none."""
        if self == NOTHING_SAID:
            return None
        return {
            "model_aliases": dict(self.model_aliases),
            "default_inference_geo": self.default_inference_geo,
            "loop_rounds": self.loop_rounds,
        }

    @classmethod
    def unpack(cls, raw: Mapping[str, Any] | None) -> PricingTerms:
        """Read what `pack` returned."""
        if raw is None:
            return NOTHING_SAID
        return cls(
            model_aliases=dict(raw["model_aliases"]),
            default_inference_geo="us" if raw["default_inference_geo"] == "us" else "global",
            loop_rounds=raw["loop_rounds"],
        )


NOTHING_SAID: Final = PricingTerms()
