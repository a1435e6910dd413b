"""Whole numbers cut into shares, for tests that need parts of a sum."""

from __future__ import annotations

from collections.abc import Sequence


def allocate(total_nanos: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to `weights` into parts that sum to it exactly.

    The nanos that proportion alone cannot place go one each to the largest remainders, the
    earlier part first where remainders tie, so the same call always gives the same parts.

    Raises:
        ValueError: a negative amount or weight, or no weight above zero.
    """
    if total_nanos < 0 or any(weight < 0 for weight in weights):
        raise ValueError("cannot allocate a negative amount or by negative weights")
    whole = sum(weights)
    if not whole:
        raise ValueError("cannot allocate by weights that sum to zero")
    parts = [total_nanos * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda index: -(total_nanos * weights[index] % whole)
    )
    for index in by_remainder[: total_nanos - sum(parts)]:
        parts[index] += 1
    return parts
