"""What SAM publishes anew: each alias moves when a layer changes, or the name of the build."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tools.local_stack.emulator import ROOT, clean_environment

PYTHON = ROOT / ".venv-sam" / "bin" / "python"
# SAM's translator is in an environment of its own.
SCRIPT = """
import json, logging, sys
from tools.expand_template import expand
logging.disable(logging.ERROR)
print(json.dumps([
    [name for name, resource in expand(**how)["Resources"].items()
     if resource["Type"] == "AWS::Lambda::Version"]
    for how in json.loads(sys.argv[1])
]))
"""


def versions(*hows: dict[str, Any]) -> list[set[str]]:
    """Return the versions that each way of expanding the template would have published."""
    ended = subprocess.run(  # noqa: S603
        [PYTHON, "-c", SCRIPT, json.dumps(hows)],
        cwd=ROOT,
        env={**clean_environment(), "AWS_DEFAULT_REGION": "us-east-1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return [set(each) for each in json.loads(ended.stdout)]


def test_another_layer_and_another_name_of_the_build_are_other_versions_of_all() -> None:
    first, same, other_layer, other_name = versions(
        {}, {}, {"layers": "s3://headroom-artifacts/other"}, {"release": "r2"}
    )

    assert len(first) >= 10
    assert same == first
    assert not other_layer & first
    assert not other_name & first
