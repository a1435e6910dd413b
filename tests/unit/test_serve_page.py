"""The page is files that load nothing from elsewhere, under addresses that change with them."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from functions.serve_page import handler as page_handler
from functions.serve_page.handler import HERE, release
from functions.serve_page.handler import handler as serve
from headroom.core.wire.static import Release
from headroom.organizations.domain.audit import Action, member_facts, organization_facts
from headroom.organizations.domain.roles import MAY_GIVE
from headroom.organizations.store.organizations import find_member
from tests.audit_words import wordless
from tests.contract.governing import ANN, House
from tools.local_stack.emulator import ROOT
from tools.local_stack.issuer import ISSUER

EVENT = json.loads((ROOT / "events" / "serve_page" / "page.json").read_text())
ASSETS = HERE / "assets"
MODULES = sorted(ASSETS.rglob("*.js"))
# What a first visit may weigh on the wire.
BYTES_MAX = 100_000


@dataclass
class Context:
    function_name: str = "serve_page"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:serve_page"
    aws_request_id: str = "c0ffee"


def get(path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    http = {**EVENT["requestContext"]["http"], "method": method, "path": path}
    context = {**EVENT["requestContext"], "http": http}
    event = {**EVENT, "rawPath": path, "headers": headers, "requestContext": context}
    return serve(event, Context())  # type: ignore[arg-type]


def text(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["body"]).decode()


def asset(name: str) -> str:
    return f"/settings/assets/{release.digest}/{name}"


def test_the_sample_event_is_answered_with_the_page_compressed() -> None:
    answer = serve(EVENT, Context())  # type: ignore[arg-type]
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-encoding"] == "gzip"
    page = gzip.decompress(base64.b64decode(answer["body"])).decode()
    assert page == text(get("/settings/usage"))
    assert page.startswith("<!doctype html>")


def test_the_policy_allows_its_own_files_and_the_issuers_token_endpoint_only() -> None:
    headers = get("/settings/usage")["headers"]
    policy = dict(
        directive.split(" ", 1) for directive in headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' {ISSUER}"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("missing", ["authorization_endpoint", "token_endpoint"])
def test_with_half_a_sign_in_the_page_has_none(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without: dict[str, Any] = {missing: ""}
    monkeypatch.setattr(page_handler, "settings", replace(page_handler.settings, **without))

    assert json.loads(page_handler._build_config().content)["sign_in"] is None


def test_everything_that_the_page_names_is_served_for_ever() -> None:
    page = text(get("/settings/usage"))
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert named
    for address in named:
        answer = get(f"/settings/{address}")
        assert answer["statusCode"] == 200, address
        assert "immutable" in answer["headers"]["cache-control"]
        assert answer["headers"]["x-content-type-options"] == "nosniff"


def test_every_module_is_fetched_ahead_and_imports_only_what_is_there() -> None:
    page = text(get("/settings/usage"))
    for module in MODULES:
        name = module.relative_to(ASSETS).as_posix()
        assert f'<link rel="modulepreload" href="assets/{release.digest}/{name}">' in page
        for imported in re.findall(r'from "([^"]+)"', module.read_text()):
            assert (module.parent / imported).resolve() in MODULES, f"{name}: {imported}"


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.*")), ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere_and_nothing_is_read_as_html(path: Path) -> None:
    content = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", content)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", content
    )


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_change_that_is_audited_has_words(language: str) -> None:
    words = json.loads((ASSETS / "i18n" / f"{language}.json").read_text())
    house = House()
    for kind, name in (("organization", ""), ("seat_tier", "premium"), ("user", ANN)):
        for period in ("daily", "weekly", "monthly"):
            if (kind, period) not in (("organization", "daily"), ("organization", "weekly")):
                house.limit(kind, name, 100, period)  # type: ignore[arg-type]
    member = find_member(house.table, house.org_id, ANN)
    assert member is not None
    facts = {**organization_facts(house.organization), **member_facts(member)}

    assert "seat_tiers.premium.weekly" in facts
    assert {f"action.{action}" for action in get_args(Action)} <= words.keys()
    assert wordless(facts) == set()


def notes_of(module: Path) -> set[str]:
    """Return the codes of all notes that a module can put on a line."""
    tree = ast.parse(module.read_text())
    named: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.expr() as value)]):
                named[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                named[name] = value

    def code(value: ast.expr) -> str:
        match value:
            case ast.Constant(value=str() as whole):
                return whole
            case ast.JoinedStr(values=[ast.Constant(value=str() as begin), *_]):
                return begin.partition(":")[0]
            case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
                return code(named[name])
        raise AssertionError(f"{module.name} writes a note that is not understood here")

    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="notes"), attr="append"), args=[value]
            ):
                found.add(code(value))
            case ast.Assign(
                targets=[ast.Name(id="notes")], value=ast.IfExp(body=ast.List(elts=values))
            ):
                found |= set(map(code, values))
    return found


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_note_of_a_line_has_words(language: str) -> None:
    codes: set[str] = set()
    for module in sorted((ROOT / "layers/headroom/headroom").rglob("*.py")):
        codes |= notes_of(module)

    assert {"late", "unbilled", "refused_before_output", "declined_without_output"} <= codes
    assert len(codes) >= 8
    assert {f"note.{code}" for code in codes} <= words(language).keys()


def test_the_page_offers_the_roles_that_the_api_lets_people_give() -> None:
    module = (ASSETS / "views" / "members.js").read_text()
    table = re.search(r"const MAY_GIVE = (\{.*\});", module)
    assert table is not None
    offered = json.loads(table[1])

    assert {role: set(given) for role, given in offered.items()} == {
        role: given for role, given in MAY_GIVE.items() if role is not None and given
    }


def test_a_first_visit_is_light() -> None:
    names = ["app.css", "mark.svg", "i18n/en.json", *release.names(".js")]
    files = [release.find(name) for name in names]
    assert sum(len(file.compressed) for file in files if file) < BYTES_MAX
    assert all(files)


def test_another_content_has_another_address(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("one")
    one = Release(tmp_path).digest
    assert Release(tmp_path).digest == one
    (tmp_path / "app.js").write_text("two")
    assert Release(tmp_path).digest != one


@pytest.mark.parametrize(
    "path",
    [
        "/settings/assets/0000000000000000/app.js",
        asset("../handler.py"),
        asset("..%2Fhandler.py"),
        asset(""),
        asset("views"),
        "/settings/handler.py",
        "/v1/me/extra_usage",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    answer = get(path)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["error"]["type"] == "not_found_error"


def test_only_reading_is_answered() -> None:
    assert get("/settings/usage", method="POST")["statusCode"] == 404


@pytest.mark.parametrize(
    ("path", "location"),
    [("/", "settings/usage"), ("/settings", "settings/usage"), ("/settings/", "usage")],
)
def test_the_front_door_leads_to_the_page(path: str, location: str) -> None:
    answer = get(path)
    assert (answer["statusCode"], answer["headers"]["location"]) == (302, location)


def test_the_configuration_names_the_issuer_and_no_secret() -> None:
    config = json.loads(text(get("/settings/config.json")))
    assert config["sign_in"]["authorization_endpoint"] == f"{ISSUER}/authorize"
    # Client and API have one name here, so the identity token is the one made out to the API.
    assert config["sign_in"]["token"] == "id_token"
    assert config["payment_methods_url"] is None


# Words.


def words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((ASSETS / "i18n" / f"{language}.json").read_text())
    return found


def test_both_languages_say_everything_with_the_same_values() -> None:
    english, french = words("en"), words("fr")
    assert english.keys() == french.keys()
    for key in english:
        filled = [set(re.findall(r"\{(\w+)\}", each[key])) for each in (english, french)]
        assert filled[0] == filled[1], key
    same = {key for key in english if english[key] == french[key]}
    assert len(same) < len(english) / 10


def test_every_word_that_the_modules_ask_for_is_there() -> None:
    english = words("en")
    for module in MODULES:
        source = module.read_text()
        asked = set(re.findall(r'\bt\("([^"]+)"', source))
        asked |= {
            key
            for pair in re.findall(r'\bt\([^"()]*\? "([^"]+)" : "([^"]+)"', source)
            for key in pair
        }
        missing = {key for key in asked if key not in english and f"{key}.other" not in english}
        assert not missing, f"{module.name} asks for {missing}"
        for stem in re.findall(r"\bt\(`([\w.]+)\$", source):
            assert any(key.startswith(stem) for key in english), stem
