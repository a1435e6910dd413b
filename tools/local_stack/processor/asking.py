"""How a client asks, and the forms of answers that are the same for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tools.local_stack.processor.upstream import Answer

PAGE = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, with its body or query as flat names: `metadata[a]`, `created[gte]`."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        text = self.body.decode() if self.method == "POST" else self.query
        return dict(parse_qsl(text, keep_blank_values=True))

    @property
    def expands(self) -> set[str]:
        return {value for name, value in self.fields.items() if name.startswith("expand")}


def page_of(found: list[Any], asked: Asked) -> Answer:
    """Return the page of a list that is asked for."""
    fields = asked.fields
    if after := fields.get("starting_after"):
        places = [index for index, each in enumerate(found) if each["id"] == after]
        found = found[places[0] + 1 :] if places else []
    limit = int(fields.get("limit", PAGE))
    page = {"object": "list", "url": asked.path, "data": found[:limit]}
    return Answer(200, {**page, "has_more": len(found) > limit})


def refuse(code: str, message: str) -> Answer:
    """Return the answer to a request that cannot be done."""
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return Answer(400, {"error": error})


def parse_target(target: str) -> tuple[str, str]:
    """Return path and query of a request's target."""
    parts = urlsplit(target)
    return parts.path, parts.query
