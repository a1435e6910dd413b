"""The words that the page has for the facts of the audit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from tools.local_stack.emulator import ROOT

ASSETS: Final = ROOT / "functions" / "serve_page" / "assets"


def wordless(facts: Iterable[str]) -> set[str]:
    """Return those of the facts that the page shows without words in each of its languages."""
    return {fact for fact in facts if fact not in _hidden() and _key(fact) not in _words()}


def _key(fact: str) -> str:
    if fact.startswith("seat_tiers."):
        return "fact.seat"
    topic = fact.removeprefix("mail.")
    return f"fact.{fact}" if topic == fact else f"mail.topic.{topic}"


@cache
def _hidden() -> frozenset[str]:
    found = re.search(r"const HIDDEN = (\[.*\]);", (ASSETS / "views" / "activity.js").read_text())
    assert found is not None
    return frozenset(json.loads(found[1]))


@cache
def _words() -> frozenset[str]:
    """The keys that every language has."""
    files = (ASSETS / "i18n").glob("*.json")
    return frozenset.intersection(*(frozenset(json.loads(each.read_text())) for each in files))
