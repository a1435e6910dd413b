"""What the functions on the path of every request may not bring into a cold start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"jwt", "cryptography", "stripe", "genai_prices"}


@pytest.mark.parametrize("function", ["authorize_spend", "ingest_usage"])
def test_the_spending_path_imports_nothing_that_only_people_or_payments_need(
    function: str,
) -> None:
    """People's tokens are verified there too, but only when one is shown."""
    code = f"import functions.{function}.handler, sys; print(*sys.modules, sep='\\n')"
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'layers' / 'headroom'}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(run.stdout.split())
    assert f"functions.{function}.handler" in imported
    assert not imported & HEAVY
