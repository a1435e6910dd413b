"""Expand the template as SAM does for production, so that what it becomes there can be checked.

The local emulator knows no CodeDeploy, so nothing else here ever sees gradual deployments. Runs
under SAM's own Python: `.venv-sam/bin/python -m tools.expand_template > FILE`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from copy import deepcopy
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-not-found]

from tests.template import template

PARAMETERS = {"Stage": "prod", "GradualDeployments": "true"}
# Where `sam deploy` would have put the code.
UPLOADED = "s3://headroom-artifacts/code"
CODE = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}


class NoManagedPolicies:
    """The template names its policies itself."""

    def load(self) -> dict[str, str]:
        return {}


def expand(*, layers: str = UPLOADED, release: str = "unnamed") -> dict[str, Any]:
    """Return the template as CloudFormation gets to see it, with production's parameters.

    `layers` is where their content was uploaded, `release` the name of the build.
    """
    document = _with_long_attributes(deepcopy(template()))
    for resource in document["Resources"].values():
        place = CODE.get(resource["Type"])
        if place in resource.get("Properties", {}):
            resource["Properties"][place] = layers if "Layer" in resource["Type"] else UPLOADED
    document["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] = release
    for name, value in PARAMETERS.items():
        document["Parameters"][name]["Default"] = value
    expanded: dict[str, Any] = transform(document, PARAMETERS, NoManagedPolicies())
    return expanded


def _with_long_attributes(value: Any) -> Any:
    """Write "Fn::GetAtt" as a list, as CloudFormation reads the short form."""
    if isinstance(value, dict):
        return {
            name: part.split(".", 1)
            if name == "Fn::GetAtt" and isinstance(part, str)
            else _with_long_attributes(part)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [_with_long_attributes(part) for part in value]
    return value


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    logging.disable(logging.ERROR)
    json.dump(expand(), sys.stdout, indent=1)
