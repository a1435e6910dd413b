"""Bring the local stack up, or take it down.

python -m tools.local_stack up [--home FOLDER] [--port N] [--fresh]
python -m tools.local_stack down [--home FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.config import Config

from tools.local_stack import deployment
from tools.local_stack.deployment import DeploymentFailed
from tools.local_stack.emulator import REGION, ROOT, Emulator, EmulatorFailed
from tools.local_stack.provisioning import ProvisioningFailed, provision


def main() -> int:
    arguments = _parse()
    emulator = Emulator(arguments.home.resolve())
    if arguments.command == "down":
        if emulator.stop():
            print("Stopped the local stack; its state is kept.")
        return 0
    try:
        up(emulator, port=arguments.port, fresh=arguments.fresh)
    except (EmulatorFailed, DeploymentFailed, ProvisioningFailed) as failure:
        print(f"\n{failure}\n\nLogs are in {emulator.home}.", file=sys.stderr)
        return 1
    return 0


def up(emulator: Emulator, *, port: int | None, fresh: bool) -> None:
    """Bring the stack to the state of the sources, and write stack.json for its clients."""
    started = time.monotonic()
    if fresh:
        with _step("Throw away the state"):
            emulator.forget()
    emulator.home.mkdir(parents=True, exist_ok=True)
    if not emulator.running:
        with _step("Start ministack"):
            emulator.start(port=port)
    deployed = deployment.current(emulator)
    if deployed is None:
        with _step("Build (sam build)"):
            deployment.build(emulator)
        with _step("Deploy (sam deploy)"):
            deployed = deployment.deploy(emulator)
    else:
        print("  Sources unchanged since the last deployment.")
    with _step("Provision the example organizations"):
        _write_stack(emulator, deployed)
    print(f"The stack is up after {time.monotonic() - started:.1f} s: {emulator.home}/stack.json")


def _write_stack(emulator: Emulator, deployed: deployment.Deployment) -> None:
    session = emulator.session
    # A provisioning that is slow is still going on: asking again would only add to it.
    patient = Config(read_timeout=120, retries={"total_max_attempts": 1})
    organizations = provision(
        deployed.functions["ProvisionOrganization"],
        client=session.client("lambda", endpoint_url=emulator.endpoint_url, config=patient),
        keys_file=emulator.home / "keys.json",
    )
    # Asked anew, since the emulator's port is part of it and may have changed.
    queue = session.client("sqs", endpoint_url=emulator.endpoint_url).get_queue_url(
        QueueName=deployed.outputs["UsageQueueUrl"].rpartition("/")[2]
    )
    stack = {
        "api_url": f"{emulator.endpoint_url}/_aws/execute-api/{deployed.outputs['ApiId']}",
        "aws_endpoint_url": emulator.endpoint_url,
        "region": REGION,
        "table_name": deployed.outputs["TableName"],
        "functions": deployed.functions,
        "usage_queue_url": queue["QueueUrl"],
        "organizations": organizations,
    }
    path = emulator.home / "stack.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(stack, indent=2) + "\n")


@contextmanager
def _step(name: str) -> Iterator[None]:
    print(f"  {name} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--home", type=Path, default=ROOT / ".local")
    parser.add_argument("--port", type=int)
    parser.add_argument("--fresh", action="store_true", help="start from an empty account")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
