"""A real LiteLLM proxy with the plugin, in an environment of its own, from request to ledger."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from clients.python.tests.fake_messages import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    FakeMessages,
    Script,
    fake_messages,
)
from clients.python.tests.headroom_server import (
    USER,
    Fault,
    HeadroomServer,
    headroom_server,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "clients/python/README.md").read_text()
WHOLE = INPUT_TOKENS * 3_000 + OUTPUT_TOKENS * 15_000
DEAR, WHOLE_DEAR = "claude-opus-4-5", INPUT_TOKENS * 5_000 + OUTPUT_TOKENS * 25_000
CHEAP, WHOLE_CHEAP = "claude-haiku-4-5", INPUT_TOKENS * 1_000 + OUTPUT_TOKENS * 5_000
FAST = "claude-opus-5-5"
# Twice for the speed, and a tenth more for the geography.
WHOLE_FAST = (INPUT_TOKENS * 4_000 + OUTPUT_TOKENS * 20_000) * 22 // 10
START_SECONDS = 120
SETTLE_SECONDS = 15
MODELS = """
model_list:
  - model_name: claude
    litellm_params: {{model: anthropic/{model}, api_base: "{api}", api_key: k}}
  - model_name: two
    litellm_params: {{model: anthropic/{model}, api_base: "{api}", api_key: k}}
  - model_name: two
    litellm_params: {{model: anthropic/claude-opus-5, api_base: "{api}", api_key: k}}
  - model_name: odd
    litellm_params: {{model: openai/odd, api_base: "{api}", api_key: k}}
  - model_name: dear
    litellm_params: {{model: anthropic/{dear}, api_base: "{api}", api_key: k}}
  - model_name: cheap
    litellm_params: {{model: anthropic/{cheap}, api_base: "{api}", api_key: k}}
  - model_name: fast
    litellm_params: {{model: anthropic/{fast}, api_base: "{api}", api_key: k}}
  - model_name: speedy
    litellm_params:
      {{model: anthropic/{fast}, api_base: "{api}", api_key: k, speed: fast, inference_geo: us}}
  - model_name: hidden
    litellm_params:
      model: anthropic/{fast}
      api_base: "{api}"
      api_key: k
      extra_body: {{speed: fast, inference_geo: us, max_tokens: 4000}}
  - model_name: slow then fast
    litellm_params: {{model: anthropic/{fast}, api_base: "{api}", api_key: k}}
  - model_name: searching
    litellm_params:
      model: anthropic/{model}
      api_base: "{api}"
      api_key: k
      tools: [{{type: web_search_20260318, name: web_search}}]
  - model_name: upward
    litellm_params: {{model: anthropic/{model}, api_base: "{api}", api_key: k}}
  - model_name: downward
    litellm_params: {{model: anthropic/{model}, api_base: "{api}", api_key: k}}
  - model_name: stubborn
    litellm_params: {{model: anthropic/{model}, api_base: "{api}", api_key: k}}
  - model_name: retried
    litellm_params: {{model: anthropic/{dear}, api_base: "{api}", api_key: k, num_retries: 1}}
general_settings: {{custom_auth: keys.check}}
router_settings:
  num_retries: 0
  fallbacks:
    - upward: [dear]
    - downward: [dear, cheap]
    - stubborn: [retried]
    - slow then fast: [speedy]
"""
# In place of the proxy's database: each key is its user's.
KEYS = """
from litellm.proxy._types import UserAPIKeyAuth

async def check(request, api_key):
    return UserAPIKeyAuth(api_key=api_key, user_id=api_key.removeprefix("sk-") or None)
