"""A build is named after all it is made from. What that moves: tests/e2e/test_release.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.template import TEMPLATE
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
