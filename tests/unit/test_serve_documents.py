"""The API describes itself to everybody; the page that shows it loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from functions.serve_documents.handler import DOCUMENT, PAGE, SERVED, handler
from headroom.organizations.wire.rights import PUBLIC


@dataclass
class Context:
    function_name: str = "serve_documents"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:serve_documents"
    aws_request_id: str = "c0ffee"


def get(path: str) -> dict[str, Any]:
    event = {
        "version": "2.0",
        "rawPath": path,
        "headers": {},
        "requestContext": {
            "requestId": "1",
            "stage": "$default",
            "http": {"method": "GET", "path": path},
        },
    }
    return handler(event, Context())  # type: ignore[arg-type]


def test_the_document_is_served_as_it_was_built() -> None:
    answer = get("/openapi.json")
    assert answer["statusCode"] == 200
    assert answer["body"] == DOCUMENT
    assert json.loads(answer["body"])["openapi"].startswith("3.1")


def test_the_page_may_load_only_itself_and_the_document() -> None:
    answer = get("/docs")
    policy = answer["headers"]["content-security-policy"]
    assert answer["headers"]["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:", policy + PAGE)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_every_answer_has_a_request_id(path: str) -> None:
    assert get(path)["headers"]["request-id"] == "req_1"


def test_nothing_else_is_public() -> None:
    assert {("GET", path) for path in SERVED} == set(PUBLIC)
    assert get("/v1/organizations/extra_usage")["statusCode"] == 404
