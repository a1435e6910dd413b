"""The price book that ships with the layer, read once at import.

Rates are built by `make prices`, modifiers are kept by hand beside them; reading both costs a few
milliseconds, and no package is imported for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from headroom.pricing.domain.prices import PriceBook


def load(prices: Path, modifiers: Path) -> PriceBook:
    """Read a price book from its two files."""
    return PriceBook.from_dict(_read(prices), _read(modifiers))


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


_HERE: Final = Path(__file__).parent

PRICE_BOOK: Final = load(_HERE / "price_book.json", _HERE / "price_modifiers.json")
