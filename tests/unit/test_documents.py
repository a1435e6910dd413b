"""What the documents name is there: commands and their options, files, parameters."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from headroom.core.gateways.secrets import parse_payment_secret
from tests.documents import (
    BLOCK,
    DOCUMENTS,
    INDENTED,
    MAKES_AT_AWS,
    MAKES_NOT_RUN,
    MAKES_RUN,
    PAYS_RUN,
    ROOT,
    Shown,
    blocks,
    make_name,
    pays_tabled,
    prose,
    single,
)
from tests.template import template
from tools.local_stack.paying import ACTIONS, CARDS

TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

# How one test is run.
PYTEST = ".venv/bin/python -m pytest "
# Services that the AWS CLI has under a name of its own.
RENAMED = {"deploy": "codedeploy", "s3api": "s3"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def of_program(*programs: str) -> list[Any]:
    """The commands whose first words are a program's, as parameters of a test."""
    return [
        pytest.param(command, id=f"{place} {command}"[:72])
        for place, command in single()
        if command.startswith(programs)
    ]


def test_every_command_is_one_that_is_run_or_checked_or_has_a_reason_not_to_be() -> None:
    """The client's tests run `pip`, tests/e2e/test_documents.py calls of the API and `sam`."""
    run = ("pip install ", "aws ", "python -m ", ".venv-sam/bin/sam ", PYTEST)
    known = {*MAKES_RUN, *MAKES_AT_AWS, *MAKES_NOT_RUN}

    assert [
        (str(place), command)
        for place, command in single()
        if not command.startswith(run) and make_name(command) not in known
    ] == []


def test_no_reason_outlives_its_command() -> None:
    makes = {make_name(command) for _, command in single()}

    assert makes >= {*MAKES_RUN, *MAKES_AT_AWS, *MAKES_NOT_RUN}
    assert {str(make).split()[1] for make in makes if make} <= TARGETS
    for reason in MAKES_NOT_RUN.values():
        for path in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / path).is_file(), path


def test_every_row_of_the_tables_of_pay_is_run() -> None:
    acts, cards = pays_tabled()
    in_blocks = {command for block in blocks("sh") for command in block.commands}
    run = in_blocks | {command for command, _ in PAYS_RUN}

    assert cards == CARDS
    assert {act.split("DO=")[1].split()[0] for act in acts} == {*ACTIONS} - {"list"}
    assert [act for act in acts if act not in run] == []


def test_make_test_begins_with_the_audit() -> None:
    (prerequisites,) = re.findall(r"^test: (.*?)##", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert "audit" in prerequisites.split()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_a_document_hides_no_command_where_none_is_looked_for(document: Path) -> None:
    assert INDENTED.findall(prose(document)) == [], "a block says its language between fences"
    for language, text in BLOCK.findall(document.read_text()):
        assert language in ("", "sh", "python", "json", "yaml")
        if language != "sh":
            assert not re.search(r"^(make|aws|pip|curl|git|sam|npm) ", text, re.MULTILINE), text


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_program_of_a_document_can_be_compiled(block: Shown) -> None:
    """What the client's page shows is run by the client's tests."""
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("command", of_program("aws "))
def test_a_command_of_the_aws_cli_is_one_that_it_has(command: str) -> None:
    """The CLI makes its commands and options of the same models as boto3."""
    _, service, name, *rest = shlex.split(command)
    model = botocore.session.get_session().get_service_model(RENAMED.get(service, service))
    operations = {xform_name(each, "-"): each for each in model.operation_names}
    shape = model.operation_model(operations[name]).input_shape
    assert shape is not None
    options = {f"--{xform_name(each, '-')}": each for each in shape.members}
    given = dict(zip(rest[::2], rest[1::2], strict=True))

    assert given.keys() <= options.keys()
    assert {options[option] for option in given} >= set(shape.required_members)
    for option, value in given.items():
        choices = getattr(shape.members[options[option]], "enum", None)
        assert not choices or value in choices, option


def test_the_secret_that_is_shown_is_one_that_the_application_reads() -> None:
    (command,) = [each for _, each in single() if "put-secret-value" in each]
    words = shlex.split(command)
    secret = parse_payment_secret(words[words.index("--secret-string") + 1])

    assert secret.api_key.startswith("rk_")
    assert [each[:6] for each in secret.webhook_secrets] == ["whsec_"]
    assert words[words.index("--secret-id") + 1].removeprefix("$") in template()["Outputs"]


@pytest.mark.parametrize("command", of_program("python -m "))
def test_a_module_has_the_options_that_are_shown(command: str) -> None:
    """One that takes none is run."""
    _, _, module, *rest = shlex.split(command)
    options = {word for word in rest if word.startswith("--")}
    done = subprocess.run(  # noqa: S603 - a module of our own
        [sys.executable, "-m", module, *(["--help"] if options else [])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "headroom")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert options <= set(re.findall(r"--[a-z-]+", done.stdout))


@pytest.mark.parametrize("command", of_program(PYTEST))
def test_a_test_that_is_shown_is_there(command: str) -> None:
    path, _, test = shlex.split(command)[3].partition("::")

    assert (ROOT / path).is_file()
    assert not test or f"def {test}(" in (ROOT / path).read_text()


def test_every_output_of_the_stack_that_a_document_names_is_the_templates() -> None:
    outputs = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"output `(\w+)`", document.read_text())
    }

    assert len(outputs) > 2
    assert outputs <= template()["Outputs"].keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if "://" not in link and not link.startswith("mailto:"):
            assert (document.parent / link).exists(), link


def test_every_parameter_of_the_operations_page_is_the_templates() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (table,) = re.findall(r"\| parameter \| what it is for \|\n\|---\|---\|\n((?:\|.*\n)+)", text)
    parameters = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()))

    assert len(parameters) > 8
    assert set(parameters) <= template()["Parameters"].keys()


def test_the_ten_lines_are_those_that_the_clients_tests_run() -> None:
    """The client's tests run every snippet of its README; this one shows the first of them."""
    text = (ROOT / "README.md").read_text()
    (shown,) = re.findall(r"^```python\n.*?^```$", text, re.MULTILINE | re.DOTALL)

    assert shown in (ROOT / "clients" / "python" / "README.md").read_text()
