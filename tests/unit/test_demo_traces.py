from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headroom.pricing.domain.bounds import bound_request
from headroom.pricing.domain.usage import price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.wire.authorizations import parse_authorization_request
from tools.demo.dealing import Person, deal
from tools.demo.questions import question
from tools.demo.traces import (
    Recorded,
    Trace,
    TraceUnreadable,
    generate,
    open_trace,
    said_of_refusal,
)

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
PEOPLE = [
    Person(org_id, f"user_{org_id}_{number}", "key") for org_id in ("a", "b") for number in range(4)
]


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def line(message_id: str, output: int, at: int = 0, **message: Any) -> str:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 500, "output_tokens": output}
    return json.dumps(
        {
            "type": "assistant",
            "timestamp": f"2026-11-24T10:00:{at:02d}Z",
            "message": {"id": message_id, "model": "claude-opus-4-5", "usage": usage, **message},
        }
    )


def read(path: Path, requests_max: int | None = None) -> Trace:
    return open_trace(path, requests_max=requests_max, seed=1)


def test_a_csv_trace_is_read_from_its_beginning_and_says_what_was_cut(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER + "2023-11-16 18:17:03.9799600,4808,10\nx,3180,8\nx,110,27\n")

    trace = read(path, 2)

    assert [(each.usage.tokens.input, each.usage.tokens.output) for each in trace.requests] == [
        (4808, 10),
        (3180, 8),
    ]
    assert trace.available == 3
    assert trace.is_cut
    assert not read(path).is_cut


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("TIMESTAMP,ContextTokens\nx,1\n", "no column GeneratedTokens"),
        (HEADER + "x,many,1\n", "line 2"),
        (HEADER + "x,1\n", "line 2"),
        (HEADER + "x,-1,1\n", "line 2"),
        (HEADER, "no usage"),
        ("", "no column"),
    ],
)
def test_a_csv_trace_that_cannot_be_read_says_why(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(TraceUnreadable, match=problem):
        read(csv_file(tmp_path, text))


def test_what_is_no_trace_at_all_says_so(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00\x89")
    with pytest.raises(TraceUnreadable, match="no CSV file"):
        read(tmp_path / "picture")
    with pytest.raises(TraceUnreadable, match="does not exist"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceUnreadable, match="no usage"):
        read(tmp_path / "empty")
    with pytest.raises(TraceUnreadable, match="no end"):
        open_trace(None, requests_max=None, seed=1)


def test_a_message_on_several_lines_counts_once_with_its_last_usage(tmp_path: Path) -> None:
    (tmp_path / "project" / "deeper").mkdir(parents=True)
    session = tmp_path / "project" / "s1.jsonl"
    session.write_text("\n".join([line("msg_1", 3), line("msg_1", 90), line("msg_2", 7, at=5)]))
    # A resumed session repeats what the first one had.
    resumed = tmp_path / "project" / "deeper" / "s0.jsonl"
    resumed.write_text("\n".join([line("msg_1", 90), line("msg_3", 4, at=9)]))

    trace = read(tmp_path)

    found = [(each.event_id, each.usage.tokens.output, each.session) for each in trace.requests]
    assert found == [("msg_1", 90, "s0"), ("msg_2", 7, "s1"), ("msg_3", 4, "s0")]
    assert trace.requests[0].model == "claude-opus-4-5"
    assert trace.requests[0].raw_usage["cache_read_input_tokens"] == 500


def test_a_message_that_a_resumed_session_has_before_it_grew_counts_as_it_became(
    tmp_path: Path,
) -> None:
    grown = [line("msg_1", output) for output in (9, 9, 159)]
    (tmp_path / "s1.jsonl").write_text("\n".join(grown))
    (tmp_path / "s2.jsonl").write_text(line("msg_1", 9, at=1))

    (found,) = read(tmp_path).requests

    assert (found.usage.tokens.output, found.session) == (159, "s1")
    assert found.raw_usage["output_tokens"] == 159


def test_of_lines_with_as_much_output_the_last_counts(tmp_path: Path) -> None:
    usage = {"input_tokens": 12, "output_tokens": 9, "speed": "fast"}
    (tmp_path / "s.jsonl").write_text("\n".join([line("msg_1", 9), line("msg_1", 9, usage=usage)]))

    (found,) = read(tmp_path).requests

    assert found.raw_usage == usage


USAGES: list[dict[str, Any]] = [
    {},
    {"speed": "fast", "inference_geo": "us"},
    {"service_tier": "batch", "server_tool_use": {"web_search_requests": 2}},
    {"cache_creation": {"ephemeral_5m_input_tokens": 70, "ephemeral_1h_input_tokens": 30}},
    {
        "iterations": [
            {"type": "compaction", "input_tokens": 150_000, "output_tokens": 2_000},
            {"type": "compaction", "input_tokens": 160_000, "output_tokens": 3_000},
            {"type": "message", "input_tokens": 1_000, "output_tokens": 100},
        ]
    },
    {
        "iterations": [
            {"type": "message", "input_tokens": 1_000, "output_tokens": 100},
            *[
                {
                    "type": "advisor_message",
                    "model": "claude-fable-5-1",
                    "input_tokens": size,
                    "output_tokens": 1_500,
                }
                for size in (20_000, 21_000)
            ],
        ]
    },
    {
        "iterations": [
            {
                "type": "message",
                "model": "claude-fable-5",
                "input_tokens": 900,
                "output_tokens": 50,
            },
            {
                "type": "fallback_message",
                "model": "claude-opus-5-5",
                "input_tokens": 1_000,
                "output_tokens": 100,
            },
        ]
    },
]


@pytest.mark.parametrize("more", USAGES)
def test_what_a_transcript_says_is_asked_for_and_passed_on(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 100, **more}
    text = line("msg_1", 0, model="claude-opus-5-5", usage=usage)
    (tmp_path / "s.jsonl").write_text(text)
    (task,) = deal(read(tmp_path), PEOPLE, seed=1, run="x")

    asked = parse_authorization_request(question(task, ttl_seconds=60)).request
    now = datetime(2026, 11, 24, tzinfo=UTC)
    cost = price(task.recorded.usage, book=PRICE_BOOK, model=task.model, at=now).amount_nanos
    bound = bound_request(PRICE_BOOK, asked, at=now)

    assert task.recorded.raw_usage == usage
    assert cost <= bound.amount(asked.max_tokens)


def test_the_question_has_the_members_of_the_usage(tmp_path: Path) -> None:
    def asked(usage: dict[str, Any]) -> dict[str, Any]:
        whole = {"input_tokens": 1_000, "output_tokens": 100, **usage}
        (tmp_path / "s.jsonl").write_text(line("msg_1", 0, model="claude-opus-5-5", usage=whole))
        (task,) = deal(read(tmp_path), PEOPLE, seed=1, run="x")
        return question(task, ttl_seconds=60)

    plain, fast, batch, cached, compacted, advised, fell_back = map(asked, USAGES)

    assert plain.keys() == {
        *("user_id", "model", "input_tokens", "max_tokens", "ttl_seconds", "cache_lifetimes")
    }
    assert plain["cache_lifetimes"] == []
    assert (fast["speed"], fast["inference_geo"]) == ("fast", "us")
    assert (batch["service_tier"], batch["web_search_requests"]) == ("batch", 2)
    assert cached["cache_lifetimes"] == ["5m", "1h"]
    assert compacted["compaction"] == {"trigger": 0}
    assert (compacted["input_tokens"], compacted["max_tokens"]) == (310_000, 8192)
    assert advised["advisor"] == {"model": "claude-fable-5-1", "max_uses": 2, "max_tokens": 1_500}
    assert fell_back["fallbacks"] == [{"model": "claude-fable-5"}]


@pytest.mark.parametrize(("reason", "refused"), [("refusal", True), ("end_turn", False)])
def test_a_refusal_is_passed_on(tmp_path: Path, reason: str, refused: bool) -> None:
    (tmp_path / "s.jsonl").write_text(line("msg_1", 1, stop_reason=reason))

    (found,) = read(tmp_path).requests

    assert found.refused == refused
    assert said_of_refusal(found) == ({"stop_reason": "refusal"} if refused else {})


def test_lines_that_are_no_usage_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(
        "\n".join(
            [
                json.dumps({"type": "user", "message": {"content": "hello"}}),
                json.dumps({"type": "summary"}),
                '"a string"',
                '{"cut off',
                "",
                line("msg_1", 0, model="<synthetic>"),
                line("msg_2", 0, usage=None),
                line("msg_3", 0, usage={"input_tokens": -1, "output_tokens": 1}),
                line("", 1),
                line("msg_4", 1),
            ]
        )
    )

    trace = read(tmp_path)

    assert [each.event_id for each in trace.requests] == ["msg_4"]
    assert trace.skipped == {
        "written by no model": 1,
        "without readable usage": 3,
        "unreadable lines": 1,
    }


@pytest.mark.parametrize(
    "said",
    [
        {"service_tier": "flex"},
        {"speed": "warp"},
        {"inference_geo": "eu"},
        {"iterations": [{"type": "afterthought", "input_tokens": 5, "output_tokens": 1}]},
        {"speed": "fast"},
        {"model": "claude-9"},
    ],
)
def test_a_message_without_a_price_is_replayed_too(tmp_path: Path, said: dict[str, Any]) -> None:
    """It was used: the ledger keeps it until somebody knows what it costs."""
    usage = {"input_tokens": 10, "output_tokens": 3, **said}
    model = usage.pop("model", "claude-opus-4-5")
    lines = [line("msg_1", 0, usage=usage, model=model), line("msg_2", 1)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))

    trace = read(tmp_path)

    assert trace.skipped == {}
    assert [(each.event_id, each.unpriced) for each in trace.requests] == [
        ("msg_1", True),
        ("msg_2", False),
    ]
    assert trace.requests[0].raw_usage == usage
    assert trace.requests[0].usage.tokens.output == 3
    # Nobody can hold money for it.
    assert [each.fate for each in deal(trace, PEOPLE, seed=1, run="x")] == [
        "unannounced",
        "settled",
    ]


def test_of_too_many_messages_the_latest_are_replayed(tmp_path: Path) -> None:
    lines = [line(f"msg_{number}", 1, at=number) for number in (3, 1, 2)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))

    trace = read(tmp_path / "s.jsonl", 2)

    assert [each.event_id for each in trace.requests] == ["msg_2", "msg_3"]
    assert trace.available == 3


