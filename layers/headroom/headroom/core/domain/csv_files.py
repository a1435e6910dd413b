"""CSV files that spreadsheets open: text stays text, numbers stay numbers.

A spreadsheet runs a cell as a formula if it begins like one, and anybody may be called `=1+1`.
Every export is written here, so there is one rule: a cell of a text column that a spreadsheet might
run, or might trim to something that it runs, begins with an apostrophe.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

# The columns of a file by their names, in their order.
Columns = Mapping[str, Literal["text", "number"]]

CONTENT_TYPE: Final = "text/csv; charset=utf-8"

# What formulas begin with, after variants such as the full-width ones are made plain.
_STARTS: Final = frozenset("=+-@\N{MINUS SIGN}")
# The first letters of the categories of spaces, controls and what is not seen at all.
_UNSEEN: Final = frozenset("ZC")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
# Other programs split at other marks, or at a lone carriage return.
_MARKS: Final = re.compile(r'[",;\t|\s\x00-\x1f\x7f-\x9f]')


def text_cell(text: str) -> str:
    """Return text as a cell that no spreadsheet runs."""
    return f"'{text}" if _may_be_run(text) else text


def csv_head(columns: Columns) -> str:
    """Return the first line of a file: the names of its columns."""
    return _line(columns)


def csv_lines(columns: Columns, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a file's rows.

    What is no number is text, even in a column of numbers.
    """
    kinds = list(columns.values())
    for row in rows:
        yield _line(
            cell if kind == "number" and (not cell or _NUMBER.fullmatch(cell)) else text_cell(cell)
            for kind, cell in zip(kinds, row, strict=True)
        )


def _may_be_run(text: str) -> bool:
    if not text:
        return False
    if unicodedata.category(text[0])[0] in _UNSEEN:
        return True
    return unicodedata.normalize("NFKC", text[0])[:1] in _STARTS


def _line(cells: Iterable[str]) -> str:
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(cell: str) -> str:
    if not _MARKS.search(cell):
        return cell
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'
