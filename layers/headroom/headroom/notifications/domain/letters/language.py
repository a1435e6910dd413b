"""What a language needs for letters: its words, its money, its dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wording:
    """A letter in words, in which `{name}` stands for a value.

    A line with a value that is not known is left out, so the subject has none but those that its
    event always carries.
    """

    subject: str
    lines: tuple[str, ...]


class Language(Protocol):
    """A language of letters."""

    code: str
    wordings: Mapping[str, Wording]
    # "Hello {recipient},", the label of the link, and why the letter was sent.
    greeting: str
    link: str
    footer: str
    # "day", "week", "month" as in "your daily limit", by limit period.
    periods: Mapping[str, str]
    # The roles that a letter may name.
    roles: Mapping[str, str]

    def money(self, cents: int, currency: str) -> str:
        """Print an amount as people write it."""

    def date(self, year: int, month: int, day: int) -> str:
        """Print a day."""

    def month(self, year: int, month: int) -> str:
        """Print a month."""
