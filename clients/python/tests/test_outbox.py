"""What was measured reaches Headroom: later if need be, from a dead process too, never twice."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.python.tests.headroom_server import (
    LOST_REPLY,
    USER,
    Fault,
    HeadroomServer,
    envelope,
    wait_until,
)
from clients.python.tests.http_server import Exchange, serving
from headroom_client import Client, Outbox, OutboxFull, UsageEvent, owners
from headroom_client.outbox import LEASE_SECONDS, LOOK_SECONDS, Entry

log = logging.getLogger(__name__)

SOURCES = Path(__file__).resolve().parents[1] / "src"


def event(number: int, **changes: Any) -> UsageEvent:
    fields: dict[str, Any] = {
        "id": f"msg_{number}",
        "user_id": USER,
        "model": "claude-sonnet-4-6",
        "usage": {"input_tokens": 10, "output_tokens": 1},
        "occurred_at": datetime.now(UTC),
        **changes,
    }
    return UsageEvent(**fields)


def recorded(headroom: HeadroomServer) -> list[str]:
    return sorted(line.event_id for line in headroom.lines())


def test_what_is_reported_is_delivered_in_the_background(
    client: Client, headroom: HeadroomServer
) -> None:
    for number in range(5):
        client.report(event(number))

    assert client.flush()
    assert recorded(headroom) == [f"msg_{number}" for number in range(5)]
    assert client.outbox.waiting() == 0


def test_an_outage_delays_and_loses_nothing(client: Client, headroom: HeadroomServer) -> None:
    headroom.down = True
    for number in range(5):
        client.report(event(number))
    assert not client.flush(0.3)
    assert client.courier.last_error is not None

    headroom.down = False

    # Not only a flush brings it: the courier goes on by itself.
    deadline = time.monotonic() + 20
    while client.outbox.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert recorded(headroom) == [f"msg_{number}" for number in range(5)]
    assert client.courier.last_error is None


def test_a_flush_that_fails_wakes_the_thread_that_waits_for_it(
    client: Client, headroom: HeadroomServer
) -> None:
    """The thread rests until the end of what a flush leased, which is minutes away."""
    client.outbox.put("event", "msg_0", event(0).to_json())
    leased = client.outbox.lease("event", 1)
    client.courier.start()
    time.sleep(0.2)  # The thread looks and rests; if it had not yet, this could only pass.

    client.outbox.postpone(leased, 0)
    assert not client.flush(0)

    deadline = time.monotonic() + 20
    while client.outbox.waiting() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert recorded(headroom) == ["msg_0"]


@pytest.mark.parametrize(
    "fault",
    [
        LOST_REPLY,
        Fault(500, {}, envelope("api_error")),
        Fault(503, {"retry-after": "0"}, envelope("overloaded_error")),
        Fault(401, {}, envelope("authentication_error")),
        Fault(404, {}, b"not here"),
        Fault(200, {}, b"<html>a portal</html>"),
        Fault(200, {}, b'{"type": "usage_events", "results": []}'),
    ],
    ids=["reply lost", "failed", "overloaded", "key unknown", "elsewhere", "portal", "too few"],
)
def test_whatever_was_answered_instead_the_event_is_billed_once(
    client: Client, headroom: HeadroomServer, fault: Fault
) -> None:
    headroom.faults = [fault, fault]

    client.report(event(1))

    assert client.flush(20), client.courier.last_error
    assert recorded(headroom) == ["msg_1"]
    bodies = {call[3] for call in headroom.calls("POST", "/v1/usage/events")}
    assert len(bodies) == 1, "a repetition has to be the very same event"


def test_what_headroom_rejects_is_parked_with_its_reason_and_spoils_nothing_else(
    client: Client, headroom: HeadroomServer
) -> None:
    client.report(event(1))
    assert client.flush()
    poison = [
        event(1, usage={"input_tokens": 99, "output_tokens": 9}),
        event(2, user_id="user_nobody"),
        event(3, model=""),
        event(4, usage={"input_tokens": -1, "output_tokens": 1}),
        event(5, authorization_id="auth_made_up"),
    ]
    for each in [*poison, event(6)]:
        client.report(each)

    assert client.flush()

    assert recorded(headroom) == ["msg_1", "msg_6"]
    parked = {entry.id: entry.because for entry in client.outbox.parked()}
    assert set(parked) == {each.id for each in poison}
    assert parked["msg_1"].startswith("conflict_error")
    assert parked["msg_3"].startswith("invalid_request_error")
    before = len(headroom.asked)
    assert client.flush()
    assert len(headroom.asked) == before, "what is parked is not sent again"


def test_what_is_parked_can_be_tried_again_or_discarded(
    client: Client, headroom: HeadroomServer
) -> None:
    client.report(event(1, user_id="user_nobody"))
    client.report(event(2, user_id="user_nobody"))
    assert client.flush()

    client.outbox.discard("msg_1")
    client.outbox.unpark("msg_2")

    assert client.flush()
    assert [entry.id for entry in client.outbox.parked()] == ["msg_2"]
    sent = [call for call in headroom.calls("POST", "/v1/usage") if b"msg_2" in call[3]]
    assert len(sent) == 2


def test_a_batch_that_is_too_large_is_halved_until_only_the_guilty_is_left(
    client: Client, headroom: HeadroomServer
) -> None:
    """Headroom reads a megabyte. One event is larger, and nine others wait behind it."""
    headroom.down = True
    huge = {"input_tokens": 1, "output_tokens": 1, "note": "x" * 1_100_000}
    client.report(event(0, usage=huge))
    for number in range(1, 10):
        client.report(event(number))
    headroom.down = False

    assert client.flush(20)

    assert recorded(headroom) == [f"msg_{number}" for number in range(1, 10)]
    assert [entry.id for entry in client.outbox.parked()] == ["msg_0"]


def test_an_event_that_headroom_fails_at_does_not_hold_the_others_up(
    client: Client, headroom: HeadroomServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug on the other side: every batch with that event in it is a 500, whenever it comes."""
    answer = headroom._invoke

    def failing(exchange: Any, headers: dict[str, str]) -> dict[str, Any]:
        if b"msg_3" in exchange.body:
            body = envelope("api_error").decode()
            return {"statusCode": 500, "headers": {"content-type": "text/json"}, "body": body}
        return answer(exchange, headers)

    monkeypatch.setattr(headroom, "_invoke", failing)
    for number in range(6):
        client.report(event(number))

    deadline = time.monotonic() + 20
    while client.outbox.waiting() > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert recorded(headroom) == [f"msg_{number}" for number in (0, 1, 2, 4, 5)]
    monkeypatch.undo()
    assert client.flush(20)
    assert len(recorded(headroom)) == 6


