"""HTML for the AWS console's custom widgets, in which nothing that is data is markup."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

# What is markup already. Everything else is escaped where it enters.
Html = str


def text(value: object) -> Html:
    """Return a value as text."""
    return escape(str(value))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> Html:
    """Return a table of plain values, or a sentence when it has no rows."""
    if not rows:
        return f"<p>{text(empty)}</p>"
    head = "".join(f'<th scope="col">{text(heading)}</th>' for heading in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts(pairs: Sequence[tuple[str, object]]) -> Html:
    """Return named values, one a row."""
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in pairs
    )
    return f"<table><tbody>{body}</tbody></table>"


def field(name: str, label: str, value: str = "", *, hint: str = "") -> Html:
    """Return a labelled input; what is typed reaches the function under the input's name."""
    return (
        f"<label>{text(label)} "
        f'<input name="{escape(name)}" value="{escape(value)}" placeholder="{escape(hint)}"'
        ' size="28">'
        "</label> "
    )


def select(name: str, label: str, options: Mapping[str, str]) -> Html:
    """Return a labelled choice between values, each shown by its name."""
    shown = "".join(
        f'<option value="{escape(value)}">{text(title)}</option>'
        for value, title in options.items()
    )
    return f'<label>{text(label)} <select name="{escape(name)}">{shown}</select></label> '


def button(
    label: str,
    endpoint: str,
    params: Mapping[str, object],
    *,
    display: Literal["widget", "popup"],
    confirmation: str | None = None,
    primary: bool = False,
) -> Html:
    """Return a button that calls a function with `params` and shows its answer.

    The console applies a `cwdb-action` to the element before it, and reads its content as JSON.
    """
    asks = f' confirmation="{escape(confirmation)}"' if confirmation else ""
    style = "btn btn-primary" if primary else "btn"
    return (
        f'<a class="{style}" role="button" tabindex="0">{text(label)}</a>'
        f'<cwdb-action action="call" display="{display}" endpoint="{escape(endpoint)}"{asks}>'
        f"{_json(params)}</cwdb-action> "
    )


def _json(params: Mapping[str, object]) -> str:
    """Print JSON that reads the same as text, as markup and as JSON."""
    printed = json.dumps(params)
    for character in "<>&'":
        printed = printed.replace(character, f"\\u{ord(character):04x}")
    return printed
