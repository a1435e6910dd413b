"""Names as people look for them."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Return a text without accents and case: who types "zoe" looks for "Zoë"."""
    parted = unicodedata.normalize("NFD", text)
    return "".join(each for each in parted if not unicodedata.combining(each)).casefold().strip()
