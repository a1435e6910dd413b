"""ministack with a memory: what it acknowledged to a table is still there after `kill -9`.

Run by the stack's own Python: python -P durable.py. By itself ministack keeps everything in its
process and writes it to files when it is asked to end. This serves the same application, unchanged,
and puts three things around it:

* A journal. No write to a table is acknowledged before the table's stream, which has each of its
  changes in order, was appended to a file. The next start makes the changes since the last snapshot
  again, before anybody is answered, and those who follow the stream hear of each of them again.
* Snapshots. `POST /_local_stack/snapshot` writes the state while it runs, as an orderly end does.
* A bound. Requests to the application wait for their turn: each that runs has a process of its own,
  and two cores are busy with starting processes, and nothing else, when many come at once.

The journal is not forced to the disk: it survives this process, and not a loss of power.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from ast import literal_eval
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, Final

ACCOUNT: Final = "000000000000"
SNAPSHOT_PATH: Final = "/_local_stack/snapshot"
APPLICATION_PATH: Final = "/_aws/execute-api/"
DYNAMODB: Final = b"DynamoDB_20120810."
# How folders begin that nobody needs any more.
LEFT_BEHIND: Final = "left-behind-"
# What one BatchWriteItem takes.
BATCH: Final = 25
# While another thread writes what a snapshot reads, Python refuses to read on.
SNAPSHOT_ATTEMPTS: Final = 20

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Change = dict[str, Any]


class SnapshotFailed(Exception):
    """A part of the state could not be written."""


class Journal:
    """Changes of tables in a file, one a line: what became of an item, whole, or that it is gone.

    To make them again in their order leads to the same items, however often, and from whichever of
    the states that they led through.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def append(self, changes: list[Change]) -> None:
        """Write changes; when this returns they survive the process."""
        if changes:
            text = "".join(json.dumps(change) + "\n" for change in changes).encode()
            with self._place.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                written = file.write(text)
                if written != len(text):
                    file.truncate(before)
                    raise OSError(f"{self._place} took {written} of {len(text)} bytes")

    def read(self) -> Iterator[Change]:
        """Return the changes, the oldest first.

        A line that was not written to its end was not acknowledged either, and is cut off.
        """
        if not self._place.exists():
            return
        with self._place.open("r+b") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(whole)
                    break
                whole += len(line)
                yield json.loads(line)

    def clear(self) -> None:
        """Forget the changes, because a snapshot has them."""
        self._place.unlink(missing_ok=True)


def change_of(table: str, record: Change) -> Change:
    """Return what a record of a table's stream says, without what was before."""
    told = record["dynamodb"]
    return {"table": table, "key": told["Keys"], "item": told.get("NewImage")}


def batches(changes: Iterable[Change]) -> Iterator[tuple[str, list[Change]]]:
    """Cut changes into requests of BatchWriteItem, in order: none has an item of a table twice."""
    table, batch, keys = "", list[Change](), set[str]()
    for change in changes:
        key = json.dumps(change["key"], sort_keys=True)
        if batch and (change["table"] != table or key in keys or len(batch) == BATCH):
            yield table, batch
            batch, keys = [], set()
        table = change["table"]
        keys.add(key)
        batch.append(
            {"DeleteRequest": {"Key": change["key"]}}
            if change["item"] is None
            else {"PutRequest": {"Item": change["item"]}}
        )
    if batch:
        yield table, batch


def tables_of(request: bytes) -> set[str]:
    """Return the tables that a request names."""
    told = json.loads(request or b"{}")
    parts = [part for each in told.get("TransactItems", ()) for part in each.values()]
    return {
        *told.get("RequestItems", ()),
        *(part["TableName"] for part in [told, *parts] if "TableName" in part),
    }


def forget_positions(state: Path) -> None:
    """Let those who follow a stream begin at its start again.

    ministack 1.5.33 keeps how far they had read and not what they read, so that after a start
    nothing would reach them until the new stream is longer than the old one was.
    """
    place = state / "lambda.json"
    if place.exists():
        told = json.loads(place.read_text())
        told["payload"].pop("dynamodb_stream_positions", None)
        _replace(place, json.dumps(told))


def forget_unknown_buckets(state: Path, objects: Path) -> None:
    """Remove the folders of buckets that no snapshot knows.

    They are left by a process that was killed while it deployed, and would be in the way of the
    next deployment, which makes them.
    """
    place = state / "s3.json"
    known = set()
    if place.exists():
        buckets = json.loads(place.read_text())["payload"]["buckets_meta"]["data"]
        known = {literal_eval(name.partition("\0")[2]) for name in buckets}
    for place in (objects / ACCOUNT, objects / ".versions" / ACCOUNT):
        for folder in place.iterdir() if place.exists() else ():
            if folder.name not in known:
                shutil.rmtree(folder)


