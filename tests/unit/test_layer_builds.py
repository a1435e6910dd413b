"""A layer is built with what every cold start needs, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.template import TEMPLATE, template

LAYERS = {
    name: TEMPLATE.parent / resource["Properties"]["ContentUri"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::LayerVersion"
}
# Stands for pip: puts a module where it is told to, and what the headroom layer then tidies up.
INSTALL = """#!/bin/sh
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/botocore/data/s3" "$2/installed"
echo "ANSWER = 42" > "$2/installed/__init__.py"
"""


def build(name: str, into: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Build a layer as `sam build` does, with this Python to compile with; "" for none."""
    install = into / "install"
    install.write_text(INSTALL)
    install.chmod(0o755)
    artifacts = into / "artifacts"
    artifacts.mkdir()
    return subprocess.run(  # noqa: S603
        ["make", f"build-{name}", f"ARTIFACTS_DIR={artifacts}"],  # noqa: S607
        cwd=LAYERS[name],
        env={"PATH": "/usr/bin:/bin", "LAYER_INSTALL": str(install), "LAYER_PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_cannot_be_compiled_is_not_built(name: str, tmp_path: Path) -> None:
    ended = build(name, tmp_path, "")

    assert ended.returncode != 0
    assert "no python3.13 here" in ended.stderr
    assert not list((tmp_path / "artifacts").iterdir())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_compiled(name: str, tmp_path: Path) -> None:
    ended = build(name, tmp_path, sys.executable)

    assert ended.returncode == 0, ended.stderr
    sources = list((tmp_path / "artifacts").rglob("*.py"))
    assert sources
    for source in sources:
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), source
