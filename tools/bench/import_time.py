"""Importing the authorize handler against importing boto3 and making its DynamoDB client."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.environment import ENVIRONMENT
from tools.bench import scene
from tools.progress import follow

PAIRS = 9
ROOT = Path(__file__).parents[2]
BOTO3 = "import boto3; boto3.client('dynamodb')"
HANDLER = "import functions.authorize_spend.handler"


def measure(console: Console, times: int = PAIRS) -> tuple[float, float, float]:
    """Return the medians in seconds, the handler's first, and the median ratio of the pairs.

    Each import is a fresh process, byte-compiled as the layer is, and the two take turns.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **ENVIRONMENT,
            **scene.FAKE_AWS,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'layers' / 'headroom'}:{ROOT}",
            "PYTHONPYCACHEPREFIX": cache,
        }
        # The first run of each compiles.
        _run(HANDLER, environment)
        _run(BOTO3, environment)
        pairs = [
            (_run(HANDLER, environment), _run(BOTO3, environment))
            for _ in follow(range(times), "fresh processes", total=times, console=console)
        ]
    return (
        statistics.median(handler for handler, _ in pairs),
        statistics.median(boto3 for _, boto3 in pairs),
        statistics.median(handler / boto3 for handler, boto3 in pairs),
    )


def _run(code: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    return time.perf_counter() - started
