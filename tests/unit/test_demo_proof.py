"""The demo end to end, on the table in memory, and that its proof fails where it should."""

from __future__ import annotations

import io
import json
import secrets
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from rich.console import Console

from headroom.core.errors import HeadroomError
from headroom.core.store import keys
from headroom.core.store.table import Key
from headroom.core.wire.fields import digest_of
from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.usecases.authorizations import Idempotency, authorize, release
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.memory_table import MemoryTable
from tools.demo.books import Counters, find_lines, read_books, read_counters
from tools.demo.client import ATTEMPTS_MAX, Api
from tools.demo.dealing import Person, deal
from tools.demo.progress import ReplayProgress
from tools.demo.proof import Check, Proof, prove
from tools.demo.replay import Outcome, replay
from tools.demo.report import Run, print_report
from tools.demo.traces import Recorded, Trace, generate
from tools.local_stack.provisioning import EXAMPLES

REQUESTS = 250


@dataclass
class World:
    """The examples on a table in memory, behind an API that calls the use cases."""

    table: MemoryTable
    people: list[Person]
    before: list[Counters]
    started_at: datetime
    outcomes: list[Outcome]
    # Which requests do not arrive, and of which the answer does not, though they are done.
    stops: Callable[[httpx2.Request], bool] = lambda request: False
    loses: Callable[[httpx2.Request], bool] = lambda request: False

    @property
    def org_ids(self) -> list[str]:
        return [counters.organization.org_id for counters in self.before]

    def proof(self) -> Proof:
        books = [read_books(self.table, org_id) for org_id in self.org_ids]
        return prove(self.before, books, self.outcomes, started_at=self.started_at)

    def failing(self) -> list[str]:
        return [check.claim for check in self.proof().checks if not check.holds]

    def replay(self, trace: Trace, run: str) -> None:
        api = Api("http://api", clients=4, transport=self.transport, pause=lambda seconds: None)
        tasks = deal(trace, self.people, seed=1, run=run)
        self.outcomes = replay(api, tasks, clients=4, observe=lambda outcome: None)
        api.close()

    def tamper(self, key: Key, name: str, by: int = 1) -> None:
        item = self.table.items[key]
        item[name] = {"N": str(int(item[name]["N"]) + by)}

    def item(self, fits: Callable[[Key, dict[str, Any]], bool]) -> Key:
        return next(key for key, item in self.table.items.items() if fits(key, item))

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if self.stops(request):
            raise httpx2.ConnectTimeout("busy", request=request)
        answer = self._work(request)
        if self.loses(request):
            raise httpx2.ReadTimeout("late", request=request)
        return answer

    def _work(self, request: httpx2.Request) -> httpx2.Response:
        org_id = request.headers["x-api-key"]
        organization = find_organization(self.table, org_id)
        assert organization is not None
        now, hints = datetime.now(UTC), Hints()
        try:
            if request.method == "DELETE":
                authorization_id = request.url.path.rpartition("/")[2]
                return httpx2.Response(200, json=release(self.table, org_id, authorization_id))
            body = json.loads(request.content)
            if request.url.path == "/v1/authorizations":
                asked = parse_authorization_request(body)
                entropy = secrets.token_bytes(6)
                key = Idempotency(request.headers["idempotency-key"], digest_of(body))
                held = authorize(
                    self.table, hints, organization, asked, now, entropy=entropy, idempotency=key
                )
                return httpx2.Response(200, json=held)
            results = [
                record(self.table, hints, organization, parse_event(event, now), now)
                for event in body["events"]
            ]
            return httpx2.Response(200, json={"type": "usage_events", "results": results})
        except HeadroomError as error:
            return httpx2.Response(error.status, json=error.body("req_1"))


@pytest.fixture
def world() -> World:
    return new_world()


@pytest.fixture(scope="module")
def replayed_once() -> World:
    world = new_world()
    world.replay(generate(REQUESTS, seed=1), run="x")
    return world


@pytest.fixture
def replayed(replayed_once: World) -> World:
    table = MemoryTable()
    table.items = deepcopy(replayed_once.table.items)
    return replace(replayed_once, table=table, outcomes=deepcopy(replayed_once.outcomes))


def new_world() -> World:
    table = MemoryTable()
    people = []
    before = []
    for example in sorted(EXAMPLES.glob("*.json")):
        document = json.loads(example.read_text())
        answer = provision(table, parse_provisioning(document), datetime.now(UTC))
        people += [
            Person(answer["id"], member["user_id"], service_key=answer["id"])
            for member in answer["members"]
        ]
        before.append(read_counters(table, answer["id"]))
    return World(table, people, before, datetime.now(UTC) - timedelta(seconds=1), [])


