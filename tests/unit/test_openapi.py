"""The document that is served says what the handlers, the rights and the errors say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headroom.core.errors import HeadroomError
from headroom.organizations.wire.rights import RIGHTS
from tools.build_openapi import DOCUMENT, build, routes
from tools.openapi.endpoints import ENDPOINTS

METHODS = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return loaded


def every_kind(root: type[HeadroomError]) -> set[type[HeadroomError]]:
    return {root}.union(*(every_kind(kind) for kind in root.__subclasses__()))


def constants(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("const"), str):
            yield node["const"]
        for each in node.values():
            yield from constants(each)
    elif isinstance(node, list):
        for each in node:
            yield from constants(each)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_the_committed_document_is_what_the_handlers_say() -> None:
    assert DOCUMENT.read_text() == build(), "Run: make openapi"


def test_every_route_of_the_handlers_is_described_and_has_a_right() -> None:
    registered = {(method, rule) for method, rule, _ in routes()}
    assert registered == set(ENDPOINTS) == set(RIGHTS)


def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == set(ENDPOINTS)


def test_every_error_type_is_in_the_document(document: dict[str, Any]) -> None:
    known = {kind.type for kind in every_kind(HeadroomError)} | {"api_error"}
    assert known <= set(constants(document["components"]["schemas"]))


def test_every_answer_has_a_request_id(document: dict[str, Any]) -> None:
    answers = [
        answer
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        if "$ref" not in answer
    ]
    answers += document["components"]["responses"].values()
    assert all("request-id" in answer["headers"] for answer in answers)


def test_the_document_points_only_into_itself(document: dict[str, Any]) -> None:
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found
