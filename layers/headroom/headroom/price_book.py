"""The price book that ships with the layer, read once at import.

Built by `make prices`; reading it costs a few milliseconds, and no package is imported for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from headroom.domain.prices import PriceBook


def load(path: Path) -> PriceBook:
    """Read a price book from its file."""
    return PriceBook.from_dict(json.loads(path.read_text(encoding="utf-8")))


PRICE_BOOK: Final = load(Path(__file__).with_name("price_book.json"))
