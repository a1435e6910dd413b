"""Carrying tasks out with concurrent clients: ask, make the request, report what it used."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from headroom.core.domain.money import NANOS_PER_CENT
from headroom.core.store.records import wire_moment
from tools.demo.client import Answer, Api, NoAnswer
from tools.demo.dealing import PRODUCT, Task
from tools.demo.questions import question
from tools.demo.traces import said_of_refusal

# A hold that a crash of this program leaves behind is soon gone.
TTL_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Recording:
    """What the API acknowledged of an event, in nanos as the ledger counts them."""

    source: str
    included: int
    charged: int
    unbilled: int


@dataclass(slots=True)
class Outcome:
    """What became of a task.

    One that asked has a `source` if it was allowed, else a `refusal`, or a `rejection` if the
    API could not make sense of it. A `failure` is an answer that never came.
    `may_hold` says that a hold may be open all the same, found by the `idempotency_key`.
    `recorded` counts the deliveries that the API took for the first, `duplicates` the others.
    """

    task: Task
    source: str | None = None
    refusal: tuple[str, str] | None = None  # The reason, and the level that refused.
    rejection: str | None = None
    failure: str | None = None
    recording: Recording | None = None
    recorded: int = 0
    duplicates: int = 0
    repeated: int = 0
    released: bool = False
    may_hold: bool = False
    idempotency_key: str = field(default_factory=lambda: secrets.token_hex(16))
    authorize_seconds: float | None = None
    record_seconds: list[float] = field(default_factory=list)

    @property
    def allowed(self) -> bool:
        """Whether the request was authorized."""
        return self.source is not None


Observer = Callable[[Outcome], None]


def warm_up(api: Api, key: str, *, clients: int) -> None:
    """Let as many workers of each function start as there will be parallel requests."""
    with ThreadPoolExecutor(2 * clients) as pool:
        for path in ("/v1/authorizations", "/v1/usage/events"):
            for _ in range(clients):
                pool.submit(api.touch, key, path)


def replay(api: Api, tasks: Sequence[Task], *, clients: int, observe: Observer) -> list[Outcome]:
    """Carry out all tasks with so many clients at a time; return what became of those begun.

    `observe` is told of each outcome, one at a time. Interrupted from the keyboard, the clients
    finish the request that they are at, so that nothing is left open. What could not be reached at
    its time is given back at the end.
    """
    outcomes: list[Outcome] = []
    waiting = deque(tasks)
    stop = threading.Event()
    lock = threading.Lock()

    def work() -> None:
        while waiting and not stop.is_set():
            try:
                task = waiting.popleft()
            except IndexError:
                return
            outcome = carry_out(api, task)
            with lock:
                outcomes.append(outcome)
                observe(outcome)

    with ThreadPoolExecutor(clients) as pool:
        working = [pool.submit(work) for _ in range(clients)]
        try:
            for each in working:
                each.result()
        except KeyboardInterrupt:
            stop.set()
        except BaseException:
            stop.set()
            raise
    _give_back(api, [outcome for outcome in outcomes if outcome.may_hold])
    return outcomes


def carry_out(api: Api, task: Task) -> Outcome:
    """Carry out one task; its hold is settled or released then, or the outcome says `may_hold`."""
    outcome = Outcome(task)
    try:
        if task.known is not None:
            _deliver(api, outcome, dict(task.known))
        elif task.fate == "unannounced":
            _deliver(api, outcome, _event(task, None))
        else:
            _ask_first(api, outcome)
    except NoAnswer as error:
        outcome.failure = str(error)
    return outcome


def _ask_first(api: Api, outcome: Outcome) -> None:
    task = outcome.task
    outcome.may_hold = True
    answer = api.authorize(
        task.person.service_key, _question(task), idempotency_key=outcome.idempotency_key
    )
    outcome.authorize_seconds = answer.seconds
    outcome.repeated += answer.repeated
    if not answer.ok:
        outcome.may_hold = False
        _refused(outcome, answer)
        return
    outcome.source = answer.body["source"]
    authorization_id = answer.body["id"]
    try:
        if task.fate != "cancelled":
            _deliver(api, outcome, _event(task, authorization_id))
    finally:
        if outcome.recording is None:
            api.release(task.person.service_key, authorization_id)
            outcome.released = True
        outcome.may_hold = False


def _give_back(api: Api, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        key, question = outcome.task.person.service_key, _question(outcome.task)
        try:
            api.give_back(key, question, idempotency_key=outcome.idempotency_key)
        except NoAnswer:
            # Nor would there be one to the others. The proof will say what is still held.
            return
        outcome.may_hold = False


def _deliver(api: Api, outcome: Outcome, event: dict[str, Any]) -> None:
    for _ in range(outcome.task.deliveries):
        answer = api.record(outcome.task.person.service_key, event)
        outcome.record_seconds.append(answer.seconds)
        outcome.repeated += answer.repeated
        if not answer.ok:
            outcome.rejection = answer.error["message"]
            return
        (result,) = answer.body["results"]
        if result["status"] == "rejected":
            outcome.rejection = result["error"]["message"]
            return
        outcome.recorded += result["status"] == "recorded"
        outcome.duplicates += result["status"] == "duplicate"
        outcome.recording = _recording(result)


def _refused(outcome: Outcome, answer: Answer) -> None:
    details = answer.error.get("details", {})
    if answer.error["type"] == "billing_error":
        outcome.refusal = details["reason"], details["scope"]["type"]
    else:
        outcome.rejection = answer.error["message"]


def _question(task: Task) -> dict[str, Any]:
    return question(task, ttl_seconds=TTL_SECONDS)


def _event(task: Task, authorization_id: str | None) -> dict[str, Any]:
    event = {
        "id": task.event_id,
        "user_id": task.person.user_id,
        "model": task.model,
        "product": PRODUCT,
        "occurred_at": wire_moment(datetime.now(UTC)),
        "usage": dict(task.recorded.raw_usage),
        **said_of_refusal(task.recorded),
    }
    return event if authorization_id is None else {**event, "authorization_id": authorization_id}


def _recording(result: dict[str, Any]) -> Recording:
    # What has no price yet has no amount.
    source, amount = result["source"], _nanos(result.get("amount") or "0")
    return Recording(
        source,
        included=amount if source == "included" else 0,
        charged=amount if source == "extra_usage" else 0,
        unbilled=amount if source == "unbilled" else _nanos(result.get("unbilled", "0")),
    )


def _nanos(cents: str) -> int:
    return int(Decimal(cents) * NANOS_PER_CENT)
