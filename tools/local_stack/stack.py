"""The steps from nothing to an application that answers, and the file that tells where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.config import Config

from tools.local_stack import deployment
from tools.local_stack.emulator import REGION, Emulator
from tools.local_stack.issuer import Issuer
from tools.local_stack.payments import PROGRAM, LocalProcessor, save_example_card
from tools.local_stack.provisioning import EXAMPLES, provision
from tools.local_stack.sign_in import SignIn


def up(
    emulator: Emulator,
    *,
    port: int | None = None,
    fresh: bool = False,
    ahead: timedelta = deployment.REAL_TIME,
    processor_program: str = PROGRAM,
) -> Path:
    """Bring the stack to the state of the sources; return the stack.json that describes it.

    `ahead` sets the application's clock before the machine's; `processor_program` is what is
    started as the payment processor.

    Raises:
        ServerFailed, CardRefused, DeploymentFailed, ProvisioningFailed: that step failed.
    """
    started = time.monotonic()
    if fresh:
        with _step("Throw away the state"):
            down(emulator)
            emulator.forget()
    emulator.home.mkdir(parents=True, exist_ok=True)
    if not emulator.running:
        with _step("Start ministack"):
            emulator.start(port=port)
    SignIn(emulator.home).start()
    processor = LocalProcessor(emulator.home, processor_program)
    if not processor.running:
        with _step("Start the payment processor"):
            processor.start()
    known = deployed = deployment.current(emulator, ahead)
    if deployed is None:
        with _step("Build (sam build)"):
            deployment.build(emulator)
        with _step("Deploy (sam deploy)"):
            deployed = deployment.deploy(emulator, ahead)
    else:
        print("  Sources unchanged since the last deployment.")
    processor.introduce(
        webhook_url=f"{_api_url(emulator, deployed)}/v1/payment_events",
        secret_arn=deployed.outputs["StripeSecretArn"],
        client=emulator.session.client("secretsmanager", endpoint_url=emulator.endpoint_url),
    )
    with _step("Provision the example organizations"):
        described = _describe(emulator, deployed, ahead)
    if known is None:
        emulator.snapshot()
    print(f"The stack is up after {time.monotonic() - started:.1f} s: {described}")
    return described


def down(emulator: Emulator) -> bool:
    """Stop what `up` started; its state is kept. False if the emulator was not running."""
    SignIn(emulator.home).stop()
    LocalProcessor(emulator.home).stop()
    return emulator.stop()


def environment(stack: dict[str, Any]) -> dict[str, str]:
    """Return what the documents' commands need of a stack.json: the example Team organization's."""
    team = next(each for each in stack["organizations"] if each["plan"] == "team")
    person = next(each for each in team["members"] if each["role"] == "primary_owner")
    return {
        "API": stack["api_url"],
        "SERVICE_KEY": team["service_key"],
        "ADMIN_KEY": team["admin_key"],
        "USER_ID": person["user_id"],
        "TOKEN": person["token"],
        # As the Python client looks for them.
        "HEADROOM_BASE_URL": stack["api_url"],
        "HEADROOM_API_KEY": team["service_key"],
    }


def _api_url(emulator: Emulator, deployed: deployment.Deployment) -> str:
    return f"{emulator.endpoint_url}/_aws/execute-api/{deployed.outputs['ApiId']}"


def _describe(emulator: Emulator, deployed: deployment.Deployment, ahead: timedelta) -> Path:
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
    issuer = Issuer(deployment.issuer_key(emulator))
    for organization in organizations:
        for member in organization["members"]:
            member["token"] = issuer.token(
                organization["id"], member["user_id"], now=datetime.now(UTC) + ahead
            )
    api_url = _api_url(emulator, deployed)
    for organization in organizations:
        if organization["plan"] == "team":
            save_example_card(api_url, organization)
    page_url = f"{api_url}/settings/usage"
    sign_in = SignIn(emulator.home)
    sign_in.admit(page_url, _people(organizations), ahead=ahead)
    stack = {
        "api_url": api_url,
        "page_url": page_url,
        "sign_in_url": sign_in.url,
        "aws_endpoint_url": emulator.endpoint_url,
        "region": REGION,
        "clock_ahead_seconds": int(ahead.total_seconds()),
        "table_name": deployed.outputs["TableName"],
        "functions": deployed.functions,
        "usage_queue_url": queue["QueueUrl"],
        "event_bus_name": deployed.outputs["EventBusName"],
        "processor_url": LocalProcessor(emulator.home).url,
        "payment_secret_arn": deployed.outputs["StripeSecretArn"],
        "organizations": organizations,
    }
    path = emulator.home / "stack.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(stack, indent=2) + "\n")
    return path


def _people(organizations: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the example people, with what the sign-in shows and says of each."""
    known = {
        member["user_id"]: (member["name"], example["name"])
        for example in (json.loads(path.read_text()) for path in EXAMPLES.glob("*.json"))
        for member in example["members"]
    }
    return [
        {
            "organization": known[member["user_id"]][1],
            "org_id": organization["id"],
            "user_id": member["user_id"],
            "name": known[member["user_id"]][0],
            "role": member["role"],
        }
        for organization in organizations
        for member in organization["members"]
    ]


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
