"""The local AWS after `kill -9`: what its tables acknowledged is there, whatever the moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tools import processes
from tools.local_stack.emulator import Emulator

TABLE = "things"
CLIENTS = 4
PATIENCE_SECONDS = 30.0


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path)
    emulator.start(port=processes.free_port())
    yield emulator
    emulator.stop()


def client_of(emulator: Emulator, service: str = "dynamodb") -> Any:
    patient = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    return emulator.session.client(service, endpoint_url=emulator.endpoint_url, config=patient)  # type: ignore[call-overload]


def make_table(emulator: Emulator) -> None:
    client_of(emulator).create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def kill(emulator: Emulator) -> None:
    process = processes.recall(emulator.home / "process.json")
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(processes.POLL_SECONDS)


def key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def items_of(emulator: Emulator) -> dict[tuple[str, str], dict[str, Any]]:
    pages = client_of(emulator).get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    return {(i["pk"]["S"], i["sk"]["S"]): i for page in pages for i in page["Items"]}


class Writer(threading.Thread):
    """Writes in every form into a partition of its own; knows what was acknowledged."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        super().__init__()
        self.pk = name
        self._client = client_of(emulator)
        self._chance = random.Random(name)
        self.known: dict[str, int | None] = {}
        self.count = 0
        self.unknown: set[str] = set()

    def run(self) -> None:
        try:
            while True:
                self._write()
                self.count += 1
        except (BotoCoreError, ClientError):
            return

    def _write(self) -> None:
        sks = self._chance.sample([f"S{n}" for n in range(12)], 3)
        value = self.count
        form = self._chance.choice(["put", "update", "delete", "batch", "transact"])
        puts = [{**key(self.pk, sk), "value": {"N": str(value)}} for sk in sks]
        touched = sks if form in ("batch", "transact") else sks[:1]
        self.unknown = set(touched)
        match form:
            case "put":
                self._client.put_item(TableName=TABLE, Item=puts[0])
            case "update":
                self._client.update_item(
                    TableName=TABLE,
                    Key=key(self.pk, sks[0]),
                    UpdateExpression="SET #v = :v",
                    ExpressionAttributeNames={"#v": "value"},
                    ExpressionAttributeValues={":v": {"N": str(value)}},
                )
            case "delete":
                self._client.delete_item(TableName=TABLE, Key=key(self.pk, sks[0]))
            case "batch":
                requests = [{"PutRequest": {"Item": item}} for item in puts]
                self._client.batch_write_item(RequestItems={TABLE: requests})
            case "transact":
                writes = [{"Put": {"TableName": TABLE, "Item": item}} for item in puts[:2]]
                writes.append({"Delete": {"TableName": TABLE, "Key": key(self.pk, sks[2])}})
                self._client.transact_write_items(TransactItems=writes)
        for sk in touched:
            gone = form == "delete" or (form == "transact" and sk == sks[2])
            self.known[sk] = None if gone else value
        self.unknown = set()

    def check(self, items: dict[tuple[str, str], dict[str, Any]]) -> None:
        for sk, value in self.known.items():
            found = items.get((self.pk, sk))
            if sk not in self.unknown:
                assert (None if found is None else int(found["value"]["N"])) == value, (self.pk, sk)


def test_what_was_acknowledged_is_there_however_often_it_is_killed(emulator: Emulator) -> None:
    """Also in the middle of a snapshot, which a deployment takes under load."""
    make_table(emulator)
    emulator.snapshot()
    written = 0
    for life in range(4):
        writers = [Writer(emulator, f"W{life}-{number}") for number in range(CLIENTS)]
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while min(writer.count for writer in writers) < 15:
            assert time.monotonic() < deadline
            time.sleep(processes.POLL_SECONDS)
        if life == 2:
            emulator.snapshot()
        kill(emulator)
        for writer in writers:
            writer.join()
        written += sum(writer.count for writer in writers)
        emulator.start()
        items = items_of(emulator)
        for writer in writers:
            writer.check(items)
    assert written > 4 * CLIENTS * 15


def test_those_who_follow_the_table_are_told_again(emulator: Emulator) -> None:
    make_table(emulator)
    emulator.snapshot()
    client = client_of(emulator)
    for number in range(3):
        item = {**key("P", "S"), "value": {"N": str(number)}}
        client.put_item(TableName=TABLE, Item=item)
    client.delete_item(TableName=TABLE, Key=key("P", "S"))
    kill(emulator)
    emulator.start()

    records = records_of(emulator)
    assert [
        (each["eventName"], each["dynamodb"].get("NewImage", {}).get("value")) for each in records
    ] == [
        ("INSERT", {"N": "0"}),
        ("MODIFY", {"N": "1"}),
        ("MODIFY", {"N": "2"}),
        ("REMOVE", None),
    ]


def test_a_first_deployment_that_was_killed_is_not_in_the_way_of_the_next(
    emulator: Emulator,
) -> None:
    """Buckets are folders, and outlive the process that made them; nothing else does."""
    make_table(emulator)
    # Elsewhere than in us-east-1 a bucket that is there already is an error.
    region = "eu-west-1"
    bucket: Any = {
        "Bucket": "documents",
        "CreateBucketConfiguration": {"LocationConstraint": region},
    }
    s3 = emulator.session.client("s3", endpoint_url=emulator.endpoint_url, region_name=region)
    s3.create_bucket(**bucket)
    s3.put_object(Bucket="documents", Key="a", Body=b"a")
    client_of(emulator).put_item(TableName=TABLE, Item=key("P", "S"))
    kill(emulator)
    emulator.start()

    s3.create_bucket(**bucket)
    make_table(emulator)
    assert items_of(emulator) == {}


def records_of(emulator: Emulator) -> list[dict[str, Any]]:
    """What a stream has from its start."""
    streams = client_of(emulator, "dynamodbstreams")
    described = client_of(emulator).describe_table(TableName=TABLE)["Table"]
    arn = described["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    start = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[dict[str, Any]] = streams.get_records(ShardIterator=start)["Records"]
    return records


def test_an_orderly_end_leaves_no_journal(emulator: Emulator) -> None:
    make_table(emulator)
    client_of(emulator).put_item(TableName=TABLE, Item=key("P", "S"))
    assert (emulator.home / "journal.jsonl").exists()
    emulator.stop()

    assert not (emulator.home / "journal.jsonl").exists()
    emulator.start()
    assert items_of(emulator) == {("P", "S"): key("P", "S")}
