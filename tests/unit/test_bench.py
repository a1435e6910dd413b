"""The benches that invoke and import handlers find what these need in their environment.

Each runs in a process of its own, as `make bench` and `make cost` run it: nothing of the tests'
environment may be what lets it work.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.template import TEMPLATE

ROOT = TEMPLATE.parent


@pytest.mark.parametrize(
    "measure",
    [
        "from tools.bench.handler_time import measure; print(measure(console, 10))",
        "from tools.bench.import_time import measure; print(measure(console, 1)[2])",
    ],
    ids=["handler_time", "import_time"],
)
def test_a_bench_measures_something(measure: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-c", f"from rich.console import Console; console = Console(); {measure}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "layers" / "headroom")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0
