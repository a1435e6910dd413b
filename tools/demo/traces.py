"""Where the usage comes from: a CSV trace, Claude Code transcripts, or a seeded generator."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.prices import Unpriceable
from headroom.pricing.domain.usage import Usage, parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.wire.usage_events import EVENT_ID, EVENT_ID_LENGTH_MAX

CSV_COLUMNS: Final = ("ContextTokens", "GeneratedTokens")
NO_MODEL: Final = "<synthetic>"  # Claude Code writes some messages itself; no model, no usage.

# What a usage object says by numbers alone.
COUNTED: Final = (
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("cache_creation", "server_tool_use"),
)

# Half of the generated requests continue a conversation, most of which the cache has.
CONTINUED_SHARE: Final = 0.5
CACHED_SHARE: Final = (0.5, 0.95)
CONTEXT_TOKENS: Final = (10_000, 0.9)  # Median, and the spread of its logarithm.
ANSWER_TOKENS: Final = (700, 0.9)
CONTEXT_TOKENS_MAX: Final = 100_000
ANSWER_TOKENS_MAX: Final = 8_000


class TraceUnreadable(Exception):
    """There is nothing at the path that could be replayed; the message says why."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request to a model. What the trace does not say of it is None.

    `raw_usage` is the Messages API usage object as it stands, `usage` what it means. `refused` says
    that the model declined to answer, `unpriced` that the model or something in the object has no
    price today: then `usage` is what it counts.
    """

    raw_usage: Mapping[str, Any]
    usage: Usage
    model: str | None = None
    event_id: str | None = None
    session: str | None = None
    refused: bool = False
    unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """The requests to replay, and what of the source is not among them.

    `invented` says that the usage is nobody's, so that the replay may also invent accidents.
    """

    title: str
    requests: tuple[Recorded, ...]
    available: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    invented: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether the source has more than is replayed."""
        return len(self.requests) < self.available


def open_trace(path: Path | None, *, requests_max: int | None, seed: int) -> Trace:
    """Return up to `requests_max` requests of a CSV file or a folder of transcripts.

    Without a path they are generated from the seed. None for the number means all there are,
    of which a generator has none.

    Raises:
        TraceUnreadable: there is nothing to replay.
    """
    if path is None:
        if requests_max is None:
            raise TraceUnreadable("generated usage has no end: give a number of requests")
        return generate(requests_max, seed=seed)
    if not path.exists():
        raise TraceUnreadable(f"{path} does not exist")
    if path.is_dir() or path.suffix == ".jsonl":
        trace = read_transcripts(path, requests_max=requests_max)
    else:
        trace = read_csv(path, requests_max=requests_max)
    if not trace.requests:
        raise TraceUnreadable(f"{path} holds no usage that could be replayed")
    return trace


