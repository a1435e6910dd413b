"""How an organization's requests are read, as owners set it: `/v1/organizations/pricing`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import as_object, choice, known_only, text, whole
from headroom.pricing.domain.bounds import LOOP_ROUNDS_MAX
from headroom.pricing.domain.model_names import read_model_name
from headroom.pricing.domain.prices import MODEL_LENGTH_MAX, PriceBook
from headroom.pricing.domain.pricing_terms import ALIASES_MAX, PricingTerms
from headroom.pricing.domain.usage import Geography

GEOGRAPHIES: Final = ("global", "us")
ALIAS: Final = re.compile(rf"[!-~]{{1,{MODEL_LENGTH_MAX}}}")


@dataclass(frozen=True, slots=True)
class PricingChange:
    """What an owner changes: what is None stays as it is."""

    model_aliases: Mapping[str, str] | None
    default_inference_geo: Geography | None
    loop_rounds: int | None

    def applied_to(self, terms: PricingTerms) -> PricingTerms:
        """Return the terms after the change."""
        return PricingTerms(
            model_aliases=terms.model_aliases if self.model_aliases is None else self.model_aliases,
            default_inference_geo=self.default_inference_geo or terms.default_inference_geo,
            loop_rounds=self.loop_rounds or terms.loop_rounds,
        )


def parse_pricing(body: object, book: PriceBook) -> PricingChange:
    """Read what is to change; `model_aliases` is all of them, and empty is none.

    Raises:
        InvalidRequest: a member is unknown or wrong, or there is none.
        UnknownModel: a name is to mean a model that has no price.
    """
    fields = as_object(body, "body")
    names = ("model_aliases", "default_inference_geo", "loop_rounds")
    known_only(fields, frozenset(names))
    if not fields:
        raise InvalidRequest("body", f"must have some of {', '.join(names)}")
    aliases = geo = rounds = None
    if "model_aliases" in fields:
        aliases = _aliases(fields["model_aliases"], book)
    if "default_inference_geo" in fields:
        geo = cast("Geography", choice(fields, "default_inference_geo", GEOGRAPHIES))
    if "loop_rounds" in fields:
        rounds = whole(fields, "loop_rounds", least=1, most=LOOP_ROUNDS_MAX)
    return PricingChange(aliases, geo, rounds)


def pricing_to_wire(terms: PricingTerms) -> dict[str, Any]:
    """Return the terms as the wire has them."""
    return {
        "type": "pricing",
        "model_aliases": dict(sorted(terms.model_aliases.items())),
        "default_inference_geo": terms.default_inference_geo,
        "loop_rounds": terms.loop_rounds,
    }


def _aliases(value: object, book: PriceBook) -> dict[str, str]:
    fields = as_object(value, "model_aliases")
    if len(fields) > ALIASES_MAX:
        raise InvalidRequest("model_aliases", f"must have at most {ALIASES_MAX} names")
    found = {}
    for name in fields:
        if not ALIAS.fullmatch(name):
            raise InvalidRequest(
                "model_aliases",
                f"names must have 1 to {MODEL_LENGTH_MAX} visible ASCII characters, no spaces",
            )
        path = f"model_aliases.{name}"
        if read_model_name(name) is not None:
            # Also of a model that is not known yet: nobody may say beforehand what it costs.
            raise InvalidRequest(path, "is a model's own name; the price book says what it means")
        model = text(fields, name, length_max=MODEL_LENGTH_MAX, path="model_aliases.")
        book.find(model, path)
        found[name] = model
    return found
