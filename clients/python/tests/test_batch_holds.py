"""What the outbox keeps of message batches, until their results are read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clients.python.tests.headroom_server import USER
from headroom_client import Outbox, OutboxFull
from headroom_client.batch_holds import KEPT_SECONDS, BatchHold, Settlement


def hold(custom_id: str) -> BatchHold:
    return BatchHold(custom_id, f"auth_{custom_id}", USER, "claude-sonnet-4-6", None, 2e9)


def test_a_file_of_an_earlier_version_takes_batches(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    Outbox(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE batch_requests")

    outbox = Outbox(path)
    outbox.keep_batch("batch", [hold("a")])

    assert outbox.find_batch_holds("batch", ["a", "b"]) == {"a": hold("a")}
    assert outbox.find_batch_holds("another", ["a"]) == {}
    outbox.close()


def test_of_two_who_read_the_same_result_one_settles_it(tmp_path: Path) -> None:
    one, other = Outbox(tmp_path / "outbox.db"), Outbox(tmp_path / "outbox.db")
    one.keep_batch("batch", [hold("a")])

    one.settle_batch("batch", [Settlement("a", "event", "msg_a", "the first")])
    other.settle_batch("batch", [Settlement("a", "event", "msg_b", "the second")])

    (entry,) = one.lease("event", 5)
    assert (entry.id, entry.body) == ("msg_a", "the first")
    assert (one.open_batch_requests(), other.find_batch_holds("batch", ["a"])) == (0, {})
    one.close()
    other.close()


def test_results_for_which_there_is_no_room_stay_unsettled(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", entries_max=1)
    outbox.keep_batch("batch", [hold("a"), hold("b")])
    both = [Settlement(each, "release", f"auth_{each}") for each in ("a", "b")]

    with pytest.raises(OutboxFull):
        outbox.settle_batch("batch", both)

    assert (outbox.waiting(), outbox.open_batch_requests()) == (0, 2)
    outbox.close()


def test_what_nobody_can_read_any_more_is_forgotten(tmp_path: Path) -> None:
    now = 1_000_000_000.0
    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: now)
    outbox.keep_batch("old", [hold("a")])
    now += KEPT_SECONDS
    outbox.keep_batch("new", [hold("a")])
    assert outbox.open_batch_requests() == 2
    now += 1
    outbox.close()

    outbox = Outbox(tmp_path / "outbox.db", clock=lambda: now)
    assert outbox.open_batch_requests() == 1
    outbox.close()
