"""What API keys may be made for."""

from __future__ import annotations

from typing import Final

SERVICE_SCOPES: Final = ("write:usage",)
ADMIN_SCOPES: Final = (
    "read:spend_limits",
    "write:spend_limits",
    "read:billing",
    "write:billing",
    "write:members",
)
SCOPES: Final = (*SERVICE_SCOPES, *ADMIN_SCOPES)