def read_csv(path: Path, *, requests_max: int | None) -> Trace:
    """Read the first requests of a trace with the columns ContextTokens and GeneratedTokens.

    Raises:
        TraceUnreadable: a column is missing, or a count is no number.
    """
    requests: list[Recorded] = []
    available = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in CSV_COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise TraceUnreadable(f"{path} has no column {' and no column '.join(missing)}")
            for row in rows:
                available += 1
                if requests_max is None or available <= requests_max:
                    requests.append(_row(row, f"{path}, line {rows.line_num}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceUnreadable(f"{path} is no CSV file: {error}") from error
    return Trace(f"the trace {path.name}", tuple(requests), available)


def read_transcripts(source: Path, *, requests_max: int | None) -> Trace:
    """Read the latest messages of a Claude Code transcript, or of all those below a folder.

    A message is written again as it grows, and again where a session is resumed, perhaps as it was
    before it had grown: it counts once, with the usage of the line that has the most output, for
    the session that had it first.
    """
    found: dict[str, tuple[str, Recorded]] = {}
    skipped = {"written by no model": 0, "without readable usage": 0, "unreadable lines": 0}
    for path in sorted(source.rglob("*.jsonl")) if source.is_dir() else [source]:
        for line in _lines(path, skipped):
            message = line.get("message")
            if line.get("type") != "assistant" or not isinstance(message, dict):
                continue
            if message.get("model") == NO_MODEL:
                skipped["written by no model"] += 1
                continue
            try:
                recorded = _message(message, session=path.stem)
            except InvalidRequest:
                skipped["without readable usage"] += 1
                continue
            assert recorded.event_id is not None, "a message is known by its id"
            at, earlier = found.get(recorded.event_id, (str(line.get("timestamp", "")), recorded))
            latest = recorded if _is_as_long(recorded, earlier) else earlier
            found[recorded.event_id] = at, replace(latest, session=earlier.session)
    in_order = [recorded for _, recorded in sorted(found.values(), key=lambda each: each[0])]
    requests = in_order if requests_max is None else in_order[-requests_max:]
    return Trace(
        f"the Claude Code transcripts in {source.name}",
        tuple(requests),
        len(in_order),
        {reason: count for reason, count in skipped.items() if count},
    )


def said_of_refusal(recorded: Recorded) -> dict[str, str]:
    """Return what an event says of a refusal, which alone of the reasons to stop has a price."""
    return {"stop_reason": "refusal"} if recorded.refused else {}


def generate(count: int, *, seed: int) -> Trace:
    """Invent requests: the same ones for the same seed."""
    chance = random.Random(seed)
    return Trace(
        f"generated usage (seed {seed})",
        tuple(_invented(chance) for _ in range(count)),
        count,
        invented=True,
    )


def _row(row: Mapping[str, str | None], place: str) -> Recorded:
    try:
        context, generated = (int(row[name] or "") for name in CSV_COLUMNS)
        return _recorded({"input_tokens": context, "output_tokens": generated})
    except (ValueError, InvalidRequest) as error:
        raise TraceUnreadable(f"{place}: the token counts are not whole numbers") from error


def _lines(path: Path, skipped: dict[str, int]) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                skipped["unreadable lines"] += bool(text.strip())
                continue
            if isinstance(line, dict):
                yield line


def _message(message: Mapping[str, Any], *, session: str) -> Recorded:
    event_id, model = message.get("id"), message.get("model")
    if not isinstance(event_id, str) or not isinstance(model, str) or not model:
        raise InvalidRequest("message", "has no id or no model")
    if len(event_id) > EVENT_ID_LENGTH_MAX or not EVENT_ID.fullmatch(event_id):
        raise InvalidRequest("message.id", "is not an id")
    raw_usage: Any = message.get("usage")
    unpriced = False
    try:
        usage = parse_usage(raw_usage)
        price(usage, book=PRICE_BOOK, model=model, at=datetime.now(UTC))
    except Unpriceable:
        # It was used all the same: the ledger keeps it until there is a price.
        unpriced = True
        usage = parse_usage({name: raw_usage[name] for name in COUNTED if name in raw_usage})
    assert isinstance(raw_usage, dict), "what is no object has no usage"
    refused = message.get("stop_reason") == "refusal"
    return Recorded(raw_usage, usage, model, event_id, session, refused, unpriced)


def _is_as_long(recorded: Recorded, earlier: Recorded) -> bool:
    return recorded.usage.tokens.output >= earlier.usage.tokens.output


def _invented(chance: random.Random) -> Recorded:
    context = _spread(chance, *CONTEXT_TOKENS, most=CONTEXT_TOKENS_MAX)
    answer = _spread(chance, *ANSWER_TOKENS, most=ANSWER_TOKENS_MAX)
    raw_usage: dict[str, Any] = {"input_tokens": context, "output_tokens": answer}
    if chance.random() < CONTINUED_SHARE:
        cached = int(context * chance.uniform(*CACHED_SHARE))
        written = (context - cached) // 2
        raw_usage = {
            "input_tokens": context - cached - written,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens": answer,
        }
    return _recorded(raw_usage)


def _spread(chance: random.Random, median: int, sigma: float, *, most: int) -> int:
    return min(most, int(chance.lognormvariate(math.log(median), sigma)) + 1)


def _recorded(raw_usage: Mapping[str, Any]) -> Recorded:
    return Recorded(raw_usage, parse_usage(raw_usage))