def test_a_release_is_delivered_too_and_one_of_nothing_is_parked(
    client: Client, headroom: HeadroomServer
) -> None:
    held = client.authorize(user_id=USER, model="claude-sonnet-4-6", input_tokens=1, max_tokens=1)
    headroom.faults = [LOST_REPLY]
    client.release_later(held.id)
    client.release_later("auth_made_up")

    assert client.flush()

    assert headroom.holds() == 0
    assert [(entry.kind, entry.id) for entry in client.outbox.parked()] == [
        ("release", "auth_made_up")
    ]


REPORTING = """
import datetime, os, signal, sys
from headroom_client import Client, UsageEvent
base_url, key, outbox, first, count, then = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc)
usage = {"input_tokens": 10, "output_tokens": 1}
with Client(base_url, api_key=key, outbox=outbox) as client:
    for number in range(int(first), int(first) + int(count)):
        model = "claude-sonnet-4-6"
        client.report(UsageEvent(f"msg_{number}", "user_acme_finn", model, usage, now))
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def reporting(
    headroom: HeadroomServer, outbox: Path, *, first: int, count: int, then: str
) -> subprocess.Popen[bytes]:
    """Start a program that reports some events, and closes its client or is killed."""
    arguments = [headroom.base_url, headroom.key, str(outbox), str(first), str(count), then]
    return subprocess.Popen(
        [sys.executable, "-c", REPORTING, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )


def test_what_a_killed_process_wrote_down_is_delivered_by_the_next(
    headroom: HeadroomServer, tmp_path: Path
) -> None:
    """`kill -9` right after `report` returned, with Headroom away all the while."""
    outbox = tmp_path / "outbox.db"
    headroom.down = True
    killed = reporting(headroom, outbox, first=10, count=50, then="die")
    assert killed.wait(30) == -signal.SIGKILL
    headroom.down = False

    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox) as client:
        assert client.flush(20)

    assert recorded(headroom) == [f"msg_{number}" for number in range(10, 60)]


DELIVERING = """
import sys
from headroom_client import Client
base_url, key, outbox = sys.argv[1:]
Client(base_url, api_key=key, outbox=outbox, timeout_seconds=60).flush(60)
"""


def killed_while_delivering(headroom: HeadroomServer, outbox: Path) -> None:
    """Run a process that leases what waits, and kill it while Headroom has not answered yet."""
    headroom.answering.clear()
    program = [sys.executable, "-c", DELIVERING, headroom.base_url, headroom.key, str(outbox)]
    delivering = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": str(SOURCES)})
    assert headroom.reached.wait(30)
    delivering.kill()
    assert delivering.wait(30) == -signal.SIGKILL
    headroom.answering.set()


def test_what_a_killed_process_was_delivering_is_taken_over_at_once(
    headroom: HeadroomServer, tmp_path: Path
) -> None:
    """`kill -9` while the request is under way: nobody waits for the lease of the dead."""
    outbox = tmp_path / "outbox.db"
    headroom.down = True
    assert reporting(headroom, outbox, first=0, count=5, then="die").wait(30) == -signal.SIGKILL
    headroom.down = False
    killed_while_delivering(headroom, outbox)

    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox) as client:
        started = time.monotonic()
        assert client.flush(10)
        assert time.monotonic() - started < 5

    assert recorded(headroom) == [f"msg_{number}" for number in range(5)]


def test_a_courier_that_only_waits_takes_over_from_the_dead_too(
    client: Client, headroom: HeadroomServer
) -> None:
    """Its thread rests while another process leases all there is; nobody flushes."""
    client.courier.close()
    client.outbox.put("event", "msg_0", event(0).to_json())
    killed_while_delivering(headroom, client.outbox.path)

    with Client(headroom.base_url, api_key=headroom.key, outbox=client.outbox.path) as living:
        started = time.monotonic()
        while living.outbox.waiting():
            assert time.monotonic() - started < 5
            time.sleep(0.02)
    assert recorded(headroom) == ["msg_0"]


PARENT = """
import os, sys, time
from headroom_client import Client
base_url, key, outbox = sys.argv[1:]
client = Client(base_url, api_key=key, outbox=outbox, timeout_seconds=60)
for number, entry in enumerate(client.outbox.lease("event", 10)):
    assert number == 0
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
print("forked", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_does_not_keep_its_dead_parent_alive(
    headroom: HeadroomServer, tmp_path: Path
) -> None:
    """It has the parent's files open, and the lock with them, if it did not close them."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put("event", "msg_0", event(0).to_json())
    arguments = [headroom.base_url, headroom.key, str(outbox.path)]
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARENT, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    try:
        assert parent.stdout.readline() == b"forked\n"
        assert outbox.lease("event", 1) == []
        parent.kill()
        assert os.waitpid(parent.pid, 0)[1] == signal.SIGKILL

        # The fork may not have come to run yet, and closes what it inherited when it does.
        wait_until(lambda: [entry.id for entry in outbox.lease("event", 1)] == ["msg_0"])
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait(10)
        parent.stdout.close()
        outbox.close()


def test_a_process_that_goes_on_lets_go_of_what_it_was_interrupted_at(
    client: Client, headroom: HeadroomServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during a flush: nobody takes over from the living, so they must let go."""
    client.courier.close()
    client.outbox.put("event", "msg_0", event(0).to_json())

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client._line, "attempt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.flush()

    assert client.flush(5)
    assert recorded(headroom) == ["msg_0"]


def test_the_dead_leave_nothing_lying_about(headroom: HeadroomServer, tmp_path: Path) -> None:
    """Neither their names nor the files that they had locked."""
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    outbox.put("event", "msg_0", event(0).to_json())
    killed_while_delivering(headroom, path)
    assert len(list(tmp_path.glob("*-owner-*"))) == 1
    # Another was killed after it had locked its file, and before it kept its name.
    (tmp_path / "outbox.db-owner-unknown").touch()

    with Client(headroom.base_url, api_key=headroom.key, outbox=path) as client:
        assert client.flush(5)
    outbox.close()

    assert [file.name for file in tmp_path.iterdir()] == ["outbox.db"]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM owners").fetchall() == []


def test_where_files_cannot_be_locked_the_end_of_a_lease_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: Any, **__: Any) -> bool:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(owners, "_lock", unable)
    now = [1000.0]
    first, second = (Outbox(tmp_path / "outbox.db", clock=lambda: now[0]) for _ in range(2))
    first.put("event", "a", "{}")

    assert len(first.lease("event", 1)) == 1
    assert second.lease("event", 1) == []
    now[0] += LEASE_SECONDS - 1
    first.renew(first_leased := [Entry(1, "event", "a", "{}")])
    now[0] += LEASE_SECONDS - 1
    assert second.lease("event", 1) == [], "a lease that is renewed goes on"
    now[0] += 1
    assert [entry.id for entry in second.lease("event", 1)] == ["a"]
    first.postpone(first_leased, 0)
    assert first.lease("event", 1) == [], "who lost a lease cannot end that of the other"
    first.close()
    second.close()


