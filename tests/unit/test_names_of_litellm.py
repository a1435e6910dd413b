"""Every Claude model of LiteLLM's map is read by its name, or is refused on purpose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from headroom.pricing.domain.model_names import FAMILIES, read_model_name
from headroom.pricing.domain.prices import UnknownModel
from headroom.pricing.price_book import PRICE_BOOK

ROOT: Final = Path(__file__).resolve().parents[2]
MAP: Final = "lib/python*/site-packages/litellm/model_prices_and_context_window_backup.json"

# What is refused, and why.
REFUSED: Final = {
    r".*-month-commitment/.*": "Amazon's provisioned capacity is bought by the hour",
    r".*claude-instant-v1": "it was retired before anything that the price book knows",
    r"databricks/databricks-claude-sonnet-4-1": "there is no such model",
    r"aihubmix/claude-opus-4-8-think": "one gateway's ending for a way to ask; it may be an alias",
}


def names() -> list[str]:
    (file,) = (ROOT / ".venv-litellm").glob(MAP)
    entries = json.loads(file.read_text(encoding="utf-8"))
    return sorted(name for name in entries if "claude" in name.lower())


def test_each_name_is_read_or_refused_on_purpose() -> None:
    met = set()
    for name in names():
        reasons = [pattern for pattern in REFUSED if re.fullmatch(pattern, name)]
        met.update(reasons)
        try:
            PRICE_BOOK.find(name)
        except UnknownModel:
            assert reasons, f"{name} is not read"
        else:
            assert not reasons, f"{name} is read"
    # What the map has no more goes from the table.
    assert met == set(REFUSED)


def test_each_name_is_read_as_the_family_and_version_that_it_says() -> None:
    compared = 0
    for name in names():
        found = read_model_name(name)
        if found is None or not (family := re.match(rf"({FAMILIES})(?=-[0-9])", found.key)):
            continue
        # Without the path, and without the day and the revision behind it.
        last = re.sub(r"[-@](20\d{6}|latest|default)|-v\d(:\d)?$", "", name.rpartition("/")[2])
        said = [int(number) for number in re.findall(r"\d+", last)]
        assert family[0] in last
        assert found.key == f"{family[0]}-{'.'.join(map(str, (*said, 0)[:2]))}", name
        compared += 1
    assert compared > 300
