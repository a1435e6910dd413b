"""Usage objects as tests write them: the counts first, in the order of the API."""

from __future__ import annotations

from headroom.pricing.domain.prices import ServiceTier
from headroom.pricing.domain.usage import Geography, Iteration, Speed, Tokens, Usage


def used(
    input_tokens: int = 0,
    output_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_5m_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    web_search_requests: int = 0,
    service_tier: ServiceTier = "standard",
    *,
    speed: Speed | None = None,
    inference_geo: Geography = "global",
    iterations: tuple[Iteration, ...] = (),
) -> Usage:
    return Usage(
        tokens=Tokens(
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
        ),
        web_search_requests=web_search_requests,
        service_tier=service_tier,
        speed=speed,
        inference_geo=inference_geo,
        iterations=iterations,
    )