"""
MESSAGES = [{"role": "user", "content": "What do you count?"}]


@dataclass(frozen=True)
class Proxy:
    headroom: HeadroomServer
    api: FakeMessages
    base_url: str

    def post(
        self, path: str, *, key: str = f"sk-{USER}", call_id: str | None = None, **body: Any
    ) -> httpx2.Response:
        whole = {"model": "claude", "messages": MESSAGES, "max_tokens": 50, **body}
        given = {name: value for name, value in whole.items() if value is not None}
        headers = {"authorization": f"Bearer {key}"}
        if call_id is not None:
            headers["x-litellm-call-id"] = call_id
        return httpx2.post(f"{self.base_url}{path}", json=given, headers=headers, timeout=30)

    def charged(self) -> int:
        return sum(line.charged for line in self.headroom.lines())

    def settled(self, expected: int) -> None:
        """Wait for the money: LiteLLM reports in the background, and so does the outbox."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (self.charged(), self.headroom.holds()) != (expected, 0):
            assert time.monotonic() < deadline, (self.charged(), expected, self.headroom.holds())
            time.sleep(0.1)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that was configured as the README says, but for where its models are."""
    subprocess.run(
        ["make", "--silent", ".venv-litellm/.stamp"],  # noqa: S607
        cwd=ROOT,
        check=True,
    )
    folder = tmp_path_factory.mktemp("litellm")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    with headroom_server() as headroom, fake_messages() as api:
        (folder / "config.yaml").write_text(
            shown + MODELS.format(model=MODEL, dear=DEAR, cheap=CHEAP, fast=FAST, api=api.base_url)
        )
        (folder / "keys.py").write_text(KEYS)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT / "clients/python/src"),
            "HEADROOM_BASE_URL": headroom.base_url,
            "HEADROOM_API_KEY": headroom.key,
            "HEADROOM_OUTBOX": str(folder / "outbox.db"),
            "HEADROOM_LITELLM_MIN_TOKENS": "10",
            "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        }
        with (folder / "proxy.log").open("wb") as log:
            running = subprocess.Popen(
                [
                    *(str(ROOT / ".venv-litellm/bin/litellm"), "--config", "config.yaml"),
                    *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
                ],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            base_url = f"http://127.0.0.1:{port}"
            _wait_for(base_url, running, folder / "proxy.log")
            yield Proxy(headroom, api, base_url)
        finally:
            running.terminate()
            running.wait(30)


def _wait_for(base_url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert running.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            if httpx2.get(f"{base_url}/health/liveliness", timeout=2).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_paid_for(proxy: Proxy, path: str, stream: bool) -> None:
    before, answered = proxy.charged(), len(proxy.api.messages())

    answer = proxy.post(path, stream=stream)

    assert answer.status_code == 200, answer.text
    assert "Money" in answer.text
    proxy.settled(before + WHOLE)
    assert len(proxy.api.messages()) == answered + 1
    assert proxy.headroom.lines()[-1].product == "litellm"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_was_cached_is_paid_for_as_that(proxy: Proxy, path: str) -> None:
    """LiteLLM counts it among the prompt; the ledger must not count it twice."""
    before = proxy.charged()
    usage = {
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    }
    proxy.api.expect(Script(usage=usage))
    long = [{"role": "user", "content": "x" * 2000}]

    assert proxy.post(path, messages=long).status_code == 200

    proxy.settled(before + WHOLE + 1000 * 300 + 60 * 3_750 + 40 * 6_000)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_the_provider_said_is_reported_as_it_came(proxy: Proxy, path: str) -> None:
    """LiteLLM's own form has no place for some of it, and adds up the rest."""
    before, lines = proxy.charged(), len(proxy.headroom.lines())
    said: dict[str, Any] = {
        "fallback_credit": {"status": {"type": "redeemed"}},
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 3},
        "output_tokens_details": {"thinking_tokens": 7},
        "iterations": [],
    }
    proxy.api.expect(Script(usage=said))

    assert proxy.post(path).status_code == 200

    proxy.settled(before + WHOLE)
    wait_until(lambda: len(proxy.headroom.lines()) > lines)
    line = proxy.headroom.lines()[-1]
    assert line.usage.items() >= said.items()
    assert line.notes == ["fallback_credit_redeemed"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_makes_a_request_dearer_is_held_and_paid_for(proxy: Proxy, stream: bool) -> None:
    before = proxy.charged()
    said = {"speed": "fast", "inference_geo": "us"}
    proxy.api.expect(Script(usage=said))

    answer = proxy.post("/v1/messages", model="fast", stream=stream, **said)

    assert answer.status_code == 200, answer.text
    assert proxy.api.messages()[-1].body.items() >= said.items()
    asked = json.loads(proxy.headroom.calls("POST", "/v1/authorizations")[-1][3])
    assert asked.items() >= {**said, "model": f"anthropic/{FAST}"}.items()
    proxy.settled(before + WHOLE_FAST)
    assert proxy.headroom.lines()[-1].usage["speed"] == "fast"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("model", ["speedy", "hidden", "slow then fast"])
def test_what_a_deployment_makes_dearer_is_held_for_before_it_is_sent(
    proxy: Proxy, path: str, model: str
) -> None:
    """Also by an extra body, and where a fallback is to the same model at another speed."""
    before, asked = proxy.charged(), len(proxy.headroom.calls("POST", "/v1/authorizations"))
    if model == "slow then fast":
        proxy.api.expect(Script(status=529))
    said = {"speed": "fast", "inference_geo": "us"}
    proxy.api.expect(Script(usage=said))

    answer = proxy.post(path, model=model)

    assert answer.status_code == 200, answer.text
    sent = proxy.api.messages()[-1].body
    held = [
        json.loads(call[3]) for call in proxy.headroom.calls("POST", "/v1/authorizations")[asked:]
    ]
    # Some providers of LiteLLM's put an extra body into the request, others beside it.
    sent = {**sent, **sent.get("extra_body", {})}
    assert model == "hidden" or sent.items() >= said.items()
    assert held[-1].items() >= said.items()
    assert len(held) == (2 if model == "slow then fast" else 1)
    assert sent["max_tokens"] == 50
    proxy.settled(before + WHOLE_FAST)


def test_a_tool_of_a_deployment_has_no_bound_either(proxy: Proxy) -> None:
    asked = len(proxy.api.messages())

    answer = proxy.post("/v1/messages", model="searching")

    assert answer.status_code == 403, answer.text
    assert "no bound" in answer.text
    assert len(proxy.api.messages()) == asked


@pytest.mark.parametrize("model", ["speedy", "hidden"])
def test_a_chat_that_breaks_is_paid_for_at_the_speed_it_was_sent_at(
    proxy: Proxy, model: str
) -> None:
    before = proxy.charged()
    script = proxy.api.expect(Script(hold_after=4, cut_after=4))
    threading.Timer(1, script.go_on.set).start()

    with contextlib.suppress(httpx2.TransportError):
        proxy.post("/v1/chat/completions", model=model, stream=True)

    proxy.settled(before + 2 * 20_000 * 22 // 10)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_fetch_20260318", "name": "web_fetch", "max_uses": 1},
        {"type": "advisor_20260301", "name": "advisor", "model": "claude-fable-5-1"},
    ],
)
def test_tools_that_the_api_runs_are_the_operators_to_allow(proxy: Proxy, tool: Any) -> None:
    asked = len(proxy.api.messages())

    answer = proxy.post("/v1/messages", tools=[tool])

    assert answer.status_code == 403, answer.text
    assert "no bound" in answer.text
    assert len(proxy.api.messages()) == asked


