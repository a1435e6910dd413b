"""The bench of authorizations beside closes, on a small scale."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.template import TEMPLATE

ROOT = TEMPLATE.parent


def test_the_bench_closes_beside_requests_and_says_what_they_took() -> None:
    arguments = ["--closes", "2", "--rounds", "1", "--seconds", "1"]
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "tools.bench.beside", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "headroom"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    # Whether the bound of calls is kept is for a run with more than a handful of requests to say.
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    for kind in ("alone", "another table", "of others", "of their own", "within the budget"):
        assert kind in done.stdout
    assert "times the calls of the table" in done.stdout
