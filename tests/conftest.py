"""What every test stands on. Pytest reads this first, so it runs before any handler is imported."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.audit_words import wordless
from tests.environment import ENVIRONMENT
from tools.dynamodb_local import DynamoDbLocalUnavailable, dynamodb_local
from tools.local_stack.emulator import ROOT, Emulator
from tools.local_stack.stack import down, up

# Nothing of the developer's own AWS configuration may reach a test, least of all credentials.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ |= ENVIRONMENT

settings.register_profile("dev", max_examples=15, deadline=None)
settings.register_profile("ci", max_examples=30, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


# By how long their tests take together. Several processes begin with the longest, or one of them
# would end long after the others.
LONGEST_FIRST = ("e2e", "browser", "emulator", "property")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests by their folder, so that `-m "not e2e"` needs no mark in any file."""
    for item in items:
        for marker in ("emulator", "e2e", "browser"):
            if marker in item.path.parts:
                item.add_marker(marker)
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folders = [index for index, name in enumerate(LONGEST_FIRST) if name in item.path.parts]
    return folders[0] if folders else len(LONGEST_FIRST)


class ByWhatTheyShare(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of one stack, of one database or of one file stay in one process and in order.

    The plugin's own groups go by a part of a test's name that pytest 9.2 does not keep.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # Otherwise the files with the most tests would come first, which are quick ones.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(("tests/e2e/", "tests/browser/")):
            return "the stack"
        return "the database" if file.startswith("tests/emulator/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Say how tests are dealt out to several processes (`pytest -n 2`)."""
    return ByWhatTheyShare(config, log)


@pytest.fixture(scope="session", autouse=True)
def every_audited_fact_has_words() -> Iterator[None]:
    """Fail whatever writes a fact into the audit that the page could only call by its name."""
    from headroom.organizations.store import audit

    write = audit._record

    def checked(key: Any, entry: Any) -> Any:
        assert not (missing := wordless({*entry.before, *entry.after})), f"without words: {missing}"
        return write(key, entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "_record", checked)
        yield


@pytest.fixture(scope="session")
def dynamodb_local_endpoint(pytestconfig: pytest.Config) -> Iterator[str]:
    """A DynamoDB that is atomic under concurrency: Amazon's, or ministack's without Java."""
    amazons = dynamodb_local()
    try:
        endpoint_url = amazons.__enter__()
    except DynamoDbLocalUnavailable as reason:
        _announce(pytestconfig, f"The races run on ministack's DynamoDB. {reason}")
        with tempfile.TemporaryDirectory(prefix="headroom-ministack-") as home:
            emulator = Emulator(Path(home))
            emulator.start(port=None, persistent=False)
            try:
                yield emulator.endpoint_url
            finally:
                emulator.stop()
        return
    try:
        yield endpoint_url
    finally:
        amazons.__exit__(None, None, None)


@pytest.fixture(scope="session")
def stack() -> Iterator[dict[str, Any]]:
    """A stack of the tests' own, deployed from the sources: the content of its stack.json.

    Its functions are held to their roles, so that a right that is missing fails a test.
    """
    emulator = Emulator(ROOT / ".local-e2e", strict=True)
    described = up(emulator, fresh=True, processor_program="tests.faulty_processor")
    try:
        yield json.loads(described.read_text())
    finally:
        down(emulator)


def _announce(config: pytest.Config, message: str) -> None:
    """Say it where it is seen at once, although pytest is keeping the output of the tests."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{message}\n")  # noqa: T201
