"""Every snippet of the README runs as it stands there, as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clients.python.tests.fake_messages import OUTPUT_TOKENS, WORDS, FakeMessages
from clients.python.tests.headroom_server import HeadroomServer, headroom_server

CLIENT = Path(__file__).resolve().parents[1]
README = (CLIENT / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(snippet: str, headroom: HeadroomServer, api: FakeMessages, folder: Path) -> str:
    """Return what the snippet prints."""
    ended = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=folder,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CLIENT / "src"),
            "HEADROOM_BASE_URL": headroom.base_url,
            "HEADROOM_API_KEY": headroom.key,
            "ANTHROPIC_BASE_URL": api.base_url,
            "ANTHROPIC_API_KEY": "sk-test",
        },
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_ten_lines_end_with_a_refusal_at_the_cap(api: FakeMessages, tmp_path: Path) -> None:
    snippet = SNIPPETS[0]
    assert len(snippet.splitlines()) <= 12, "ten lines, after those that import"
    with headroom_server(spend_limit="2") as headroom:
        *answers, refusal = run(snippet, headroom, api, tmp_path).splitlines()
        spent = sum(line.charged for line in headroom.lines())

    # Each answer costs 675,000 nanos, and may cost 16 million; two cents are 20 million.
    assert answers == [str(OUTPUT_TOKENS)] * len(answers)
    assert re.match(r"refused by the organization limit until \d{4}-", refusal)
    assert len(answers) == len(api.messages()) > 1
    assert spent == len(answers) * 675_000


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "".join(WORDS)),
        (2, "hello-1 succeeded"),
        (3, "recorded 0.4995 cents"),
        (4, "delivered"),
    ],
)
def test_the_other_snippets_do_what_they_say(
    headroom: HeadroomServer, api: FakeMessages, tmp_path: Path, number: int, said: str
) -> None:
    assert said in run(SNIPPETS[number], headroom, api, tmp_path)
    assert headroom.holds() == 0


def test_there_is_no_snippet_that_nothing_runs() -> None:
    assert len(SNIPPETS) == 5
