"""Executions of a state machine of Step Functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError


class Executions(Protocol):
    """Whoever starts an execution."""

    def start(self, name: str, document: Mapping[str, Any]) -> None:
        """Start an execution, once for each name."""


class StateMachine:
    """A state machine in Step Functions."""

    def __init__(self, arn: str, region: str) -> None:
        self._arn = arn
        self._client: Any = botocore.session.get_session().create_client(
            "stepfunctions", region_name=region, config=Config(retries={"mode": "standard"})
        )

    def start(self, name: str, document: Mapping[str, Any]) -> None:
        try:
            self._client.start_execution(
                stateMachineArn=self._arn, name=name, input=json.dumps(document)
            )
        except ClientError as error:
            # The same message was delivered before, and its execution has ended already.
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
