"""What of the table a function's code can reach, read off the sources without running them."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LAYER = ROOT / "layers" / "headroom"

READS = {"get": "GetItem", "snapshot": "GetItem", "get_many": "BatchGetItem"}
WRITES = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "Check": "ConditionCheckItem",
}
STORE = "headroom.core.store.table"


class Sources(NamedTuple):
    """By full name of a module's function or class: what it names, and what it does by itself."""

    names: dict[str, set[str]]
    rights: dict[str, set[tuple[str, str]]]


def reachable_rights(handler: Path) -> set[tuple[str, str]]:
    """Return the actions on the table, or one of its indexes, that a handler can lead to."""
    sources = _layer()
    own = Sources(defaultdict(set), defaultdict(set))
    _read(handler, "handler", own)
    seen: set[str] = set()
    rights: set[tuple[str, str]] = set()
    left = list(own.names)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        rights |= own.rights.get(name, set()) | sources.rights.get(name, set())
        left += own.names.get(name, set()) | sources.names.get(name, set())
    return rights


def reachable_modules(handler: Path) -> set[str]:
    """Return the layer's modules that a handler imports, however far away."""
    left, seen = [handler], set[str]()
    while left:
        for name in _imports(ast.parse(left.pop().read_text())).values():
            module = next((part for part in (name, name.rpartition(".")[0]) if _file(part)), None)
            if module and module not in seen:
                seen.add(module)
                left.append(LAYER / f"{module.replace('.', '/')}.py")
    return seen


@cache
def _layer() -> Sources:
    sources = Sources(defaultdict(set), defaultdict(set))
    for path in (LAYER / "headroom").rglob("*.py"):
        module = ".".join(path.relative_to(LAYER).with_suffix("").parts)
        # The table's own code is what the rights are rights to.
        if module != STORE:
            _read(path, module, sources)
    return sources


def _file(module: str) -> bool:
    return (LAYER / f"{module.replace('.', '/')}.py").is_file()


def _imports(tree: ast.Module) -> dict[str, str]:
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return imported


def _read(path: Path, module: str, sources: Sources) -> None:
    tree = ast.parse(path.read_text())
    imported = _imports(tree)
    local = {
        node.name: f"{module}.{node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    known = {**imported, **local}
    assigned = {
        target.id: f"{module}.{target.id}"
        for node in tree.body
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if isinstance(target, ast.Name)
    }
    known |= assigned
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                place = f"{module}.{name}"
            case (
                ast.Assign(targets=[ast.Name(id=name), *_])
                | ast.AnnAssign(target=ast.Name(id=name))
            ):
                place = f"{module}.{name}"
            case _:
                continue
        sources.names[place] |= set()
        for part in ast.walk(node):
            match part:
                case ast.Name(id=name) if name in known:
                    sources.names[place].add(known[name])
                case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in known:
                    sources.names[place].add(f"{known[name]}.{attr}")
            if isinstance(part, ast.Call):
                sources.rights[place] |= _rights(part, known)


def _rights(call: ast.Call, known: dict[str, str]) -> set[tuple[str, str]]:
    match call.func:
        case ast.Attribute(value=ast.Name(id="table"), attr=attr) if attr in READS:
            return {(f"dynamodb:{READS[attr]}", "table")}
        case ast.Attribute(value=ast.Attribute(attr="_table"), attr=attr) if attr in READS:
            return {(f"dynamodb:{READS[attr]}", "table")}
        case ast.Name(id=name) if known.get(name, "").startswith(f"{STORE}."):
            if name in WRITES:
                return {(f"dynamodb:{WRITES[name]}", "table")}
            if name == "Range":
                index = [each.value for each in call.keywords if each.arg == "index"]
                place = index[0].value if index and isinstance(index[0], ast.Constant) else "table"
                return {("dynamodb:Query", str(place))}
    return set()
