"""The commands that the documents show, in blocks marked `sh` and in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.template import TEMPLATE

ROOT: Final = TEMPLATE.parent
DOCUMENTS: Final = (
    ROOT / "README.md",
    ROOT / "clients" / "python" / "README.md",
    ROOT / "layers" / "headroom" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

# A `make` command is named by its target and variables, `make up NOW`.
# These run against the stack of the tests; tests/e2e/test_documents.py does it.
MAKES_RUN: Final = (
    "make help",
    "make up",
    "make env",
    "make mail",
    "make close",
    "make chase",
    "make pay",
    "make rehearse-restore",
    "make demo",
)
# These need an account at AWS: tests/e2e/test_documents.py holds them to the programs they call.
MAKES_AT_AWS: Final = ("make test-events STACK_NAME", "make rehearse-restore TABLE")
# And these nothing here runs, for what is said of each.
MAKES_NOT_RUN: Final = {
    "make test": "is what runs this",
    "make check": "is a part of `make test`",
    "make emulator": "is a part of `make test`",
    "make e2e": "is a part of `make test`",
    "make browser": "is a part of `make test`",
    "make format": "writes into the sources; `make test` begins with the same checks",
    "make openapi": "writes into the sources; tests/unit/test_openapi.py compares the file",
    "make bench": "takes minutes; tests/unit/test_bench.py runs the parts that break",
    "make bench-close": "takes minutes; tests/e2e/test_closing.py closes by the same state machine",
    "make bench-close BESIDE": "takes minutes; tests/emulator/test_beside.py runs a small one",
    "make down": "ends the stack that the others need; tests/conftest.py does so in the end",
    "make cost": "takes half a minute of the bench; tests/unit/test_cost.py has the sums",
    "make build": "is the `sam build` that the stack of these tests comes from",
    "make audit": "takes half a minute, and `make test` begins with it",
    "make prices": "writes into the sources; tests/unit/test_prices.py compares the file",
    "make up FRESH": "is how tests/conftest.py brings its stack up",
    "make up NOW": "sets the clock of the whole stack; tests/unit/test_clock.py has what it does, "
    "and tests/contract/test_collecting.py goes through the months of docs/local-stack.md by it",
}
# What `make pay` does is shown in tables. The blocks have some of it; this is the rest, as it is
# typed, with what is bought before, and a part of what each answers.
BUY: Final = (
    'curl -s "$API/v1/organizations/wallet/top_ups" -H "Authorization: Bearer $TOKEN" '
    '-H "Idempotency-Key: top-up-$RANDOM$RANDOM$RANDOM" -d '
    """'{"amount": "2500", "payment_method": "%s"}'"""
)
PAYS_RUN: Final = (
    ("make -s pay DO=card CARD=refused", {"type": "declined"}),
    (BUY % "pm_card_visa", {"status": "succeeded"}),
    ("make -s pay DO=dispute", {"dispute": "needs_response"}),
    ("make -s pay DO=lose", {"dispute": "lost"}),
    (BUY % "pm_card_authenticationRequired", {"status": "requires_action"}),
    ("make -s pay DO=refuse", {"status": "requires_payment_method"}),
    ("make -s pay DO=card CARD=declines", {"type": "payment_method", "last4": "0341"}),
    # And so that the tests behind this one find the example's wallet as it was.
    ("make -s pay DO=card CARD=good", {"type": "payment_method", "last4": "4242"}),
)

BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE: Final = re.compile(r"`((?:make|aws|pip|curl|python -m|\.venv[\w-]*/bin/\w+) [^`\n]+)`")
INDENTED: Final = re.compile(r"(?:^|\n)\n {4,}(\S.*)")


@dataclass(frozen=True)
class Shown:
    """Commands in a document: the lines of a block, or one of running text."""

    document: Path
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        """Each command on one line, without its comment."""
        whole = re.sub(r"\s*\\\n\s*", " ", self.text)
        lines = (line.partition("  #")[0].strip() for line in whole.splitlines())
        return [re.sub(r"\s+# .*", "", line) for line in lines if line]

    @property
    def calls_the_api(self) -> bool:
        """Whether it runs as it stands in the shell that `make env` prepares."""
        return "$API" in self.text

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Shown]:
    """Return the blocks of all documents in a language."""
    return list(_found(BLOCK, 2, language))


def shown() -> list[Shown]:
    """Return every command of every document."""
    return [*blocks("sh"), *_found(INLINE, 1)]


def single() -> list[tuple[Shown, str]]:
    """Return each command that is no part of a block that calls the API."""
    return [
        (each, command) for each in shown() if not each.calls_the_api for command in each.commands
    ]


def pays_tabled() -> tuple[list[str], dict[str, str]]:
    """Return what the tables of docs/local-stack.md have for `make pay`: acts, and cards by name.

    An act is a command, as a block would have it; with `CARD=name` it is one for each card.
    """
    text = (ROOT / "docs" / "local-stack.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cards = dict(re.findall(r"^\| `(\w+)` \| `(pm_\w+)` \|", "\n".join(rows), re.MULTILINE))
    acts = [act for row in rows for act in re.findall(r"`(DO=[^`]+)`", row)]
    names = [act.replace("=name", f"={card}") for act in acts for card in cards]
    return [f"make -s pay {act}" for act in dict.fromkeys(names)], cards


def make_name(command: str) -> str | None:
    """Return what a `make` command is known by: its target and variables; None for others."""
    program, *words = shlex.split(command)
    if program != "make":
        return None
    target, *others = [word for word in words if not word.startswith("-")]
    return " ".join(["make", target, *(word.partition("=")[0] for word in others)])


def prose(document: Path) -> str:
    """Return a document without its blocks."""
    return BLOCK.sub("", document.read_text())


def _found(pattern: re.Pattern[str], group: int, language: str | None = None) -> Iterator[Shown]:
    for document in DOCUMENTS:
        text = document.read_text()
        for match in pattern.finditer(text):
            if language is None or match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                yield Shown(document, line, match[group])
