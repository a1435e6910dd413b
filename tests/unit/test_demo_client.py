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
        self.calls = 0
        self.waits: list[float] = []
        transport = httpx2.MockTransport(self.answer)
        self.api = Api("http://api", clients=1, transport=transport, pause=self.waits.append)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def test_what_is_contended_is_asked_again_when_the_answer_says() -> None:
    server = Server(CONTENDED, CONTENDED, FINE)

    answer = server.api.authorize("key", {})

    assert (answer.ok, answer.repeated, server.waits) == (True, 2, [2, 2])


def test_a_refusal_is_taken_for_an_answer() -> None:
    server = Server(REFUSED, FINE)

    answer = server.api.authorize("key", {})

    assert (answer.ok, server.calls, server.waits) == (False, 1, [])
    assert answer.error["details"]["reason"] == "user_limit_reached"


def test_contention_without_end_is_an_answer_at_last() -> None:
    server = Server(CONTENDED)

    answer = server.api.authorize("key", {})

    assert (answer.ok, server.calls) == (False, ATTEMPTS_MAX)


@pytest.mark.parametrize("failure", [CRASHED, httpx2.ReadTimeout("late")])
def test_only_what_is_safe_to_repeat_is_repeated_after_a_failure(
    failure: httpx2.Response | Exception,
) -> None:
    """A second authorization would hold the money twice; a second event is a duplicate."""
    with pytest.raises(NoAnswer):
        Server(failure, FINE).api.authorize("key", {})

    calls: list[Callable[[Api], object]] = [
        lambda api: api.record("key", {"id": "event"}),
        lambda api: api.release("key", "auth_1"),
    ]
    for call in calls:
        server = Server(failure, FINE)
        call(server.api)
        assert server.calls == 2


def test_an_api_that_fails_every_time_is_given_up() -> None:
    server = Server(CRASHED)

    with pytest.raises(NoAnswer, match="502"):
        server.api.record("key", {"id": "event"})

    assert server.calls == ATTEMPTS_MAX
