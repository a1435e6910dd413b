"""Examples name models that can be had: a stranger's first call should not be one that is refused.

Tests price old models on purpose, and are not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic.resources.messages import DEPRECATED_MODELS

from headroom.pricing.domain.prices import UnknownModel
from headroom.pricing.price_book import PRICE_BOOK
from tests.documents import DOCUMENTS, ROOT
from tools.example_models import MODELS

NAME = re.compile(r"claude-(?:[a-z]*-?[0-9][a-z0-9.@-]*|[a-z]+-(?:latest|preview))", re.IGNORECASE)
# Prices are of every model that was ever sold, and no examples.
PRICES = {
    ROOT / "layers" / "headroom" / "headroom" / "pricing" / "price_book.json",
    ROOT / "layers" / "headroom" / "headroom" / "pricing" / "price_modifiers.json",
    ROOT / "tools" / "prices" / "additions.json",
}
# These tell of prices and names, of other models than the examples'. None of them may come to an
# end either, but in a row of a table of rates, or of the table of names that stand for themselves.
ON_PRICES = {
    "docs/adr/0030-a-price-is-a-function-of-the-whole-request.md",
    "docs/prices.md",
    "layers/headroom/headroom/pricing/domain/model_names.py",
}
RATES = re.compile(r"^\| claude-\S+ \|(?: (?:[0-9.]+|not sold) \|)+$", re.MULTILINE)
NAMES = re.compile(r'^    "claude-\S+": "claude-\S+",$', re.MULTILINE)
# Beside the documents, which tests/documents.py lists.
FOLDERS = ("clients/python/src", "events", "functions", "layers/headroom/headroom", "tools")
SUFFIXES = {".py", ".json", ".html", ".js", ".csv", ".yaml"}


def examples() -> Iterator[Path]:
    """Every text that may name a model to follow."""
    yield from DOCUMENTS
    yield from (ROOT / "template.yaml", ROOT / "samconfig.toml", ROOT / "Makefile")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path not in PRICES:
                yield path


def named() -> dict[str, set[str]]:
    """The models of the examples, each with the files that name it."""
    found: dict[str, set[str]] = {}
    for path in examples():
        file = str(path.relative_to(ROOT))
        for name in names_in(path.read_text(), on_prices=file in ON_PRICES):
            found.setdefault(name, set()).add(file)
    return found


def names_in(text: str, *, on_prices: bool = False) -> list[str]:
    if on_prices:
        text = NAMES.sub("", RATES.sub("", text))
    # At the end of a sentence its point is none of the name's.
    return [name.rstrip(".-@") for name in NAME.findall(text)]


def sold_as(name: str) -> str:
    """The model that a name means: names with a date are the same model."""
    try:
        return PRICE_BOOK.find(name).id
    except UnknownModel:
        return name


def test_no_example_names_a_model_that_comes_to_an_end() -> None:
    ending = {sold_as(name): end for name, end in DEPRECATED_MODELS.items()}

    assert {
        name: (ending[sold_as(name)], sorted(files))
        for name, files in named().items()
        if sold_as(name) in ending
    } == {}


def test_examples_name_the_models_that_are_kept_in_one_place() -> None:
    found = named()

    others = {name: files - ON_PRICES for name, files in found.items() if name not in MODELS}
    assert {name: sorted(files) for name, files in others.items() if files} == {}
    assert {"README.md", "docs/api-guide.md", "clients/python/README.md"} <= found[MODELS[0]]
    assert "functions/serve_documents/openapi.json" in found[MODELS[0]]
    assert any(file.startswith("events/") for file in found[MODELS[0]])


@pytest.mark.parametrize("name", DEPRECATED_MODELS)
def test_a_name_that_comes_to_an_end_is_found_in_whatever_names_it(name: str) -> None:
    assert names_in(f"Ask `{name}`, or {name}.") == [name, name]
    worked = f'| {name} | 2026-11-20 | `{{"input_tokens": 1000}}` | 0.75 |'
    row = f"| {name} | 2500 | not sold | 2750.5 | not sold | 1250 |"
    assert names_in(f"{worked}\n{row}\n", on_prices=True) == [name]
    assert names_in(f"{row}\n") == [name]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_the_examples_has_a_price(model: str) -> None:
    assert PRICE_BOOK.find(model).id == model
