"""The arrows between the layers, and the tree of errors: what the house promises of itself."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from headroom.core import errors
from headroom.core.errors import HeadroomError, MethodNotAllowed

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "layers" / "headroom"
PACKAGE = LAYER / "headroom"
FUNCTIONS = ROOT / "functions"

# The capabilities, each of which may know those before it.
CAPABILITIES = (
    "core",
    "pricing",
    "organizations",
    "wallets",
    "spending",
    "limits",
    "payments",
    "billing",
    "notifications",
    "overview",
    "provisioning",
    "console",
)
# Inside of every capability, and from one to another: what each part may know.
MAY_KNOW = {
    "domain": {"domain"},
    "store": {"domain", "store"},
    "gateways": {"domain", "gateways"},
    "usecases": {"domain", "store", "gateways", "usecases"},
    "wire": {"domain", "store", "usecases", "wire"},
}
# Modules that lie in no part, and which parts may know them.
OPEN = {
    "headroom.core.errors": set(MAY_KNOW),
    "headroom.core.clock": {"wire"},
    "headroom.core.settings": {"store", "gateways", "wire"},
    "headroom.wallets.settings": {"wire"},
    "headroom.billing.settings": {"wire"},
    "headroom.pricing.price_book": {"store", "usecases", "wire"},
}
# The contract's error types and their statuses.
STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "billing_error": 429,
    "rate_limit_error": 429,
    "overloaded_error": 503,
}


def modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"there is nothing in {folder}"
    return found


def imported(module: Path) -> Iterator[str]:
    """Return the full names of the modules that a module imports, wherever it does."""
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str() as name, level=0, names=names):
                # `from headroom.store import keys` imports a module, not a name in one.
                yield from (f"{name}.{each.name}" for each in names)
            case ast.ImportFrom():
                pytest.fail(f"{module} imports by a relative path")


def is_within(name: str, known: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in known)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def place(name: str) -> tuple[str, str]:
    """Return capability and part of a module, or of a name in one; without a part it is ""."""
    capability, _, rest = name.removeprefix("headroom.").partition(".")
    part = rest.partition(".")[0]
    return capability, part if part in MAY_KNOW else ""


def own_name(module: Path) -> str:
    return ".".join(module.relative_to(LAYER).with_suffix("").parts)


def test_every_module_lies_in_a_part_of_a_capability_or_is_known_to_lie_in_none() -> None:
    for module in modules(PACKAGE):
        if module.name != "__init__.py":
            capability, part = place(own_name(module))
            assert capability in CAPABILITIES, named(module)
            assert part or own_name(module) in OPEN, named(module)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_capability_knows_only_those_before_it(capability: str) -> None:
    known = CAPABILITIES[: CAPABILITIES.index(capability) + 1]
    for module in modules(PACKAGE / capability):
        for name in imported(module):
            if is_within(name, {"headroom"}):
                assert place(name)[0] in known, f"{named(module)} knows {name}"


@pytest.mark.parametrize("part", MAY_KNOW)
def test_the_arrows_between_the_parts_point_inward(part: str) -> None:
    for module in modules(PACKAGE):
        if place(own_name(module))[1] != part:
            continue
        for name in imported(module):
            if not is_within(name, {"headroom", "functions"}):
                continue
            open_to = next((parts for each, parts in OPEN.items() if is_within(name, {each})), None)
            allowed = part in open_to if open_to else place(name)[1] in MAY_KNOW[part]
            assert allowed, f"{named(module)} knows {name}"


def test_the_domain_knows_the_standard_library_and_itself() -> None:
    for module in modules(PACKAGE):
        if place(own_name(module))[1] == "domain":
            for name in imported(module):
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or top == "headroom", name


def test_the_layer_knows_no_function_and_no_function_another() -> None:
    for module in modules(PACKAGE):
        assert not any(is_within(name, {"functions"}) for name in imported(module)), named(module)
    for module in modules(FUNCTIONS):
        assert not any(is_within(name, {"functions"}) for name in imported(module)), named(module)


def test_only_handlers_read_the_environment() -> None:
    """They hand it to `Settings`; nobody else knows that there is one."""
    readers = {
        named(module)
        for module in [*modules(PACKAGE), *modules(FUNCTIONS)]
        if re.search(r"\bos\.(environ|getenv)\b|from os import", module.read_text())
    }

    handlers = {named(module) for module in FUNCTIONS.glob("*/handler.py")}
    assert readers <= handlers
    for handler in readers:
        text = (ROOT / handler).read_text()
        uses = re.findall(r"(\w+)\(os\.environ\)", text)
        assert len(uses) == text.count("os.environ"), f"{handler} reads a variable by itself"
        assert set(uses) == {"from_env"}


def test_the_domain_neither_asks_for_the_time_nor_counts_in_floats() -> None:
    for module in modules(PACKAGE):
        if place(own_name(module))[1] != "domain":
            continue
        text = module.read_text()
        assert not re.search(r"\b(utcnow|now|today|time\.time)\(", text), named(module)
        assert not re.search(r"[:\[>] ?float\b|\bfloat\(", text), named(module)


def test_only_the_clock_asks_the_machine_for_the_time() -> None:
    """A test clock that one function does not follow would close a month that others still use."""
    askers = {
        named(module)
        for module in [*modules(PACKAGE), *modules(FUNCTIONS)]
        if re.search(r"\b(utcnow|datetime\.now|time\.time)\(", module.read_text())
    }

    assert askers == {"layers/headroom/headroom/core/clock.py"}


def every_kind(root: type[HeadroomError]) -> set[type[HeadroomError]]:
    return {root}.union(*(every_kind(kind) for kind in root.__subclasses__()))


@pytest.fixture(scope="module")
def kinds() -> set[type[HeadroomError]]:
    """Every way to fail, wherever in the layer it is written down."""
    import importlib

    for module in modules(PACKAGE):
        name = ".".join(module.relative_to(LAYER).with_suffix("").parts)
        importlib.import_module(name.removesuffix(".__init__"))
    return every_kind(HeadroomError)


def test_every_failure_has_a_type_of_the_contract_and_its_status(
    kinds: set[type[HeadroomError]],
) -> None:
    # What is wrong with the method has a status of its own in HTTP.
    for kind in kinds - {MethodNotAllowed}:
        assert STATUS_OF[kind.type] == kind.status, kind


def test_every_type_of_the_contract_can_happen(kinds: set[type[HeadroomError]]) -> None:
    assert {kind.type for kind in kinds} == STATUS_OF.keys()


def test_failures_with_one_type_are_of_one_family(kinds: set[type[HeadroomError]]) -> None:
    """Clients branch on the type; two meanings may not share one."""
    for kind in kinds - {HeadroomError}:
        (family,) = [root for root in HeadroomError.__subclasses__() if issubclass(kind, root)]
        assert kind.type == family.type
    types = [kind.type for kind in HeadroomError.__subclasses__()]
    assert len(types) == len(set(types))


def test_whatever_may_be_retried_says_when(kinds: set[type[HeadroomError]]) -> None:
    for kind in kinds:
        if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
            assert kind.retryable
            assert (kind.retry_after_seconds or 0) >= 1
        if kind.status < HTTPStatus.TOO_MANY_REQUESTS:
            assert not kind.retryable


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    told = re.findall(r"^  - (\w+) +(\d{3})  (\w+)", errors.__doc__ or "", re.MULTILINE)

    true = [
        (kind.__name__, str(kind.status.value), kind.type)
        for kind in HeadroomError.__subclasses__()
        if kind.__module__ == errors.__name__
    ]
    assert told == true
