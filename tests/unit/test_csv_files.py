"""No cell of any export is run by a spreadsheet, and numbers stay numbers."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import pytest

import headroom
from headroom.billing.usecases import period_sums as totalling
from headroom.billing.usecases import usage_report as reporting
from headroom.core.domain.csv_files import Columns, csv_head, csv_lines, text_cell

# What spreadsheets run, or trim and then run.
SIGNS = [
    *"=+-@",
    *"\uff1d\uff0b\uff0d\uff20",  # Full width.
    *"\ufe66\ufe62\ufe63\ufe6b",  # Small.
    *"\u207c\u207a\u207b\u208c\u208a\u208b",  # Raised and lowered.
    "\N{MINUS SIGN}",
]
BLANKS = [
    *("\t", "\r", "\n", "\r\n", " ", "\0", "\x0b", "\x1b", "\x7f", "\x85"),
    *("\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}", "\N{LINE SEPARATOR}"),
    *("\N{ZERO WIDTH SPACE}", "\N{ZERO WIDTH NO-BREAK SPACE}", "\N{RIGHT-TO-LEFT OVERRIDE}"),
]
BEGINNINGS = [*SIGNS, *BLANKS, *(blank + "=" for blank in BLANKS)]
ATTACK = "2+3+cmd|'/c calc'!A0"
EXPORTS: dict[str, Columns] = {
    "documents": totalling.COLUMNS,
    "usage report": reporting.csv_columns(reporting.GROUPS),
}
CELLS = [(export, column) for export, columns in EXPORTS.items() for column in columns]


def written(columns: Columns, row: list[str]) -> list[str]:
    text = csv_head(columns) + "".join(csv_lines(columns, [row]))
    head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert head == list(columns)
    assert len(rows) == 1, "a cell broke its row"
    return rows[0]


@pytest.mark.parametrize(("export", "column"), CELLS)
@pytest.mark.parametrize("beginning", BEGINNINGS, ids=ascii)
def test_no_beginning_is_run_in_any_column_of_any_export(
    export: str, column: str, beginning: str
) -> None:
    columns = EXPORTS[export]
    row = ["" if name != column else beginning + ATTACK for name in columns]

    found = dict(zip(columns, written(columns, row), strict=True))

    assert found.pop(column) == "'" + beginning + ATTACK
    assert set(found.values()) == {""}


@pytest.mark.parametrize(("export", "column"), CELLS)
@pytest.mark.parametrize("number", ["0", "17", "-5", "-0.0000001", "12050.5", ""])
def test_numbers_stay_numbers_where_numbers_are(export: str, column: str, number: str) -> None:
    columns = EXPORTS[export]
    row = ["" if name != column else number for name in columns]

    cell = written(columns, row)[list(columns).index(column)]

    is_run = columns[column] == "text" and number.startswith("-")
    assert cell == (f"'{number}" if is_run else number)


@pytest.mark.parametrize(
    "text",
    [
        "Ada",
        "user_1",
        "2026-11",
        "O'Neill",
        "claude-sonnet-4-5",
        "naïve",
        "王小明",
        "a=1",
        "a - b",
        "",
    ],
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert text_cell(text) == text


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", "\r", "\n", '"', " ", "\0"])
def test_a_cell_stays_one_cell_for_those_who_split_at_other_marks(mark: str) -> None:
    """What begins behind a mark is no cell of its own, for it stands in quotes."""
    (line,) = csv_lines({"name": "text"}, [[f"a{mark}=1+1"]])

    assert line == f'"a{mark}{mark * (mark == chr(34))}=1+1"\n'


def test_nothing_else_writes_csv() -> None:
    """An export that writes its own cells would have a list of dangers of its own."""
    package = Path(headroom.__file__).parent
    importing = {
        path.relative_to(package)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and "csv" in {alias.name for alias in node.names}
    }

    assert importing == set()