@pytest.mark.parametrize("stream", [False, True])
def test_a_compaction_is_held_and_paid_for(proxy: Proxy, stream: bool) -> None:
    """LiteLLM may add it to the top-level figures; the ledger must not count it twice."""
    before = proxy.charged()
    message = {"type": "message", "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    compaction = {"type": "compaction", "input_tokens": 5_000, "output_tokens": 20}
    usage: Any = {"iterations": [compaction, message]}
    proxy.api.expect(Script(delta_usage=usage) if stream else Script(usage=usage))
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}
    long = [{"role": "user", "content": "x" * 60_000}]

    answer = proxy.post(
        "/v1/messages", messages=long, stream=stream, context_management={"edits": [edit]}
    )

    assert answer.status_code == 200, answer.text
    asked = json.loads(proxy.headroom.calls("POST", "/v1/authorizations")[-1][3])
    assert asked["compaction"] == {"trigger": 50_000}
    proxy.settled(before + WHOLE + 5_000 * 3_000 + 20 * 15_000)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_model_costs_nothing(proxy: Proxy, path: str, stream: bool) -> None:
    before, lines = proxy.charged(), len(proxy.headroom.lines())
    proxy.api.expect(Script(stop_reason="refusal", words=(), output_tokens=1))

    answer = proxy.post(path, stream=stream)

    assert answer.status_code == 200, answer.text
    wait_until(lambda: len(proxy.headroom.lines()) > lines)
    proxy.settled(before)
    assert proxy.headroom.lines()[-1].notes == ["refused_before_output"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_refusal_comes_before_the_model_is_asked(proxy: Proxy, path: str) -> None:
    asked = len(proxy.api.asked)
    # An input of nearly all that a body may hold is beyond what the cap pays for.
    large = [{"role": "user", "content": "x" * 18_000_000}]

    answer = proxy.post(path, messages=large)

    assert answer.status_code == 429, answer.text[:500]
    assert "organization_limit_reached" in answer.text
    assert len(proxy.api.asked) == asked


def test_a_hold_whose_answer_never_came_is_given_back_and_nothing_is_sent(proxy: Proxy) -> None:
    before, asked = proxy.charged(), len(proxy.api.asked)
    given_back = len(proxy.headroom.calls("DELETE", "/v1/authorizations/"))
    proxy.headroom.faults = [Fault(503, {"retry-after": "3600"}, reached=True)]

    answer = proxy.post("/v1/messages")

    assert answer.status_code == 503, answer.text[:500]
    proxy.settled(before)
    assert len(proxy.headroom.calls("DELETE", "/v1/authorizations/")) == given_back + 1
    assert len(proxy.api.asked) == asked


def test_output_is_clamped_to_what_the_money_allows(proxy: Proxy) -> None:
    before = proxy.charged()

    assert proxy.post("/v1/chat/completions", max_tokens=900_000_000).status_code == 200

    sent = proxy.api.messages()[-1].body["max_tokens"]
    assert 10 <= sent <= 100_000_000_000 // 15_000
    proxy.settled(before + WHOLE)


def test_output_without_a_limit_gets_one(proxy: Proxy) -> None:
    before = proxy.charged()

    assert proxy.post("/v1/chat/completions", max_tokens=None).status_code == 200
    assert proxy.api.messages()[-1].body["max_tokens"] == 4096
    limited = proxy.post("/v1/chat/completions", max_tokens=None, max_completion_tokens=77)
    assert limited.status_code == 200
    assert proxy.api.messages()[-1].body["max_tokens"] == 77

    proxy.settled(before + 2 * WHOLE)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_is_paid_for_at_the_price_of_the_model_that_answered(
    proxy: Proxy, path: str, stream: bool
) -> None:
    before, lines = proxy.charged(), len(proxy.headroom.lines())
    proxy.api.expect(Script(status=529))

    answer = proxy.post(path, model="upward", stream=stream)

    assert answer.status_code == 200, answer.text
    assert [asked.body["model"] for asked in proxy.api.messages()[-2:]] == [MODEL, DEAR]
    proxy.settled(before + WHOLE_DEAR)
    assert len(proxy.headroom.lines()) == lines + 1
    assert {line.model for line in proxy.headroom.lines()} >= {DEAR}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_fallback_that_does_not_fit_is_not_sent_and_others_use_its_model(
    proxy: Proxy, path: str
) -> None:
    """Twelve million bytes may cost 72 dollars at the first model, 120 at the other."""
    before, asked = proxy.charged(), len(proxy.api.messages())
    large = [{"role": "user", "content": "x" * 12_000_000}]
    proxy.api.expect(Script(status=529))

    answer = proxy.post(path, model="upward", messages=large)

    assert answer.status_code >= 400
    assert [each.body["model"] for each in proxy.api.messages()[asked:]] == [MODEL]
    proxy.settled(before)
    assert proxy.post(path, model="dear").status_code == 200
    proxy.settled(before + WHOLE_DEAR)


def test_a_fallback_that_does_not_fit_is_followed_by_one_that_does(proxy: Proxy) -> None:
    before, asked = proxy.charged(), len(proxy.api.messages())
    large = [{"role": "user", "content": "x" * 12_000_000}]
    proxy.api.expect(Script(status=529))

    answer = proxy.post("/v1/chat/completions", model="downward", messages=large)

    assert answer.status_code == 200, answer.text
    assert [each.body["model"] for each in proxy.api.messages()[asked:]] == [MODEL, CHEAP]
    proxy.settled(before + WHOLE_CHEAP)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_fallback_that_is_tried_again_asks_for_no_more_than_its_money_allows(
    proxy: Proxy, path: str
) -> None:
    """At the dear model the input may cost 99 of 100 dollars, which leaves less for output."""
    before, asked = proxy.charged(), len(proxy.api.messages())
    large = [{"role": "user", "content": "x" * 9_900_000}]
    proxy.api.expect(Script(status=529))
    proxy.api.expect(Script(status=529))

    answer = proxy.post(path, model="stubborn", messages=large, max_tokens=100_000)

    assert answer.status_code == 200, answer.text
    sent = proxy.api.messages()[asked:]
    assert [each.body["model"] for each in sent] == [MODEL, DEAR, DEAR]
    first, fallback, again = (each.body["max_tokens"] for each in sent)
    assert first == 100_000 > fallback == again
    proxy.settled(before + WHOLE_DEAR)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    "name", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"]
)
@pytest.mark.parametrize("is_direct", [True, False])
@pytest.mark.parametrize("overrides", [True, False])
def test_a_fallback_that_brings_a_request_of_its_own_is_refused(
    proxy: Proxy, path: str, name: str, is_direct: bool, overrides: bool
) -> None:
    """It would be sent with the money of the request that was looked at."""
    asked = len(proxy.api.messages())
    longer = [{"role": "user", "content": "x" * 100_000}]
    target: Any = {"model": "dear", "messages": longer}
    fallbacks = {name: [target if is_direct else {"claude": [target]}]}

    answer = proxy.post(
        path, **({"router_settings_override": fallbacks} if overrides else fallbacks)
    )

    assert answer.status_code == 403, answer.text
    assert ("router_settings_override" if overrides else name) in answer.text
    assert len(proxy.api.messages()) == asked


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    "said",
    [
        {"no-log": True},
        {"additional_drop_params": ["max_tokens"]},
        {"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}]},
        {"container": "x"},
        {"web_search_options": {}},
        {"extra_body": {"max_tokens": 5000}},
    ],
    ids=lambda said: next(iter(said)),
)
def test_what_would_spend_more_than_is_held_may_not_be_said(
    proxy: Proxy, path: str, said: dict[str, Any]
) -> None:
    asked = len(proxy.api.messages())

    answer = proxy.post(path, **said)

    assert answer.status_code == 403, answer.text
    assert next(iter(said)) in answer.text
    assert len(proxy.api.messages()) == asked


