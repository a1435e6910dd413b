"""Which roles who may give, and take away: nobody gives what they do not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headroom.core.errors import Forbidden
from headroom.organizations.domain.organization import Role

# None is an API key. What it may change of membership, it may change of plain members.
Giver = Role | None

MAY_GIVE: Final[Mapping[Giver, frozenset[Role]]] = {
    "primary_owner": frozenset({"owner", "admin", "member"}),
    "owner": frozenset({"admin", "member"}),
    "admin": frozenset(),
    "member": frozenset(),
    None: frozenset({"member"}),
}
# Nobody takes the primary owner's.
MAY_TAKE: Final[Mapping[Giver, frozenset[Role]]] = {
    "primary_owner": frozenset({"owner", "admin", "member"}),
    "owner": frozenset({"owner", "admin", "member"}),
    "admin": frozenset(),
    "member": frozenset(),
    None: frozenset({"member"}),
}
# What a role may beyond what every member may. Nobody and a member are alike in it.
_RANKS: Final[Mapping[object, int]] = {"admin": 1, "owner": 2, "primary_owner": 3}


def check_role_change(
    by: Giver, old: Role | None, new: Role | None, *, field: str = "role"
) -> None:
    """Check that somebody may change a role; None is that of nobody's member.

    Raises:
        Forbidden: the one role is not theirs to take, or the other not theirs to give.
    """
    if old == new:
        return
    if old is not None and old not in MAY_TAKE[by]:
        raise Forbidden(f"{field}: {_named(by)} may not take the role {old} from anybody")
    if new is not None and new not in MAY_GIVE[by]:
        raise Forbidden(f"{field}: {_named(by)} may not give anybody the role {new}")


def raises_rights(old: object, new: object) -> bool:
    """Tell whether a person may more with the new role than with the old one."""
    return _RANKS.get(new, 0) > _RANKS.get(old, 0)


def _named(by: Giver) -> str:
    return "an API key" if by is None else f"your role ({by})"
