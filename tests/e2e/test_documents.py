"""Every command that the documents show does what they say.

What calls the API runs as it stands, against the deployed stack. A `make` command is held to the
Makefile: CI runs the targets themselves, and `make test` cannot run inside of itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.local_stack.emulator import ROOT
from tools.local_stack.stack import environment

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"make( -s)?(?P<words>( [A-Za-z_]+=\S+| [a-z0-9-]+)+)")


@dataclass(frozen=True)
class Shown:
    """A block of commands in a document."""

    document: Path
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        lines = (line.partition("  #")[0].strip() for line in self.text.splitlines())
        return [line for line in lines if line]

    @property
    def only_makes(self) -> bool:
        return all(MAKE.fullmatch(command) for command in self.commands)


def shown() -> Iterator[Shown]:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for document in documents:
        text = document.read_text()
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield Shown(document.relative_to(ROOT), line, block[1])


def named(blocks: list[Shown]) -> list[Any]:
    return [pytest.param(block, id=f"{block.document}:{block.line}") for block in blocks]


MAKES = [block for block in shown() if block.only_makes]
CALLS = [block for block in shown() if "$API" in block.text]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    """A block of another kind, such as a deployment to AWS, is shown without `sh`."""
    assert [block for block in shown() if block not in MAKES and block not in CALLS] == []
    assert MAKES
    assert CALLS


@pytest.mark.parametrize("block", named(MAKES))
def test_a_make_command_names_targets_that_exist(block: Shown) -> None:
    for command in block.commands:
        found = MAKE.fullmatch(command)
        assert found
        targets = [word for word in found["words"].split() if "=" not in word]
        done = subprocess.run(  # noqa: S603 - a target of our own Makefile, and nothing is run
            ["make", "--question", "--dry-run", *targets],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "No rule to make target" not in done.stderr


@pytest.mark.parametrize("block", named(CALLS))
def test_a_call_is_answered_as_the_document_says(block: Shown, stack: dict[str, Any]) -> None:
    """Each answer is a success; only a call that fails on purpose says so, by `|| true`."""
    # The variables are those that `make env` prints for the stack that the reader brought up.
    script = re.sub(r'^eval "\$\(make -s env\)"$', "", block.text, flags=re.MULTILINE)
    done = subprocess.run(  # noqa: S603 - the document's own command
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        env={"PATH": os.environ["PATH"], **environment(stack)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answers = list(documents_in(done.stdout))
    assert "error" not in {answer["type"] for answer in answers}, answers


def documents_in(text: str) -> Iterator[dict[str, Any]]:
    """Read the JSON documents that several calls printed one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1