def is_spent_budget(key: Key, item: dict[str, Any]) -> bool:
    return key.sk == "BUDGET" and int(item["spent"]["N"]) > 0


def is_extra_line(key: Key, item: dict[str, Any]) -> bool:
    return key.sk == "LINE" and item["source"]["S"] == "extra_usage"


def test_a_replay_ends_with_everything_settled_and_proved(replayed: World) -> None:
    outcomes = replayed.outcomes

    assert len(outcomes) == REQUESTS
    assert not [each.failure for each in outcomes if each.failure]
    assert replayed.failing() == []
    assert {each.source for each in outcomes} == {"included", "extra_usage", None}
    assert any(each.duplicates for each in outcomes)
    assert any(each.released for each in outcomes)
    assert all(each.recorded <= 1 for each in outcomes)


@dataclass
class Losing:
    """Loses the first answers to each authorization, as a machine that is too busy does."""

    count_lost: int
    seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, request: httpx2.Request) -> bool:
        key = request.headers.get("idempotency-key")
        if key is None:
            return False
        self.seen[key] += 1
        return self.seen[key] <= self.count_lost


def test_answers_that_are_lost_leave_nothing_held(world: World) -> None:
    world.loses = Losing(2)
    world.replay(generate(40, seed=1), run="x")

    assert not [each.failure for each in world.outcomes if each.failure]
    assert world.failing() == []


def test_what_was_not_answered_at_all_is_given_back_in_the_end(world: World) -> None:
    world.loses = Losing(ATTEMPTS_MAX)
    world.replay(generate(40, seed=1), run="x")

    failed = [each for each in world.outcomes if each.failure]
    assert len(failed) > 20
    assert not any(each.may_hold for each in world.outcomes)
    assert world.failing() == []


def test_a_release_that_did_not_arrive_is_made_in_the_end(world: World) -> None:
    stopped = iter(range(ATTEMPTS_MAX))
    world.stops = lambda request: request.method == "DELETE" and next(stopped, None) is not None
    world.replay(generate(40, seed=1), run="x")

    assert [each.failure for each in world.outcomes if each.failure]
    assert world.failing() == []


def test_a_second_replay_is_proved_as_well(replayed: World) -> None:
    replayed.replay(generate(REQUESTS, seed=1), run="y")

    assert replayed.failing() == []
    assert all(each.recorded == 1 for each in replayed.outcomes if each.recording)


@pytest.mark.parametrize("name", ["spent", "included", "unbilled"])
def test_a_counter_that_is_off_by_a_nano_fails_the_proof(replayed: World, name: str) -> None:
    replayed.tamper(replayed.item(is_spent_budget), name)

    assert "ledger = counters, to the nano" in replayed.failing()


def test_a_line_that_is_off_by_a_nano_fails_the_proof(replayed: World) -> None:
    replayed.tamper(replayed.item(is_extra_line), "charged")

    assert "ledger = counters, to the nano" in replayed.failing()
    assert "every line is the sum of its parts, once" in replayed.failing()


def test_a_lost_line_fails_the_proof(replayed: World) -> None:
    del replayed.table.items[replayed.item(is_extra_line)]

    assert replayed.failing() == [
        "ledger = counters, to the nano",
        "what was acknowledged is in the ledger, once",
    ]


def test_a_line_whose_member_has_no_budget_fails_the_proof(replayed: World) -> None:
    del replayed.table.items[replayed.item(is_spent_budget)]

    assert "ledger = counters, to the nano" in replayed.failing()


@pytest.mark.parametrize("name", ["unallotted", "funds"])
def test_money_that_vanishes_from_a_pool_fails_the_proof(replayed: World, name: str) -> None:
    replayed.tamper(keys.pool(replayed.org_ids[1]), name, by=-1)

    assert replayed.failing() == ["no money appears or vanishes: Σ granted + unallotted = cap"]


def test_spending_beyond_a_limit_fails_the_proof(replayed: World) -> None:
    """A lost check, not lost money: all the sums still agree."""
    user = replayed.item(
        lambda key, item: is_spent_budget(key, item) and "globex" in key.pk
    ).pk.rpartition("#")[2]
    profile = keys.member(replayed.org_ids[0], user)
    replayed.table.items[profile]["limits"] = {"S": '{"monthly": 1}'}

    assert replayed.failing() == ["no limit, cap or wallet is exceeded"]