STARTED = """
import os, sys, time
from pathlib import Path
from headroom_client.owners import Owner
print(time.time(), flush=True)
time.sleep(0.5)
child = os.fork() if sys.argv[2:] else 0
if not child:
    if sys.argv[2:]:
        print(time.time(), flush=True)
        time.sleep(0.5)
    owner = Owner(Path(sys.argv[1]))
    print(owner.since, flush=True)
    owner.let_go()
else:
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("forks", [False, True])
def test_an_owner_tells_when_its_process_started(tmp_path: Path, forks: bool) -> None:
    """Not when it first leased something: by pid and start a person finds the process."""
    before = time.time()
    arguments = [str(tmp_path / "outbox.db"), *(["fork"] if forks else [])]
    told = subprocess.run(
        [sys.executable, "-c", STARTED, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    *ran, since = map(float, told)
    # A tick of the kernel, and what the clock is set by meanwhile.
    assert ran[0] + 0.4 < since <= ran[1] + 0.1 if forks else before - 0.1 < since <= ran[0] + 0.1


def test_where_nobody_tells_when_a_process_started_its_import_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)

    assert owners.started_at() == owners._imported_at


def test_a_flush_says_what_is_left_and_why(
    client: Client, headroom: HeadroomServer, tmp_path: Path
) -> None:
    client.courier.close()
    for number in range(3):
        client.outbox.put("event", f"msg_{number}", event(number).to_json())
    other = Outbox(client.outbox.path)
    assert len(other.lease("event", 1)) == 1
    headroom.down = True

    flushed = client.flush(0.5)

    assert not flushed
    assert sum(left.count for left in flushed.left) == 3
    (tried, leased) = flushed.left
    assert tried.count == 2
    assert tried.because.startswith("Unavailable: POST /v1/usage/events")
    assert (leased.count, f"process {os.getpid()} on " in leased.because) == (1, True)
    started = datetime.fromisoformat(leased.because.rpartition("started ")[2])
    assert abs(started.timestamp() - owners.started_at()) < 2
    assert "3 wait: 2 Unavailable" in str(flushed)
    other.close()
    headroom.down = False
    assert str(client.flush(10)) == "nothing waits"


def test_a_client_that_is_closed_says_why_something_is_left(
    headroom: HeadroomServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headroom.down = True
    client = Client(headroom.base_url, api_key=headroom.key, outbox=tmp_path / "outbox.db")
    client.report(event(1))

    client.close(flush_seconds=0.2)

    assert "keeps it; 1 wait: 1 Unavailable: POST /v1/usage/events" in caplog.text


def test_a_flush_ends_when_its_time_is_up_though_much_is_left(
    client: Client, headroom: HeadroomServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty releases, each of which is answered in a tenth of a second."""
    client.courier.close()
    for number in range(30):
        client.outbox.put("release", f"auth_{number}")

    def slow(*_: Any) -> dict[str, Any]:
        time.sleep(0.1)
        return {}

    monkeypatch.setattr(client._line, "attempt", slow)
    started = time.monotonic()
    assert not client.flush(0.5)
    assert time.monotonic() - started < 2
    assert client.flush(30)


