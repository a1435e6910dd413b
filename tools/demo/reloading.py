"""The Team organization's wallet is to reach its threshold in the demo, and reload itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import httpx2

WALLET: Final = "/v1/organizations/wallet"
# The threshold lies so little below the balance that any replay reaches it.
ROOM_CENTS: Final = 100
RELOAD_CENTS: Final = 2000
TIMEOUT_SECONDS: Final = 30.0
# From the last event over the stream to the card and back.
PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Reload:
    """A reload as the wallet's owner sees it."""

    amount_cents: str
    payment_id: str
    card: str

    def told(self) -> str:
        """Return it in a few words."""
        return f"{Decimal(self.amount_cents) / 100:.2f} USD by {self.card} ({self.payment_id})"


class Reloading:
    """Auto-reload of one organization, by its primary owner."""

    def __init__(self, stack: Mapping[str, Any]) -> None:
        team = next(each for each in stack["organizations"] if each["plan"] == "team")
        owner = next(each for each in team["members"] if each["role"] == "primary_owner")
        self._http = httpx2.Client(
            base_url=stack["api_url"],
            headers={"authorization": f"Bearer {owner['token']}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        self._threshold = Decimal(0)
        self._known: frozenset[str] = frozenset()

    def arm(self) -> None:
        """Let the wallet reload itself a little below its present balance."""
        self._known = frozenset(entry["id"] for entry in self._entries())
        threshold = max(int(Decimal(self._wallet()["balance"])) - ROOM_CENTS, 0)
        self._threshold = Decimal(threshold)
        wanted = {
            "enabled": True,
            "threshold": str(threshold),
            "amount": str(RELOAD_CENTS),
            "monthly_limit": None,
        }
        self._http.put(f"{WALLET}/auto_reload", json=wanted).raise_for_status()

    def settle(self) -> list[Reload]:
        """Wait for a reload that is on its way, and return those that came since it was armed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (came := self._came()) and time.monotonic() < deadline:
            if Decimal(self._wallet()["balance"]) > self._threshold:
                break
            time.sleep(0.5)
        # Later runs, and whoever tries the stack, should find it as they set it.
        self._http.put(f"{WALLET}/auto_reload", json={"enabled": False}).raise_for_status()
        return came

    def _came(self) -> list[Reload]:
        method = self._wallet()["payment_method"] or {"brand": "card", "last4": "?"}
        card = f"{method['brand']} {method['last4']}"
        return [
            Reload(entry["amount"], entry["payment_id"], card)
            for entry in self._entries()
            if entry["kind"] == "reload" and entry["id"] not in self._known
        ]

    def _wallet(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(WALLET).raise_for_status().json()
        return answer

    def _entries(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (
            self._http.get(f"{WALLET}/entries", params={"limit": 1000})
            .raise_for_status()
            .json()["data"]
        )
        return rows