def test_a_hold_that_is_left_open_fails_the_proof_unless_it_was_there_before(
    world: World,
) -> None:
    api = Api("http://api", clients=1, transport=world.transport)
    question = {"model": "claude-sonnet-4-5", "input_tokens": 1000, "max_tokens": 100}
    person = world.people[0]
    body = {**question, "user_id": person.user_id}
    api.authorize(person.service_key, body, idempotency_key="left open")

    assert world.failing() == ["nothing is left held"]

    world.before = [read_counters(world.table, org_id) for org_id in world.org_ids]

    assert world.failing() == []
    assert world.proof().foreign_holds == 1
    api.close()


def test_an_event_that_was_taken_twice_fails_the_proof(replayed: World) -> None:
    next(each for each in replayed.outcomes if each.recorded).recorded = 2

    assert replayed.failing() == ["what was acknowledged is in the ledger, once"]


def test_an_event_acknowledged_as_another_amount_fails_the_proof(replayed: World) -> None:
    first = next(each for each in replayed.outcomes if each.source == "extra_usage")
    other = next(
        each
        for each in replayed.outcomes
        if each.recording and first.recording and each.recording != first.recording
    )
    first.recording = other.recording

    assert replayed.failing() == ["what was acknowledged is in the ledger, once"]


def test_events_of_an_earlier_run_are_found_in_the_ledger(world: World) -> None:
    one = generate(1, seed=1).requests[0]
    named = Trace(
        "transcripts",
        (Recorded(one.raw_usage, one.usage, "claude-opus-4-5", "msg_1", "s"),),
        1,
    )
    world.replay(named, run="x")
    org_id = world.outcomes[0].task.person.org_id

    found = find_lines(world.table, [(org_id, "msg_1"), (org_id, "msg_2")])

    assert list(found) == [(org_id, "msg_1")]


def test_usage_without_a_price_is_kept_and_proved(world: World) -> None:
    one = generate(1, seed=1).requests[0]
    flex = {**one.raw_usage, "service_tier": "flex"}
    recorded = Recorded(flex, one.usage, "claude-opus-4-5", "msg_1", "s", unpriced=True)

    world.replay(Trace("transcripts", (recorded,), 1), run="x")

    (outcome,) = world.outcomes
    assert outcome.recording is not None
    assert outcome.recording.source == "unpriced"
    proof = world.proof()
    assert proof.holds
    assert "without a price" in printed(as_run(world, proof))


def printed(run: Run) -> str:
    screen = io.StringIO()
    print_report(Console(file=screen, width=100, highlight=False), run)
    return screen.getvalue()


def as_run(world: World, proof: Proof) -> Run:
    return Run(
        outcomes=world.outcomes,
        clients=4,
        seconds=2.0,
        writes={"budget": 400, "ledger line": 200, "pool": 10},
        books=[read_books(world.table, org_id) for org_id in world.org_ids],
        proof=proof,
    )


def test_the_report_fits_the_terminal_and_names_everybody(replayed: World) -> None:
    text = printed(as_run(replayed, replayed.proof()))

    assert "The proof holds." in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "…" not in text
    for name in ("Gus Abara", "Pia Costa", "Ada Flores", "Gwen Rossi", "none billed twice"):
        assert name in text


def test_the_report_says_what_fails(replayed: World) -> None:
    findings = tuple(f"finding {number}" for number in range(9))
    run = as_run(replayed, Proof((Check("it is true", "on paper", findings),)))

    text = printed(run)

    assert not run.succeeded
    assert "Not so: it is true" in text
    assert "finding 4" in text
    assert "and 4 more" in text
    assert "The proof failed." in text


def test_requests_without_an_answer_fail_the_run_though_the_proof_holds(replayed: World) -> None:
    replayed.outcomes[0].failure = "POST /v1/authorizations: 502"
    run = as_run(replayed, Proof(()))

    assert not run.succeeded
    assert "some requests got no answer" in printed(run)


def test_without_a_terminal_progress_is_a_line_now_and_then(replayed: World) -> None:
    screen = io.StringIO()
    seconds = iter(range(1000))
    clock: Callable[[], float] = lambda: float(next(seconds))  # noqa: E731
    with ReplayProgress(Console(file=screen, width=100), 250, clock=clock) as progress:
        for outcome in replayed.outcomes:
            progress.observe(outcome)

    lines = screen.getvalue().splitlines()
    assert 2 <= len(lines) < 125
    assert "s left" in lines[0]
    assert lines[-1].strip().startswith("250 of 250 (100 %)")
