"""What the documents name is there: commands, modules, files, parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.template import TEMPLATE, template

ROOT = TEMPLATE.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    makes = re.findall(r"(?:^    |`)make ([a-z0-9-]+)", text, re.MULTILINE)
    modules = re.findall(r"python -m ((?:tools|tests)[\w.]*)", text)

    assert set(makes) <= TARGETS
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


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
    shown = text[text.index("    import anthropic") : text.index("\nA LiteLLM proxy")]
    lines = [line.removeprefix("    ") for line in shown.strip("\n").splitlines()]

    assert "\n".join(lines).strip() in (ROOT / "clients" / "python" / "README.md").read_text()
