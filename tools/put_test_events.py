"""`make test-events STACK_NAME=name`: the examples in events/ as shareable test events of a stack.

An admin then finds them behind the button "Test" of each function in the Lambda console.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.template import template
from tools.local_stack.emulator import ROOT

SAM = ROOT / ".venv-sam" / "bin" / "sam"


def commands(stack_name: str) -> list[list[str]]:
    """Return the commands that put every example where its function finds it."""
    functions = {
        resource["Properties"]["CodeUri"].rstrip("/").removeprefix("functions/"): name
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    examples = sorted((ROOT / "events").glob("*/*.json"))
    return [_put(stack_name, functions[each.parent.name], each) for each in examples]


def _put(stack_name: str, function: str, example: Path) -> list[str]:
    names = ["--stack-name", stack_name, "--name", example.stem]
    return ["remote", "test-event", "put", function, *names, "--file", str(example), "--force"]


def main() -> int:
    """Put them all; return the code of the first that fails."""
    for command in commands(sys.argv[1]):
        print(f"{command[3]}: {command[7]}")
        environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
        code = subprocess.run([SAM, *command], env=environment, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
