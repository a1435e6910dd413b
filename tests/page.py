"""The page's views, drawn by its own modules without a browser, for tests that read them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import playwright

from functions.serve_page.handler import HERE
from headroom.core.domain.money import NANOS_PER_CENT

ASSETS: Final = HERE / "assets"
# Browsers are driven by a Node.js of their own, so there is one wherever these tests run.
NODE: Final = Path(playwright.__file__).parent / "driver" / "node"
PROGRAM: Final = Path(__file__).with_name("page_in_node.mjs")
TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True)
class Answer:
    """What the API answers to a path, if the question has this query."""

    path: str
    body: Any
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A view as somebody sees it, after `press` if they press a button with that id."""

    view: str
    given: Any
    answers: Sequence[Answer]
    language: str = "en"
    press: str | None = None


class Node:
    """An element that was drawn."""

    def __init__(self, drawn: Sequence[Any]) -> None:
        self.tag: str = drawn[0]
        self.attributes: dict[str, str] = drawn[1]
        self.children = [each if isinstance(each, str) else Node(each) for each in drawn[2]]

    @property
    def text(self) -> str:
        """What it says, with all that is in it."""
        return "".join(each if isinstance(each, str) else each.text for each in self.children)

    def all(self, tag: str = "", of_class: str = "") -> list[Node]:
        """Return the elements in it with this tag and this class."""
        return [
            each
            for each in self._walk()
            if tag in ("", each.tag)
            and (not of_class or of_class in each.attributes.get("class", "").split())
        ]

    def one(self, tag: str = "", of_class: str = "") -> Node:
        """Return the only such element."""
        (found,) = self.all(tag, of_class)
        return found

    def _walk(self) -> Iterator[Node]:
        for each in self.children:
            if isinstance(each, Node):
                yield each
                yield from each._walk()


def draw(scenes: Sequence[Scene], folder: Path) -> list[Node]:
    """Return each scene as it is drawn; the modules are copied into an empty folder to be run."""
    assets = folder / "assets"
    shutil.copytree(ASSETS, assets, dirs_exist_ok=True)
    # Browsers are told by the page that these are modules, Node.js by this file.
    (assets / "package.json").write_text('{"type": "module"}')
    asked = json.dumps(scenes, default=vars)
    done = subprocess.run(  # noqa: S603
        [NODE, PROGRAM, assets],
        input=asked,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    drawn = [Node(each) for each in json.loads(done.stdout)]
    for each in drawn:
        assert not [found.text for found in each.all() if found.attributes.get("role") == "alert"]
    return drawn


def nanos(text: str) -> int:
    """Read an amount as the page writes it: "-$1,234.5678" or "-1 234,5678 $"."""
    plain = "".join(each for each in text if each in "0123456789.,-$")
    if plain.removeprefix("-").startswith("$"):
        plain = plain.replace(",", "")
    plain = plain.replace("$", "").replace(",", ".")
    whole, _, fraction = plain.removeprefix("-").partition(".")
    sign = -1 if plain.startswith("-") else 1
    return sign * (int(whole) * 100 * NANOS_PER_CENT + int(fraction.ljust(9, "0")))
