"""The journal of the local stack: what it keeps, in which order, and what a torn end costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.local_stack.durable import (
    ACCOUNT,
    BATCH,
    Change,
    Journal,
    batches,
    change_of,
    forget_positions,
    forget_unknown_buckets,
    tables_of,
)


def change(sk: str, value: str | None, table: str = "T") -> Change:
    key = {"pk": {"S": "ORG#1"}, "sk": {"S": sk}}
    item = None if value is None else {**key, "value": {"N": value}}
    return {"table": table, "key": key, "item": item}


def applied(changes: list[Change]) -> dict[str, Any]:
    """What batches make of an empty table, as DynamoDB would carry them out."""
    items: dict[str, Any] = {}
    for table, batch in batches(changes):
        keys = []
        for request in batch:
            if "PutRequest" in request:
                item = request["PutRequest"]["Item"]
                keys.append((table, item["sk"]["S"]))
                items[f"{table}/{item['sk']['S']}"] = item["value"]["N"]
            else:
                keys.append((table, request["DeleteRequest"]["Key"]["sk"]["S"]))
                items.pop(f"{table}/{keys[-1][1]}", None)
        assert len(keys) == len(set(keys)) <= BATCH, "BatchWriteItem would refuse it"
    return items


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_what_was_appended_is_read_in_its_order_by_the_next_process(journal: Journal) -> None:
    first, second = [change("A", "1"), change("B", "1")], [change("A", "2")]
    journal.append(first)
    journal.append(second)

    assert list(journal.read()) == first + second


def test_a_line_that_was_not_written_to_its_end_is_cut_off(
    journal: Journal, tmp_path: Path
) -> None:
    """Killed while it wrote: nobody was told that it was kept, and the next line is a whole one."""
    journal.append([change("A", "1")])
    place = tmp_path / "journal.jsonl"
    whole = place.read_bytes()
    for length in range(1, len(whole)):
        place.write_bytes(whole + whole[:length])
        assert list(journal.read()) == [change("A", "1")]
        journal.append([change("B", "1")])
        assert list(journal.read()) == [change("A", "1"), change("B", "1")]


def test_there_is_nothing_to_make_again_after_a_snapshot(journal: Journal) -> None:
    assert list(journal.read()) == []
    journal.append([change("A", "1")])
    journal.clear()
    journal.clear()

    assert list(journal.read()) == []


def test_changes_are_made_again_in_their_order() -> None:
    changes = [change(f"S{number % 7}", str(number)) for number in range(100)]
    changes += [change("S3", None), change("S4", None), change("S4", "5"), change("S0", "6", "U")]

    assert applied(changes) == {
        **{f"T/S{number % 7}": str(number) for number in range(93, 100) if number % 7 != 3},
        "T/S4": "5",
        "U/S0": "6",
    }


def test_changes_that_a_table_has_already_lead_to_the_same_items() -> None:
    """A crash between a snapshot and the end of its journal makes them again on top of it."""
    changes = [change(f"S{number % 3}", str(number)) for number in range(9)] + [change("S1", None)]

    for latest in range(len(changes) + 1):
        assert applied(changes + changes[latest:]) == applied(changes)


def test_a_record_of_a_stream_is_kept_whole_or_as_a_deletion() -> None:
    key = {"pk": {"S": "P"}, "sk": {"S": "S"}}
    image = {**key, "value": {"N": "1"}}
    written = {"eventName": "MODIFY", "dynamodb": {"Keys": key, "OldImage": key, "NewImage": image}}
    deleted = {"eventName": "REMOVE", "dynamodb": {"Keys": key, "OldImage": image}}

    assert change_of("T", written) == {"table": "T", "key": key, "item": image}
    assert change_of("T", deleted) == {"table": "T", "key": key, "item": None}


@pytest.mark.parametrize(
    ("request_body", "tables"),
    [
        ({"TableName": "A", "Item": {}}, {"A"}),
        ({}, set()),
        ({"RequestItems": {"A": [], "B": []}}, {"A", "B"}),
        (
            {
                "TransactItems": [
                    {"Put": {"TableName": "A"}},
                    {"ConditionCheck": {"TableName": "B"}},
                    {"Update": {"TableName": "A"}},
                ]
            },
            {"A", "B"},
        ),
    ],
)
def test_every_form_of_a_request_names_its_tables(
    request_body: dict[str, Any], tables: set[str]
) -> None:
    assert tables_of(json.dumps(request_body).encode()) == tables


def test_followers_of_a_stream_begin_anew_because_the_stream_does(tmp_path: Path) -> None:
    forget_positions(tmp_path)
    state = {"payload": {"functions": {"f": 1}, "dynamodb_stream_positions": {"esm": 4000}}}
    (tmp_path / "lambda.json").write_text(json.dumps(state))
    forget_positions(tmp_path)

    kept = json.loads((tmp_path / "lambda.json").read_text())
    assert kept == {"payload": {"functions": {"f": 1}}}


def test_buckets_of_a_deployment_that_was_killed_are_no_longer_in_the_way(tmp_path: Path) -> None:
    state, objects = tmp_path / "state", tmp_path / "s3"
    state.mkdir()
    places = [objects / ACCOUNT / "kept", objects / ACCOUNT / "orphan"]
    places.append(objects / ".versions" / ACCOUNT / "orphan")
    for place in places:
        place.mkdir(parents=True)
        (place / "object").touch()
    buckets = {"__scoped__": True, "data": {f"{ACCOUNT}\0'kept'": {"region": "us-east-1"}}}
    (state / "s3.json").write_text(json.dumps({"payload": {"buckets_meta": buckets}}))

    forget_unknown_buckets(state, objects)
    assert [place.exists() for place in places] == [True, False, False]

    (state / "s3.json").unlink()
    forget_unknown_buckets(state, objects)
    assert not places[0].exists()