def test_what_settles_an_open_hold_goes_first(tmp_path: Path) -> None:
    """Behind a long outage there is much that is late already; what is not must not get late."""
    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: 1000.0)
    for name, hold_until in [
        ("unknown", None),
        ("late", 900.0),
        ("later", 1500.0),
        ("soon", 1010.0),
    ]:
        outbox.put("event", name, "{}", hold_until=hold_until)

    assert [entry.id for entry in outbox.lease("event", 3)] == ["soon", "later", "unknown"]
    assert [entry.id for entry in outbox.lease("event", 3)] == ["late"]
    outbox.close()


@pytest.mark.parametrize(
    ("hold_until", "due"),
    [(None, 60.0), (900.0, 60.0), (2000.0, 60.0), (1040.0, 30.0), (1009.0, 1.0)],
    ids=["no hold", "late", "long", "short", "about to expire"],
)
def test_what_settles_an_open_hold_is_tried_again_before_it_expires(
    tmp_path: Path, hold_until: float | None, due: float
) -> None:
    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: 1000.0)
    outbox.put("event", "a", "{}", hold_until=hold_until)

    outbox.postpone(outbox.lease("event", 1), 60.0)

    assert outbox.due_in_seconds() == due
    outbox.close()


def test_a_hold_does_not_expire_because_the_outbox_waited(
    headroom: HeadroomServer, tmp_path: Path
) -> None:
    """After a long outage the courier rests for a minute at a time; the hold lasts for seconds."""
    with Client(headroom.base_url, api_key=headroom.key, outbox=tmp_path / "outbox.db") as client:
        held = client.authorize(
            user_id=USER, model="claude-sonnet-4-6", input_tokens=9, max_tokens=9, ttl_seconds=12
        )
        client.courier._failures = 20
        headroom.down = True
        ending = event(1, authorization_id=held.id)
        client.report(ending, hold_expires_at=held.expires_at)
        while client.courier.last_error is None:
            time.sleep(0.02)
        headroom.down = False

        while client.outbox.waiting():
            assert datetime.now(UTC) < held.expires_at
            time.sleep(0.05)
    (line,) = headroom.lines()
    assert (line.authorization_id, line.unbilled) == (held.id, 0)