@pytest.mark.parametrize(
    "said",
    [{"inference_geo": "us"}, {"system": "x" * 5000}, {"model": "dear,claude,x/claude-haiku-4-5"}],
)
def test_what_would_spend_more_than_is_held_may_not_be_said_in_a_chat(
    proxy: Proxy, said: dict[str, Any]
) -> None:
    asked = len(proxy.api.messages())

    assert proxy.post("/v1/chat/completions", **said).status_code == 403

    assert len(proxy.api.messages()) == asked


def test_a_fallback_that_the_client_names_is_authorized_like_any_other(proxy: Proxy) -> None:
    before = proxy.charged()
    proxy.api.expect(Script(status=529))

    assert proxy.post("/v1/messages", fallbacks=["dear"]).status_code == 200

    proxy.settled(before + WHOLE_DEAR)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("max_tokens", [50, -1])
def test_a_request_is_paid_for_whatever_another_does_under_its_id(
    proxy: Proxy, path: str, max_tokens: int
) -> None:
    """Clients choose the id: neither a second request nor one that fails lets go of the money."""
    before, lines = proxy.charged(), len(proxy.headroom.lines())
    held = proxy.api.expect(Script(hold_after=1))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(proxy.post, path, call_id="mine")
        assert held.reached.wait(10)
        second = proxy.post(path, call_id="mine", max_tokens=max_tokens)
        held.go_on.set()
        assert first.result().status_code == 200

    assert second.status_code == 403, second.text
    proxy.settled(before + WHOLE)
    assert len(proxy.headroom.lines()) == lines + 1
    # It is over, and its id is free.
    assert proxy.post(path, call_id="mine").status_code == 200
    proxy.settled(before + 2 * WHOLE)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_failed_request_gives_the_money_back(proxy: Proxy, path: str) -> None:
    before = proxy.charged()
    proxy.api.expect(Script(status=400))

    assert proxy.post(path).status_code >= 400

    proxy.settled(before)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_stream_that_its_reader_leaves_is_paid_for_as_far_as_it_came(
    proxy: Proxy, path: str
) -> None:
    before = proxy.charged()
    script = proxy.api.expect(Script(hold_after=4))
    body = {"model": "claude", "messages": MESSAGES, "max_tokens": 50, "stream": True}
    headers = {"authorization": f"Bearer sk-{USER}"}
    url = f"{proxy.base_url}{path}"

    with httpx2.stream("POST", url, json=body, headers=headers, timeout=30) as response:
        for piece in response.iter_bytes():
            if b"that" in piece:
                break
    script.go_on.set()

    proxy.settled(before + INPUT_TOKENS * 3_000 + 2 * 15_000)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/messages", INPUT_TOKENS * 3_000 + 2 * 15_000),
        # The other form says nothing of the input before the end.
        ("/v1/chat/completions", 2 * 15_000),
    ],
)
def test_a_stream_that_breaks_is_paid_for_as_far_as_it_came(
    proxy: Proxy, path: str, expected: int
) -> None:
    before = proxy.charged()
    script = proxy.api.expect(Script(hold_after=4, cut_after=4))
    # What had arrived is passed on before the connection breaks.
    threading.Timer(1, script.go_on.set).start()

    with contextlib.suppress(httpx2.TransportError):
        proxy.post(path, stream=True)

    proxy.settled(before + expected)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/embeddings", {"input": "x"}, 403),
        ("/v1/responses", {"input": "x"}, 403),
        ("/v1/chat/completions", {"model": "two"}, 403),
        ("/v1/chat/completions", {"model": "odd"}, 400),
        ("/v1/chat/completions", {"n": 2}, 403),
        ("/v1/chat/completions", {"key": "sk-"}, 403),
        ("/v1/chat/completions", {"key": "sk-user_nobody"}, 400),
    ],
)
def test_what_is_not_metered_is_not_sent(
    proxy: Proxy, path: str, body: dict[str, Any], status: int
) -> None:
    asked = len(proxy.api.asked)

    answer = proxy.post(path, **body)

    assert answer.status_code == status, answer.text[:500]
    assert len(proxy.api.asked) == asked


def test_without_headroom_nothing_is_sent(proxy: Proxy) -> None:
    asked = len(proxy.api.asked)
    proxy.headroom.down = True
    try:
        answer = proxy.post("/v1/chat/completions")
    finally:
        proxy.headroom.down = False

    assert answer.status_code == 503
    assert len(proxy.api.asked) == asked
