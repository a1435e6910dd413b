"""`sam build` and `sam deploy` against the emulator, only when something changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from tools import processes, release
from tools.local_stack.emulator import ROOT, STACK_PYTHON, Emulator, clean_environment
from tools.local_stack.issuer import Issuer
from tools.local_stack.payments import LocalProcessor
from tools.local_stack.sign_in import SignIn

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

STACK_NAME = "headroom-local"
ARTIFACTS = "headroom-local-artifacts"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
DEVELOPER_PYTHON = ROOT / ".venv" / "bin" / "python"

REAL_TIME = timedelta()

DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class DeploymentFailed(Exception):
    """SAM refused or failed; the message carries the end of what it said."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was deployed: the sources' fingerprint and the stack's answers."""

    fingerprint: str
    outputs: dict[str, str]
    functions: dict[str, str]


def current(emulator: Emulator, ahead: timedelta = REAL_TIME) -> Deployment | None:
    """Return the deployment that stands, if it was made from the sources as they are now."""
    try:
        known = Deployment(**json.loads(_note(emulator).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if known.fingerprint != release.fingerprint(_parameters(emulator, ahead)):
        return None
    try:
        outputs = _outputs(_cloudformation(emulator))
    except (ClientError, BotoCoreError, DeploymentFailed):
        return None
    return known if outputs == known.outputs else None


def build(emulator: Emulator) -> None:
    """Build the layer and the functions into the emulator's home.

    Raises:
        DeploymentFailed: `sam build` failed.
    """
    for cache in (ROOT / "functions").rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    _sam(emulator, "build", "--template", ROOT / "template.yaml", "--build-dir", _built(emulator))


def deploy(emulator: Emulator, ahead: timedelta = REAL_TIME) -> Deployment:
    """Deploy what was built and note it; its clock is `ahead` of the machine's.

    Raises:
        DeploymentFailed: `sam deploy` failed, or the stack did not come to rest.
    """
    parameters = _parameters(emulator, ahead)
    made_from = release.fingerprint(parameters)
    _note(emulator).unlink(missing_ok=True)
    # A bucket of our own: SAM makes one by a stack, which a busy machine lets it ask for twice.
    s3 = emulator.session.client("s3", endpoint_url=emulator.endpoint_url)
    s3.create_bucket(Bucket=ARTIFACTS)
    named = _built(emulator) / "named.yaml"
    shutil.copyfile(_built(emulator) / "template.yaml", named)
    release.name(named, made_from)
    _sam(
        emulator,
        "deploy",
        "--template-file",
        named,
        "--parameter-overrides",
        *(f"{name}={value}" for name, value in parameters.items()),
    )
    # Noted only when a crash cannot lead back to what was deployed before.
    emulator.snapshot()
    cloudformation = _cloudformation(emulator)
    deployment = Deployment(made_from, _outputs(cloudformation), _functions(cloudformation))
    _note(emulator).write_text(json.dumps(asdict(deployment), indent=2))
    return deployment


def issuer_key(emulator: Emulator) -> Path:
    """Return where the local issuer keeps its key."""
    return emulator.home / "issuer.pem"


def _parameters(emulator: Emulator, ahead: timedelta) -> dict[str, str]:
    # On the command line they replace those of samconfig.toml, so all of them are named here.
    return {
        **_configured(),
        **Issuer(issuer_key(emulator)).parameters(),
        **SignIn(emulator.home).parameters(),
        **LocalProcessor(emulator.home).parameters(),
        "ClockAheadSeconds": str(int(ahead.total_seconds())),
    }


def _configured() -> dict[str, str]:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides: list[str] = config["local"]["deploy"]["parameters"]["parameter_overrides"]
    return dict(override.split("=", 1) for override in overrides)


def _sam(emulator: Emulator, command: str, *arguments: str | Path) -> None:
    config = ROOT / "samconfig.toml"
    log = emulator.home / f"sam-{command}.log"
    with log.open("wb") as output:
        code = subprocess.run(
            [SAM, command, "--config-file", config, "--config-env", "local", *arguments],
            cwd=ROOT,
            env=_sam_environment(emulator),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code != 0:
        raise DeploymentFailed(f"sam {command} failed. It ended with:\n{processes.tail(log)}")


def _sam_environment(emulator: Emulator) -> dict[str, str]:
    uv = ROOT / ".venv" / "bin" / "uv"
    install = (
        f'"{uv}" pip install --quiet --no-config --link-mode copy --python "{STACK_PYTHON}"'
        if uv.exists()
        else f'"{DEVELOPER_PYTHON}" -m pip --python "{STACK_PYTHON}" install --quiet --no-compile'
    )
    return {
        **clean_environment(),
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "SAM_CLI_TELEMETRY": "0",
        "LAYER_INSTALL": install,
        "LAYER_PYTHON": str(STACK_PYTHON),
    }


def _cloudformation(emulator: Emulator) -> CloudFormationClient:
    return emulator.session.client("cloudformation", endpoint_url=emulator.endpoint_url)


def _outputs(cloudformation: CloudFormationClient) -> dict[str, str]:
    stack = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    if stack["StackStatus"] not in DEPLOYED:
        raise DeploymentFailed(f"the stack is in {stack['StackStatus']}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _functions(cloudformation: CloudFormationClient) -> dict[str, str]:
    resources = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }


def _built(emulator: Emulator) -> Path:
    return emulator.home / "build"


def _note(emulator: Emulator) -> Path:
    return emulator.home / "deployment.json"