def test_generated_usage_depends_on_the_seed_alone() -> None:
    assert generate(20, seed=4) == generate(20, seed=4)
    assert generate(20, seed=4).requests != generate(20, seed=5).requests


def test_the_same_seed_deals_alike_and_names_its_events_by_the_run() -> None:
    trace = generate(200, seed=1)

    first, second = (deal(trace, PEOPLE, seed=1, run=run) for run in ("x", "y"))

    assert [(each.person, each.model, each.fate, each.deliveries) for each in first] == [
        (each.person, each.model, each.fate, each.deliveries) for each in second
    ]
    assert {each.event_id for each in first}.isdisjoint(each.event_id for each in second)
    assert {each.person for each in first} == set(PEOPLE)
    assert {each.deliveries for each in first} == {1, 2}
    assert {each.fate for each in first} == {
        "settled",
        "cancelled",
        "unannounced",
        "underestimated",
    }


def test_every_request_of_a_session_is_one_persons() -> None:
    one = generate(1, seed=1).requests[0]
    recorded = [
        Recorded(one.raw_usage, one.usage, "claude-opus-4-5", f"msg_{number}", f"s{number % 2}")
        for number in range(20)
    ]

    tasks = deal(Trace("transcripts", tuple(recorded), 20), PEOPLE, seed=1, run="x")

    for session in range(2):
        assert len({each.person for each in tasks if each.number % 2 == session}) == 1
    assert [each.event_id for each in tasks] == [f"msg_{number}" for number in range(20)]
    # Nothing goes wrong in a replay of what really happened.
    assert {each.fate for each in tasks} == {"settled"}


def test_a_client_asks_for_as_much_output_as_it_will_get_unless_it_underestimates() -> None:
    for task in deal(generate(500, seed=2), PEOPLE, seed=2, run="x"):
        enough = task.max_tokens >= task.recorded.usage.tokens.output
        assert enough == (task.fate != "underestimated") or task.recorded.usage.tokens.output == 1
