"""The AWS console as the widget's functions see it: it calls them, and reads their buttons."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

ACCOUNT = "123456789012"


@dataclass
class Context:
    """What Lambda tells a function of its invocation."""

    function_name: str = "show"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:show"
    aws_request_id: str = "c0ffee-1"


@dataclass
class Action:
    """A `cwdb-action`: the button before it, and what pressing that calls."""

    label: str
    attributes: dict[str, str]
    params: dict[str, Any]


@dataclass
class Reading(HTMLParser):
    """What a widget's HTML contains: text, elements and actions."""

    html: str
    words: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._in_action = False
        self._label = ""
        self.feed(self.html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def action(self, label: str) -> Action:
        (found,) = [action for action in self.actions if action.label.startswith(label)]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self._in_action = tag == "cwdb-action"
        if self._in_action:
            self.actions.append(Action(self._label, attributes, {}))

    def handle_endtag(self, tag: str) -> None:
        if tag == "cwdb-action":
            self._in_action = False

    def handle_data(self, data: str) -> None:
        if self._in_action:
            self.actions[-1].params = json.loads(data)
            return
        self.words.append(data)
        self._label = data if data.strip() else self._label


def pressed(action: Action, **typed: str) -> dict[str, Any]:
    """Return the event of pressing a button, with what was typed into the widget's inputs."""
    return {**action.params, "widgetContext": {"accountId": "1", "forms": {"all": typed}}}
