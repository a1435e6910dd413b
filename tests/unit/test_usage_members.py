"""Every member of the SDK's usage types is decided about: a newer SDK fails here until it is."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator

from anthropic import BaseModel
from anthropic.types import Usage
from anthropic.types.beta import BetaMessageDeltaUsage, BetaUsage

from headroom.pricing.domain.usage import MEMBERS


def paths(of: object, path: str = "") -> Iterator[str]:
    """Walk a type of the SDK, and return the path of each member that is a plain value."""
    origin = typing.get_origin(of)
    if isinstance(of, type) and issubclass(of, BaseModel):
        for name, field in of.model_fields.items():
            yield from paths(field.annotation, f"{path}.{name}" if path else name)
    elif isinstance(of, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        yield from paths(of.__value__, path)
    elif origin is typing.Annotated:
        yield from paths(typing.get_args(of)[0], path)
    elif origin in (typing.Union, types.UnionType):
        for each in typing.get_args(of):
            if each is not type(None):
                yield from paths(each, path)
    elif origin is list and path != "fallback_credit.status.remove_to_redeem":
        yield from paths(typing.get_args(of)[0], path)
    else:
        yield path


def test_each_member_of_the_usage_types_is_charged_by_explained_by_or_ignored() -> None:
    known = {*paths(BetaUsage), *paths(Usage), *paths(BetaMessageDeltaUsage)}
    assert known - MEMBERS.keys() == set(), "decide what is done with them"
    assert MEMBERS.keys() - known == set(), "the SDK has them no more"


def test_the_walk_sees_what_lies_inside() -> None:
    found = set(paths(BetaUsage))
    assert {"speed", "iterations.model", "fallback_credit.status.reason"} <= found
