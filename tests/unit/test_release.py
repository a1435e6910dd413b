"""What is deployed anew is published anew: code, layers, and the values of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.template import TEMPLATE, template
from tools import release


def test_a_build_is_named_once(tmp_path: Path) -> None:
    built = tmp_path / "template.yaml"
    built.write_text(TEMPLATE.read_text())

    release.name(built, release.fingerprint({"Stage": "prod"}))

    assert release.UNNAMED not in built.read_text()
    assert f"RELEASE: r{release.fingerprint({'Stage': 'prod'})[:16]}" in built.read_text()
    with pytest.raises(release.CannotName, match="build it first"):
        release.name(built, release.fingerprint({}))


def test_another_value_of_a_parameter_is_another_name() -> None:
    one, other = (release.fingerprint({"LogLevel": level}) for level in ("INFO", "DEBUG"))

    assert one[: release.LENGTH] != other[: release.LENGTH]
    assert one == release.fingerprint({"LogLevel": "INFO"})


def test_every_alias_moves_when_a_layer_or_the_name_changes() -> None:
    """SAM by itself looks at a function's own code, and most of ours is in the layers."""
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    functions = [
        each["Properties"]
        for each in template()["Resources"].values()
        if "AutoPublishAlias" in each.get("Properties", {})
    ]

    assert f"RELEASE: {variables['RELEASE']}" == release.UNNAMED
    assert template()["Globals"]["LayerVersion"]["PublishLambdaVersion"] is True
    assert len(functions) >= 10
    assert all(each["AutoPublishAliasAllProperties"] is True for each in functions)
