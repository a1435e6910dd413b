"""A method that a path does not take is a 405 that says which it takes; no path is a 404."""

from __future__ import annotations

from collections import defaultdict
from types import ModuleType
from typing import Any, Final

import pytest

from functions.serve_documents import handler as serve_documents
from functions.serve_page import handler as serve_page
from headroom.organizations.wire.rights import PUBLIC, RIGHTS, SIGNED
from tests.every_route import PARAMETER, ROUTES
from tests.in_process import Answer, Context

ALLOWED: Final[dict[str, set[str]]] = defaultdict(set)
for _method, _rule in RIGHTS:
    ALLOWED[_rule].add(_method)
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def ask(module: ModuleType, method: str, path: str) -> Answer:
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "isBase64Encoded": False,
        "requestContext": {
            "http": {"method": method, "path": path},
            "requestId": "1",
            "stage": "$default",
        },
    }
    answer: Any = module.handler(event, Context())
    return Answer.read(answer)


def is_told(answer: Answer, allowed: set[str]) -> bool:
    assert answer.refusal == (405, "invalid_request_error")
    return set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("rule", sorted(ALLOWED))
def test_every_path_says_which_methods_it_takes(rule: str) -> None:
    path = PARAMETER.sub("spl_none", rule)
    # What the gateway has no route for, comes to the function of the documents.
    modules = {serve_documents, *ROUTES.values()}
    for method in METHODS:
        if method not in ALLOWED[rule]:
            for module in modules:
                answer = ask(module, method, path)
                if rule.endswith("/effective") and method == "DELETE":
                    # It might be the id of a limit.
                    assert answer.status in (401, 404)
                else:
                    assert is_told(answer, ALLOWED[rule] | also_allowed(rule))


def also_allowed(rule: str) -> set[str]:
    return {"DELETE"} if rule.endswith("/effective") else set()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1",
        "/v1/",
        "/v1/authorization",
        "/v1/authorizations/",
        "/v1/authorizations/a/b/c",
        "/v1/organizations",
        "/v1/organizations/members/a/b",
        "/v2/authorizations",
        "/settings/unknown",
        "/docs/",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_path_that_leads_nowhere_is_not_found(path: str, method: str) -> None:
    for module in {serve_documents, *ROUTES.values()}:
        assert ask(module, method, path).refusal == (404, "not_found_error")


def test_what_is_no_part_of_the_api_says_so_too() -> None:
    for method, path in PUBLIC | SIGNED:
        assert is_told(ask(serve_documents, "TRACE", path), {method})
    for path in serve_documents.PAGE_PATHS:
        assert is_told(ask(serve_documents, "POST", path), {"GET"})
        event = {
            "rawPath": path,
            "headers": {},
            "requestContext": {"http": {"method": "GET", "path": path}, "requestId": "1"},
        }
        assert serve_page.handler(event, Context())["statusCode"] in (200, 302)  # type: ignore[arg-type]


def test_the_documents_know_every_route() -> None:
    page = {("GET", path) for path in serve_documents.PAGE_PATHS}
    assert serve_documents.answered() == set(RIGHTS) | PUBLIC | SIGNED | page