def test_a_file_of_an_earlier_version_is_taken_as_it_is(
    headroom: HeadroomServer, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE entries (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
            " id TEXT NOT NULL, body TEXT NOT NULL, added_at REAL NOT NULL,"
            " attempts INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0,"
            " leased_until REAL NOT NULL DEFAULT 0, parked_because TEXT, UNIQUE (kind, id))"
        )
        database.execute(
            "INSERT INTO entries (kind, id, body, added_at) VALUES ('event', 'msg_1', ?, 0)",
            [event(1).to_json()],
        )

    with Client(headroom.base_url, api_key=headroom.key, outbox=path) as client:
        assert client.flush()
    with Client(headroom.base_url, api_key=headroom.key, outbox=path) as client:
        client.report(event(2))
        assert client.flush()
    assert recorded(headroom) == ["msg_1", "msg_2"]


STRESSED = """
import datetime, itertools, sys, time
from headroom_client import Client, UsageEvent
base_url, key, outbox, name = sys.argv[1:]
usage = {"input_tokens": 10, "output_tokens": 1}
with Client(base_url, api_key=key, outbox=outbox) as client:
    for number in itertools.count():
        now = datetime.datetime.now(datetime.timezone.utc)
        event_id = f"msg_{name}_{number}"
        client.report(
            UsageEvent(event_id, "user_acme_finn", "claude-sonnet-4-6", usage, now)
        )
        print(event_id, flush=True)
        time.sleep(0.01)
"""
# By hand for minutes: HEADROOM_STRESS_SECONDS=300.
STRESS_SECONDS = float(os.environ.get("HEADROOM_STRESS_SECONDS", "8"))


class Ledger:
    """Bills an event once for its id, slowly, so that deaths fall before and after it is written.

    The real functions on moto take a second for what these processes report in a tenth of it.
    """

    def __init__(self) -> None:
        self.lines: dict[str, object] = {}
        self.sent = 0
        self._dice = random.Random(3)
        self._lock = threading.Lock()

    def answer(self, exchange: Exchange) -> None:
        time.sleep(self._dice.uniform(0, 0.1))
        results = []
        with self._lock:
            for event in json.loads(exchange.body)["events"]:
                self.sent += 1
                known = self.lines.setdefault(event["id"], event) is not event
                assert self.lines[event["id"]] == event, "it is another event under the same id"
                status = "duplicate" if known else "recorded"
                results.append({"type": "usage_event", "id": event["id"], "status": status})
        time.sleep(self._dice.uniform(0, 0.1))
        body = json.dumps({"type": "usage_events", "results": results}).encode()
        exchange.reply(200, body, {"content-type": "application/json"})


def test_three_processes_that_are_killed_at_random_deliver_everything_once(
    tmp_path: Path,
) -> None:
    """Whatever `report` returned for is in the ledger, seconds after the last death."""
    path, ledger = tmp_path / "outbox.db", Ledger()
    with serving(ledger.answer) as base_url:
        killed, reported = kill_at_random(base_url, path, tmp_path)
        with Client(base_url, api_key="k", outbox=path) as client:
            left, started = client.outbox.waiting(), time.monotonic()
            assert client.flush(LEASE_SECONDS / 2)
            seconds = time.monotonic() - started
            assert client.outbox.parked() == []

    log.info(
        "%d processes killed, %d reported, %d in the ledger, %d sent, %d left, flushed in %.1f s",
        *(killed, len(reported), len(ledger.lines), ledger.sent, left, seconds),
    )
    assert set(reported) <= ledger.lines.keys()
    # Of each process the last may have been kept just before `report` could return.
    assert len(ledger.lines) <= len(reported) + killed
    assert seconds < 10
    assert sorted(file.name for file in tmp_path.glob("*-owner-*")) == []


def kill_at_random(base_url: str, outbox: Path, folder: Path) -> tuple[int, list[str]]:
    """Keep three processes at work, kill one after the other; return what they had reported."""
    dice = random.Random(7)
    working: list[tuple[subprocess.Popen[bytes], Path]] = []
    files: list[Path] = []

    def start() -> None:
        said = folder / f"said-{len(files)}"
        with said.open("wb") as file:
            worker = subprocess.Popen(
                [sys.executable, "-c", STRESSED, base_url, "k", str(outbox), said.name],
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                stdout=file,
            )
        files.append(said)
        working.append((worker, said))

    for _ in range(3):
        start()
    ends = time.monotonic() + STRESS_SECONDS
    while working:
        worker, said = working.pop(dice.randrange(len(working)))
        wait_until(lambda said=said: said.stat().st_size > 0)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.5))
        worker.kill()
        assert worker.wait(10) == -signal.SIGKILL
        if time.monotonic() < ends:
            start()
    return len(files), [event_id for file in files for event_id in file.read_text().split()]