class Durable:
    """ministack's ASGI application, with a journal of its tables and a bound."""

    def __init__(self, state: Path, *, region: str, requests_at_once: int) -> None:
        # By name: they are in the stack's environment, and not where this is checked.
        self._ministack: Any = import_module("ministack.app")
        self._dynamodb: Any = import_module("ministack.services.dynamodb")
        self._persistence: Any = import_module("ministack.core.persistence")
        self._state = state
        self._region = region
        self._journal = Journal(state.parent / "journal.jsonl")
        # How much of each table's stream is in the journal or a snapshot.
        self._kept: dict[str, int] = {}
        self._turns = asyncio.Semaphore(requests_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ministack does."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http" or scope["method"] != "POST":
            await self._take_turn(scope, receive, send)
        elif scope["path"] == SNAPSHOT_PATH:
            await self._answer_snapshot(send)
        elif dict(scope["headers"]).get(b"x-amz-target", b"").startswith(DYNAMODB):
            await self._ask_table(scope, receive, send)
        else:
            await self._take_turn(scope, receive, send)

    async def _take_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").startswith(APPLICATION_PATH):
            await self._ministack.app(scope, receive, send)
            return
        async with self._turns:
            await self._ministack.app(scope, receive, send)

    async def _ask_table(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back when the journal has all that was changed by then.

        A read waits as well: what it saw of another's write may not be forgotten either.
        """
        request = bytearray()

        async def read() -> Message:
            message = await receive()
            request.extend(message.get("body", b""))
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
                self._keep(tables_of(bytes(request)) | self._kept.keys())
            await send(message)

        await self._ministack.app(scope, read, answer)

    def _keep(self, tables: set[str]) -> None:
        for table in sorted(tables):
            position = self._kept.get(table, 0)
            end = self._end_of(table)
            # A table that was made anew has a stream of its own.
            position = 0 if end < position else position
            if end > position:
                records = self._dynamodb.stream_records_since(
                    table, position, end - position, account_id=ACCOUNT, region=self._region
                )
                self._journal.append([change_of(table, record) for record in records])
                self._kept[table] = end

    def _end_of(self, table: str) -> int:
        end: int = self._dynamodb.stream_end_position(
            table, account_id=ACCOUNT, region=self._region
        )
        return end

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin with what the journal has; in the end the state that was written has it all."""
        began = 0

        async def read() -> Message:
            nonlocal began
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                began = time.time_ns()
            return message

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._make_again()
            elif message["type"] == "lifespan.shutdown.complete" and self._was_written(began):
                self._journal.clear()
            await send(message)

        await self._ministack.app(scope, read, tell)

    async def _make_again(self) -> None:
        """Make the changes of the journal again."""
        for table, batch in batches(self._journal.read()):
            waiting = {table: batch}
            status, _, said = await self._dynamodb.handle_request(
                "POST",
                "/",
                {"x-amz-target": "DynamoDB_20120810.BatchWriteItem"},
                json.dumps({"RequestItems": waiting}).encode(),
                {},
            )
            told = json.loads(said)
            # A table that no snapshot knows was made by a deployment that never ended.
            if "ResourceNotFoundException" in told.get("__type", ""):
                continue
            if status != HTTPStatus.OK or told.get("UnprocessedItems"):
                raise OSError(f"the journal cannot be made again: {told}")
            self._kept[table] = self._end_of(table)

    async def _answer_snapshot(self, send: Send) -> None:
        status, text = HTTPStatus.OK, "written"
        try:
            await self._snapshot()
        except SnapshotFailed as failed:
            status, text = HTTPStatus.INTERNAL_SERVER_ERROR, str(failed)
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    async def _snapshot(self) -> None:
        # Tables are written by requests alone, and none is answered until this is done: what they
        # hold is one moment's. Other parts have threads of their own, and are read again.
        began = time.time_ns()
        ends = {table: self._end_of(table) for table in self._kept}
        for name, read in self._ministack._build_persistence_save_dict().items():
            told = _read_steadily(name, read)
            if told is not None:
                self._persistence.save_state(name, told)
        if not self._was_written(began):
            raise SnapshotFailed("see ministack's log")
        self._journal.clear()
        self._kept = ends

    def _was_written(self, since: int) -> bool:
        """Whether the tables were written, which ministack does not say."""
        place = self._state / "dynamodb.json"
        return place.exists() and place.stat().st_mtime_ns >= since


def _read_steadily(name: str, read: Callable[[], Any]) -> Any:
    for attempt in range(SNAPSHOT_ATTEMPTS):
        try:
            return read()
        except RuntimeError as changed:
            if attempt + 1 == SNAPSHOT_ATTEMPTS:
                raise SnapshotFailed(f"{name}: {changed}") from changed
    raise AssertionError


def _replace(place: Path, text: str) -> None:
    written = place.with_suffix(".new")
    written.write_text(text)
    written.replace(place)


def main() -> None:
    """Serve as `ministack` does, by the same variables of the environment."""
    config: Any = import_module("hypercorn.config").Config()
    serve: Any = import_module("hypercorn.asyncio").serve

    state, objects = Path(os.environ["STATE_DIR"]), Path(os.environ["S3_DATA_DIR"])
    for folder in state.parent.glob(f"{LEFT_BEHIND}*"):
        Thread(target=shutil.rmtree, args=(folder, True), daemon=True).start()
    if os.environ["PERSIST_STATE"] == "1":
        forget_positions(state)
        forget_unknown_buckets(state, objects)
    application = Durable(
        state,
        region=os.environ["MINISTACK_REGION"],
        requests_at_once=int(os.environ["REQUESTS_AT_ONCE"]),
    )
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    asyncio.run(serve(application, config))


if __name__ == "__main__":
    main()
