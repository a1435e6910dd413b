"""The example organizations of the local stack, one Team and one Enterprise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

EXAMPLES = Path(__file__).parent / "examples"


class ProvisioningFailed(Exception):
    """The function answered with an error, or the keys are lost."""


def provision(function: str, *, client: LambdaClient, keys_file: Path) -> list[dict[str, Any]]:
    """Create the example organizations unless they exist, and return them with their keys.

    The function tells an organization's keys only once, so they are kept in `keys_file`.

    Raises:
        ProvisioningFailed: the function failed, or knows the organization while we lost its keys.
    """
    keys: dict[str, dict[str, str]] = (
        json.loads(keys_file.read_text()) if keys_file.exists() else {}
    )
    organizations = []
    for example in sorted(EXAMPLES.glob("*.json")):
        request = json.loads(example.read_text())
        answer = _invoke(function, request, client=client)
        told = {name: answer[name] for name in ("service_key", "admin_key") if answer.get(name)}
        if told:
            keys[answer["id"]] = told
            keys_file.touch(mode=0o600)
            keys_file.write_text(json.dumps(keys, indent=2))
        if answer["id"] not in keys:
            raise ProvisioningFailed(
                f"{answer['id']} exists but its keys are lost; start over with: make up FRESH=1"
            )
        organizations.append(
            {
                "id": answer["id"],
                "plan": request["plan"],
                **keys[answer["id"]],
                "members": answer["members"],
            }
        )
    return organizations


def _invoke(function: str, request: dict[str, Any], *, client: LambdaClient) -> dict[str, Any]:
    answer = client.invoke(FunctionName=function, Payload=json.dumps(request).encode())
    payload = answer["Payload"].read().decode()
    result: dict[str, Any] = json.loads(payload)
    if answer.get("FunctionError") or result.get("type") != "organization":
        raise ProvisioningFailed(f"{function} answered {payload}")
    return result
