"""Paths and the rules that they follow, such as `/v1/authorizations/<authorization_id>`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headroom.core.errors import MethodNotAllowed, NotFound


def match(rule: str, path: Sequence[str]) -> dict[str, str] | None:
    """Return the parameters that make the path follow the rule, None if it does not."""
    segments = rule.split("/")
    if len(segments) != len(path):
        return None
    parameters: dict[str, str] = {}
    for segment, given in zip(segments, path, strict=True):
        if segment.startswith("<") and given:
            parameters[segment[1:-1]] = given
        elif segment != given:
            return None
    return parameters


def nothing_at(
    method: str, path: Sequence[str], places: Iterable[tuple[str, str]]
) -> MethodNotAllowed | NotFound:
    """Return why nobody answers here: the path is no place's, or not with this method.

    `places` are all methods and rules that somebody answers.
    """
    allowed = sorted({each for each, rule in places if match(rule, path) is not None})
    if not allowed or method in allowed:
        return NotFound("path: there is nothing here")
    return MethodNotAllowed(allowed)
