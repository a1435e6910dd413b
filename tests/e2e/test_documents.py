"""The commands that the documents show do what they say, against the deployed stack.

What needs an account at AWS is held to the options of the program that it calls. What runs
neither here nor in tests/unit/test_documents.py is in a list there, each with its reason.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.documents import (
    MAKES_AT_AWS,
    MAKES_RUN,
    PAYS_RUN,
    ROOT,
    Shown,
    blocks,
    make_name,
    single,
)
from tests.template import template
from tools import put_test_events

SAM = ROOT / ".venv-sam" / "bin" / "sam"
# What each says when it did its work. No mail may have been sent by now.
SAID = {
    "make help": "make demo",
    "make up": "The stack is up after",
    "make env": "export API=http://",
    "make mail": "Subject: |No mail was sent yet",
    "make close": "periods are being closed",
    "make chase": "invoices were looked at",
    "make pay": '"type": "list"',
    "make rehearse-restore": "ledger, counters, wallets and documents agree",
    "make demo": "Settings > Usage, as one of its example people: http://",
}
# A demo that is over soon.
DEMO = {"REQUESTS": "20", "CLIENTS": "2"}

CALLS = [
    pytest.param(block, id=str(block).replace("/", "."))
    for block in blocks("sh")
    if block.calls_the_api
]
SAMS = sorted({command for _, command in single() if command.startswith(".venv-sam/bin/sam ")})


def run(script: str, stack: dict[str, Any], **environment: str) -> str:
    """Run it in a shell at the root of the sources, and return what it prints.

    `make` finds the stack of the tests, where the reader's is that which they brought up.
    """
    done = subprocess.run(  # noqa: S603 - the document's own command
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "STACK_HOME": ".local-e2e",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", CALLS)
def test_a_call_is_answered_as_the_document_says(block: Shown, stack: dict[str, Any]) -> None:
    """Each answer is a success; only a call that fails on purpose says so, by `|| true`."""
    # Each block stands in the shell that the first of them prepares.
    prepared = block.text if "make -s env" in block.text else f'eval "$(make -s env)"\n{block.text}'

    answers = list(documents_in(run(prepared, stack)))

    assert "error" not in {answer["type"] for answer in answers}, answers


@pytest.mark.parametrize("command", MAKES_RUN)
def test_a_make_command_does_its_work(command: str, stack: dict[str, Any]) -> None:
    said = run(command, stack, **DEMO)

    assert re.search(SAID[command], said), said


def test_what_the_tables_have_for_pay_is_done(stack: dict[str, Any]) -> None:
    """tests/unit/test_documents.py holds these, and the blocks above, to the tables' rows."""
    script = "\n".join(['eval "$(make -s env)"', *(command for command, _ in PAYS_RUN)])

    answers = list(documents_in(run(script, stack)))

    for (command, said), answer in zip(PAYS_RUN, answers, strict=True):
        assert said.items() <= answer.items(), (command, answer)


@pytest.mark.parametrize("command", SAMS)
def test_a_command_of_sam_has_options_and_values_that_are_there(command: str) -> None:
    _, name, *words = shlex.split(command)
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())

    assert set(_options(words)) <= offered(name)
    assert words[words.index("--config-env") + 1] in environments
    parameters = {word.partition("=")[0] for word in words if "=" in word}
    assert parameters <= template()["Parameters"].keys()


@pytest.mark.parametrize("command", MAKES_AT_AWS)
def test_what_make_would_call_at_aws_takes_it_so(command: str) -> None:
    (shown,) = [each for _, each in single() if make_name(each) == command]
    would = subprocess.run(  # noqa: S603 - a target of our own Makefile, and nothing is run
        [*shlex.split(shown), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (value,) = [word.partition("=")[2] for word in shlex.split(shown) if "=" in word]
    assert value in would.split()
    if command == "make test-events STACK_NAME":
        assert "tools.put_test_events" in would
        first, *_ = put_test_events.commands(value)
        assert set(_options(first)) <= offered(*first[:3])
    else:
        # tests/unit/test_documents.py asks the module for its options.
        assert "tools.restore --table" in would


def offered(*names: str) -> set[str]:
    """Return the options that a command of SAM's has."""
    told = subprocess.run(  # noqa: S603 - SAM's own help
        [SAM, *names, "--help"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(_options(told.split()))


def _options(words: list[str]) -> list[str]:
    return [each for word in words for each in re.findall(r"^--[a-z0-9-]+", word)]


def documents_in(text: str) -> Iterator[dict[str, Any]]:
    """Read the JSON documents that several calls printed one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1
