"""Versions of functions, asked by name, and CodeDeploy, which waits to hear how they did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# All functions of a stack are probed at once, and a small account throttles that for a while.
ATTEMPTS_MAX: Final = 8
ANSWER_SECONDS_MAX: Final = 35


class VersionFailed(Exception):
    """A version could not be invoked, or ended without an answer; the message says why."""


class Versions(Protocol):
    """Wherever published versions of functions can be invoked."""

    def ask(self, arn: str, event: Mapping[str, Any]) -> object:
        """Invoke a version and return its answer.

        Raises:
            VersionFailed: it has none.
            ValueError: its answer is no JSON.
        """


class LambdaVersions:
    """Versions in Lambda."""

    def __init__(self, region: str) -> None:
        self._client: Any = botocore.session.get_session().create_client(
            "lambda",
            region_name=region,
            config=Config(
                read_timeout=ANSWER_SECONDS_MAX,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
            ),
        )

    def ask(self, arn: str, event: Mapping[str, Any]) -> object:
        try:
            ended = self._client.invoke(FunctionName=arn, Payload=json.dumps(event))
            said = ended["Payload"].read()
        except (ClientError, BotoCoreError) as error:
            raise VersionFailed(f"it could not be invoked ({error})") from error
        if "FunctionError" in ended:
            raise VersionFailed(f"it ended without an answer: {said.decode()[:500]}")
        answer: object = json.loads(said)
        return answer


class CodeDeploy:
    """Deployments whose traffic shifts when their hook says so."""

    def __init__(self, region: str) -> None:
        self._client: Any = botocore.session.get_session().create_client(
            "codedeploy", region_name=region, config=Config(retries={"mode": "standard"})
        )

    def report(self, deployment_id: str, execution_id: str, *, succeeded: bool) -> None:
        """Let a deployment begin to shift traffic, or have it given up."""
        self._client.put_lifecycle_event_hook_execution_status(
            deploymentId=deployment_id,
            lifecycleEventHookExecutionId=execution_id,
            status="Succeeded" if succeeded else "Failed",
        )
