from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from tools.demo.client import ATTEMPTS_MAX, Api, NoAnswer

CONTENDED = httpx2.Response(
    429,
    headers={"x-should-retry": "true", "retry-after": "2"},
    json={"error": {"type": "billing_error", "details": {"reason": "contended"}}},
)
REFUSED = httpx2.Response(
    429,
    headers={"x-should-retry": "false", "retry-after": "3600"},
    json={"error": {"type": "billing_error", "details": {"reason": "user_limit_reached"}}},
)
CRASHED = httpx2.Response(502, text="Internal Server Error")
FINE = httpx2.Response(200, json={"id": "auth_1"})


class Server:
    """Answers in turn, and forever with the last; remembers how long the client waited."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []
        self.waits: list[float] = []
        transport = httpx2.MockTransport(self.answer)
        self.api = Api("http://api", clients=1, transport=transport, pause=self.waits.append)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def test_what_is_contended_is_asked_again_when_the_answer_says() -> None:
    server = Server(CONTENDED, CONTENDED, FINE)

    answer = server.api.authorize("key", {}, idempotency_key="turn")

    assert (answer.ok, answer.repeated, server.waits) == (True, 2, [2, 2])


def test_a_refusal_is_taken_for_an_answer() -> None:
    server = Server(REFUSED, FINE)

    answer = server.api.authorize("key", {}, idempotency_key="turn")

    assert (answer.ok, len(server.asked), server.waits) == (False, 1, [])
    assert answer.error["details"]["reason"] == "user_limit_reached"


def test_contention_without_end_is_an_answer_at_last() -> None:
    server = Server(CONTENDED)

    answer = server.api.authorize("key", {}, idempotency_key="turn")

    assert (answer.ok, len(server.asked)) == (False, ATTEMPTS_MAX)


@pytest.mark.parametrize("failure", [CRASHED, httpx2.ReadTimeout("late")])
def test_what_failed_is_repeated_as_it_was(failure: httpx2.Response | Exception) -> None:
    """An authorization has a key, an event its id, and what is released twice is released once."""
    calls: list[Callable[[Api], object]] = [
        lambda api: api.authorize("key", {"max_tokens": 1}, idempotency_key="turn"),
        lambda api: api.record("key", {"id": "event"}),
        lambda api: api.release("key", "auth_1"),
    ]
    servers = [Server(failure, FINE) for _ in calls]
    for call, server in zip(calls, servers, strict=True):
        call(server.api)
        first, second = server.asked
        assert (first.url, first.headers, first.content) == (
            second.url,
            second.headers,
            second.content,
        )
    assert ["idempotency-key" in server.asked[0].headers for server in servers] == [
        True,
        False,
        False,
    ]


def test_what_a_lost_answer_holds_is_found_by_its_key_and_released() -> None:
    server = Server(FINE)

    server.api.give_back("key", {"max_tokens": 1}, idempotency_key="turn")

    asked, released = server.asked
    assert asked.headers["idempotency-key"] == "turn"
    assert (released.method, released.url.path) == ("DELETE", "/v1/authorizations/auth_1")


def test_where_nothing_is_held_nothing_is_released() -> None:
    server = Server(REFUSED)

    server.api.give_back("key", {}, idempotency_key="turn")

    assert [request.method for request in server.asked] == ["POST"]


def test_an_api_that_fails_every_time_is_given_up() -> None:
    server = Server(CRASHED)

    with pytest.raises(NoAnswer, match="502"):
        server.api.record("key", {"id": "event"})

    assert len(server.asked) == ATTEMPTS_MAX