def test_processes_share_an_outbox(headroom: HeadroomServer, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    workers = [
        reporting(headroom, outbox, first=100 * number, count=20, then="close")
        for number in range(3)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]

    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox) as client:
        assert client.flush(20)
        assert client.outbox.parked() == []
    assert len(recorded(headroom)) == 60
    sent = b"".join(call[3] for call in headroom.calls("POST", "/v1/usage/events"))
    assert sent.count(b'"id":"msg_') == 60, "the lease kept anything from being sent twice"


def test_threads_share_a_client(client: Client, headroom: HeadroomServer) -> None:
    def report(first: int) -> None:
        for number in range(first, first + 10):
            client.report(event(number))

    threads = [threading.Thread(target=report, args=(100 * number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert client.flush(20)
    assert len(recorded(headroom)) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_goes_on_by_itself(headroom: HeadroomServer, tmp_path: Path) -> None:
    with Client(headroom.base_url, api_key=headroom.key, outbox=tmp_path / "outbox.db") as client:
        client.report(event(1))
        assert client.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.report(event(2))
                code = 0 if client.flush(20) else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        client.report(event(3))
        assert client.flush()

    assert recorded(headroom) == ["msg_1", "msg_2", "msg_3"]


def test_an_outbox_is_bounded_and_says_so(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", entries_max=2)
    outbox.put("event", "a", "{}")
    outbox.put("event", "a", "{}")
    outbox.put("event", "b", "{}")

    with pytest.raises(OutboxFull):
        outbox.put("event", "c", "{}")
    with pytest.raises(OutboxFull):
        outbox.check_room()
    (first, _) = outbox.lease("event", 10)
    outbox.done([first])
    outbox.check_room()
    outbox.close()


def test_the_first_content_kept_under_an_id_stays(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put("event", "a", "first")
    outbox.put("event", "a", "second")

    assert [entry.body for entry in outbox.lease("event", 10)] == ["first"]
    outbox.close()


def test_a_lease_keeps_others_away_until_it_ends(tmp_path: Path) -> None:
    now = [1000.0]
    mine = Outbox(tmp_path / "outbox.db", clock=lambda: now[0])
    others = Outbox(tmp_path / "outbox.db", clock=lambda: now[0])
    mine.put("event", "a", "{}")

    assert len(mine.lease("event", 10)) == 1
    assert others.lease("event", 10) == []
    assert others.due_in_seconds() == LOOK_SECONDS, "mine may die meanwhile"
    now[0] += LEASE_SECONDS
    (again,) = others.lease("event", 10)
    others.postpone([again], 5)
    assert others.lease("event", 10) == []
    assert others.due_in_seconds() == 5
    others.hasten()
    assert len(others.lease("event", 10)) == 1
    mine.close()
    others.close()


def test_what_is_put_in_the_middle_of_a_transaction_is_kept_after_it(tmp_path: Path) -> None:
    """As a destructor does that the garbage collector runs while the outbox is at work."""
    outbox = Outbox(tmp_path / "outbox.db")

    with outbox._transaction():
        outbox.put("event", "late", "{}")

    assert [entry.id for entry in outbox.lease("event", 10)] == ["late"]
    outbox.close()


def test_an_outbox_belongs_to_one_headroom(tmp_path: Path) -> None:
    old, new = "http://127.0.0.1:1", "http://127.0.0.1:2"
    Client(old, api_key="k", outbox=tmp_path / "outbox.db").close()

    with pytest.raises(ValueError, match="keeps what is meant for"):
        Client(new, api_key="k", outbox=tmp_path / "outbox.db")
    with pytest.raises(ValueError, match=f"moved_from='{old}'"):
        Client(new, api_key="k", outbox=tmp_path / "outbox.db", moved_from="http://127.0.0.1:3")


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_an_outbox_moves_with_its_headroom(
    headroom: HeadroomServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What the old one had recorded before it was lost is sent again, and billed once."""
    old, outbox = "http://127.0.0.1:9", tmp_path / "outbox.db"
    before = Client(old, api_key=headroom.key, outbox=outbox)
    known = event(1)
    before.report(known)
    before.report(event(2))
    with Client(headroom.base_url, api_key=headroom.key) as other:
        other.report(known)
        assert other.flush()
    if way == "environment":
        monkeypatch.setenv("HEADROOM_MOVED_FROM", f"{old}/")
    moved_from = f"{old}/" if way == "argument" else None

    for _ in range(2):  # The setting may stay where it is.
        with Client(
            headroom.base_url, api_key=headroom.key, outbox=outbox, moved_from=moved_from
        ) as client:
            assert client.flush(20)
            assert client.outbox.parked() == []

    assert recorded(headroom) == ["msg_1", "msg_2"]
    # Whoever is still bound to the old address keeps things for the new one, and sends nothing.
    before.report(event(3))
    flushed = before.flush(0.1)
    assert [left.because for left in flushed.left] == [
        f"the outbox was moved to {headroom.base_url}"
    ]
    before.close(flush_seconds=0)
    with Client(headroom.base_url, api_key=headroom.key, outbox=outbox) as client:
        assert client.flush()
    assert recorded(headroom) == ["msg_1", "msg_2", "msg_3"]


def test_a_temporary_outbox_is_left_behind_only_if_something_is_in_it(
    headroom: HeadroomServer,
) -> None:
    emptied = Client(headroom.base_url, api_key=headroom.key)
    emptied.report(event(1))
    emptied.close()
    assert not emptied.outbox.path.parent.exists()

    headroom.down = True
    left = Client(headroom.base_url, api_key=headroom.key)
    left.report(event(2))
    left.close(flush_seconds=0.1)
    headroom.down = False

    with Client(headroom.base_url, api_key=headroom.key, outbox=left.outbox.path) as client:
        assert client.flush(20)
    assert recorded(headroom) == ["msg_1", "msg_2"]
    for file in left.outbox.path.parent.iterdir():
        file.unlink()
    left.outbox.path.parent.rmdir()


def test_a_program_that_closes_nothing_delivers_at_its_end(headroom: HeadroomServer) -> None:
    program = f"""
import datetime
from headroom_client import Client, UsageEvent
client = Client({headroom.base_url!r}, api_key={headroom.key!r})
client.courier.start = lambda: None
client.report(UsageEvent("msg_1", {USER!r}, "claude-sonnet-4-6",
    {{"input_tokens": 10, "output_tokens": 1}}, datetime.datetime.now(datetime.timezone.utc)))
del client.courier.start
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )

    assert recorded(headroom) == ["msg_1"]


def test_an_event_without_a_time_zone_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="time zone"):
        event(1, occurred_at=datetime(2026, 1, 1)).to_json()  # noqa: DTZ001
