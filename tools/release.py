"""Name what was built after all that it is made from, so that its functions are published anew.

python -m tools.release .aws-sam/build/template.yaml

SAM publishes a version of a function, and moves its alias there, when it sees a change in the
template: of code and layers, but not of a parameter's value, which is filled in later. The name
stands in the environment of every function, and is another when samconfig.toml is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tools.local_stack.emulator import ROOT

SOURCES: Final = (
    "template.yaml",
    "samconfig.toml",
    "functions",
    "layers/documents",
    "layers/headroom",
    "requirements/sam.txt",
    "requirements/stack.txt",
)
UNNAMED: Final = "RELEASE: unnamed"
LENGTH: Final = 16


class CannotName(Exception):
    """What was built has no place for a name, or one that is taken."""


def fingerprint(parameters: Mapping[str, str]) -> str:
    """Return a hash that changes whenever something that is deployed does, or its parameters."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for path in _source_files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def name(template: Path, made_from: str) -> None:
    """Name a built template after the fingerprint of what it was made from.

    Raises:
        CannotName: it has a name already, or is none of ours.
    """
    text = template.read_text()
    if UNNAMED not in text:
        raise CannotName(f"{template}: there is no {UNNAMED!r} in it; build it first")
    template.write_text(text.replace(UNNAMED, f"RELEASE: r{made_from[:LENGTH]}"))


def _source_files() -> Iterator[Path]:
    for each in SOURCES:
        source = ROOT / each
        candidates = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in candidates:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


if __name__ == "__main__":
    name(Path(sys.argv[1]), fingerprint({}))
