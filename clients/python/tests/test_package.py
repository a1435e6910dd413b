"""The package that is built from here installs where nothing else is, and works there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from clients.python.tests.headroom_server import HeadroomServer
from clients.python.tests.test_readme import CLIENT, README, SNIPPETS

PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]


def pip(*arguments: str, folder: Path = CLIENT) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *arguments],
        cwd=folder,
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as `pip install ./clients/python` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(CLIENT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that was empty before the package came."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", str(wheel))
    return python


def run(python: Path, program: str, folder: Path, **environment: str) -> str:
    """Return what the program prints, which sees the environment's packages and no others."""
    ended = subprocess.run(
        [str(python), "-W", "error", "-c", program],
        cwd=folder,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_the_package_holds_every_module_and_its_types(wheel: Path) -> None:
    source = CLIENT / "src"
    expected = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == expected
    assert "headroom_client/py.typed" in packed


def test_it_needs_one_package_and_offers_two_extras(wheel: Path) -> None:
    found = metadata(wheel)
    needs = [need for need in found.get_all("Requires-Dist", []) if "extra ==" not in need]

    assert found["Version"] == PROJECT["version"]
    assert [re.split(r"[^\w.-]", need)[0] for need in needs] == ["httpx2"]
    assert set(found.get_all("Provides-Extra", [])) == {"anthropic", "litellm"}


def test_it_works_where_nothing_else_is_installed(
    installed: Path, headroom: HeadroomServer, tmp_path: Path
) -> None:
    """The README's way without the SDK, from the hold to the line in the ledger."""
    said = run(
        installed,
        SNIPPETS[3],
        tmp_path,
        HEADROOM_BASE_URL=headroom.base_url,
        HEADROOM_API_KEY=headroom.key,
    )

    assert "recorded 0.4995 cents" in said
    assert [line.charged for line in headroom.lines()] == [4_995_000]
    assert headroom.holds() == 0


def test_it_is_what_was_installed_and_says_which_it_is(installed: Path, tmp_path: Path) -> None:
    program = """
import importlib.metadata, importlib.resources, importlib.util, headroom_client
print(importlib.metadata.version("headroom-client"))
print(headroom_client.__file__)
print(importlib.resources.files(headroom_client).joinpath("py.typed").is_file())
print(importlib.util.find_spec("anthropic"))
"""
    found, where, typed, anthropic = run(installed, program, tmp_path).splitlines()

    assert found == PROJECT["version"]
    assert Path(where).is_relative_to(installed.parents[1])
    assert typed == "True"
    assert anthropic == "None", "the environment is not empty"


@pytest.mark.parametrize("command", re.findall(r"^pip .*$", README, re.MULTILINE))
def test_what_the_readme_installs_is_here_with_the_extra(installed: Path, command: str) -> None:
    """Without the extra's own packages: the proxy's take minutes, and other tests have them."""
    _, verb, place = shlex.split(command)
    extra = place.partition("[")[2].rstrip("]")

    pip("--python", str(installed), verb, "--dry-run", "--no-deps", place, folder=CLIENT.parents[1])
    assert extra in PROJECT["optional-dependencies"]
