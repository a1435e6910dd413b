"""Every route, every role, every scope, and credentials of another organization."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headroom.billing.domain.invoice import Additions, Invoice, invoice_id
from headroom.billing.store.invoices import issue
from headroom.billing.usecases.document_files import paper_name
from headroom.billing.usecases.period_sums import Share
from headroom.core.clock import Clock
from headroom.organizations.domain.organization import ROLES
from headroom.organizations.domain.scopes import SCOPES
from headroom.organizations.gateways.oidc import OidcIdentity, fetch_keys_from
from headroom.organizations.store.credentials import put_key
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.authentication import Callers
from headroom.organizations.wire.rights import ANY, RIGHTS
from headroom.organizations.wire.routes import Api
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from tests.memory_files import MemoryFiles
from tests.memory_table import MemoryTable
from tests.webhook_scene import KEY, MemoryQueue
from tools.local_stack.issuer import AUDIENCE, ISSUER, ORGANIZATION_CLAIM, Issuer

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
PARAMETER = re.compile(r"<(\w+)>")

# A path that leads somewhere, for each name in a route.
EXAMPLES = {
    "seat_tier": "standard",
    "user_id": "user_example",
    "key_id": "key_" + "0" * 20,
    "spend_limit_id": "spl_example",
    "request_id": "slir_" + "0" * 20,
    "authorization_id": "auth_example",
    "invoice_id": "inv_202611i0123456789abcdef",
    "payment_id": "top_" + "0" * 24,
    "endpoint_id": "whe_" + "0" * 20,
    "delivery_id": "whd_" + "0" * 24,
}


@dataclass(frozen=True)
class Context:
    function_name: str = "test"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:test"
    aws_request_id: str = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def handlers() -> list[ModuleType]:
    """Every function that answers requests."""
    found = [
        importlib.import_module(f"functions.{path.parent.name}.handler")
        for path in sorted(FUNCTIONS.glob("*/handler.py"))
    ]
    return [module for module in found if isinstance(getattr(module, "api", None), Api)]


def registered() -> dict[tuple[str, str], ModuleType]:
    """Every route that a handler answers, with its handler, as the resolver itself knows them."""
    routes: dict[tuple[str, str], ModuleType] = {}
    for module in handlers():
        for place in module.api.routes:
            routes[place] = module
    return routes


ROUTES = {
    place: module
    for place, module in registered().items()
    # What describes the interface itself is open to everybody, and says nothing of anybody.
    if place[1].startswith("/v1/")
}
IDS = [f"{method} {rule}" for method, rule in ROUTES]


class House:
    """Two organizations in one table, with a person of each role and a key of each scope."""

    def __init__(self, issuer: Issuer) -> None:
        self.table = MemoryTable()
        self.files = MemoryFiles()
        self.now = datetime.now(UTC)
        self.issuer = issuer
        self.org_id = self._organization("house")
        self.foreign_org_id = self._organization("foreign")

    def _organization(self, name: str) -> str:
        document = {
            "id": name,
            "plan": "enterprise",
            "name": name,
            "extra_usage": {"enabled": True, "members": "everyone"},
            "spend_limit": "1000",
            "members": [
                {
                    "user_id": f"user_{name}_{role}",
                    "name": role,
                    "email": f"{role}@{name}.example",
                    "role": role,
                    "continue_with_extra_usage": True,
                }
                for role in ROLES
            ],
        }
        return str(provision(self.table, parse_provisioning(document), self.now)["id"])

    def person(self, role: str) -> dict[str, str]:
        token = self.issuer.token(self.org_id, f"user_house_{role}")
        return {"authorization": f"Bearer {token}"}

    def key(self, *scopes: str) -> dict[str, str]:
        secret, key = new_key(self.org_id, "test", scopes)
        self.table.transact(list(put_key(key, self.now)))
        return {"x-api-key": secret}

    def connect(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "table", self.table)
        # What a function has beside the table, if it has it.
        monkeypatch.setattr(module, "queue", MemoryQueue(), raising=False)
        monkeypatch.setattr(module, "files", self.files, raising=False)
        monkeypatch.setattr(module, "read_key", lambda: KEY, raising=False)
        monkeypatch.setattr(module, "pause", lambda seconds: None, raising=False)
        monkeypatch.setattr(module.api, "_table", self.table)
        monkeypatch.setattr(module.api, "_callers", Callers())
        identity = OidcIdentity(
            issuer=ISSUER,
            audience=AUDIENCE,
            organization_claim=ORGANIZATION_CLAIM,
            fetch_keys=fetch_keys_from(self.issuer.parameters()["OidcKeys"]),
        )
        monkeypatch.setattr(module.api, "_identity", identity)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer") / "key.pem")


@pytest.fixture
def house(issuer: Issuer) -> House:
    return House(issuer)


def call(
    module: ModuleType,
    method: str,
    path: str,
    headers: dict[str, str],
    body: object | None = None,
) -> tuple[int, dict[str, Any]]:
    answer = respond(module, method, path, headers, body)
    if answer["isBase64Encoded"]:
        return int(answer["statusCode"]), {}
    return int(answer["statusCode"]), json.loads(answer["body"])


def respond(
    module: ModuleType,
    method: str,
    path: str,
    headers: dict[str, str],
    body: object | None = None,
) -> dict[str, Any]:
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {
            "http": {"method": method, "path": path},
            "requestId": "request",
            "stage": "$default",
        },
    }
    answer: dict[str, Any] = module.handler(event, Context())
    return answer


def filled(rule: str) -> str:
    return PARAMETER.sub(lambda found: EXAMPLES[found[1]], rule)


def test_the_matrix_names_every_route_and_no_other() -> None:
    assert set(ROUTES) == set(RIGHTS)


def test_no_two_functions_answer_one_route() -> None:
    counted = [
        place for module in handlers() for place in module.api.routes if place[1].startswith("/v1/")
    ]
    assert len(counted) == len(ROUTES)


@pytest.mark.parametrize(("method", "rule"), ROUTES, ids=IDS)
@pytest.mark.parametrize("role", ROLES)
def test_a_person_may_what_their_role_may(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str, rule: str, role: str
) -> None:
    module = ROUTES[method, rule]
    house.connect(module, monkeypatch)

    status, body = call(module, method, filled(rule), house.person(role), {})

    if role in RIGHTS[method, rule].roles:
        assert status in {200, 400, 404, 409}
    else:
        assert (status, body["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize(("method", "rule"), ROUTES, ids=IDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_may_what_its_scope_may(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str, rule: str, scope: str
) -> None:
    module = ROUTES[method, rule]
    house.connect(module, monkeypatch)

    status, body = call(module, method, filled(rule), house.key(scope), {})

    if {ANY, scope}.intersection(RIGHTS[method, rule].scopes):
        assert status in {200, 400, 404, 409}
    else:
        assert (status, body["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize(("method", "rule"), ROUTES, ids=IDS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "sk-headroom-admin-guessed"},
        {"authorization": "Bearer sk-headroom-admin-guessed"},
        {"authorization": "Bearer a.b.c"},
        {"authorization": "Basic YTpi"},
    ],
)
def test_nobody_else_may_anything(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    rule: str,
    headers: dict[str, str],
) -> None:
    module = ROUTES[method, rule]
    house.connect(module, monkeypatch)

    status, body = call(module, method, filled(rule), headers, {})

    assert (status, body["error"]["type"]) == (401, "authentication_error")


def test_members_reach_only_what_is_about_themselves() -> None:
    """Prices are about nobody."""
    reached = {rule for (_, rule), right in RIGHTS.items() if "member" in right.roles}
    reached.remove("/v1/prices")
    assert {rule.startswith("/v1/me/") for rule in reached} == {True}


def test_what_reads_asks_for_a_reading_scope_and_what_changes_for_a_writing_one() -> None:
    for (method, rule), right in RIGHTS.items():
        for scope in right.scopes:
            if scope == ANY:
                assert method == "GET", rule
            else:
                assert scope.startswith("read:" if method == "GET" else "write:"), rule


def test_service_keys_do_not_administer_and_admin_keys_do_not_meter() -> None:
    for (_, rule), right in RIGHTS.items():
        if ANY in right.scopes:
            continue
        administers = rule.startswith(("/v1/organizations", "/v1/me"))
        assert administers == ("write:usage" not in right.scopes), rule


def objects_of(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Real ids of objects of `house`, by their name in a route."""
    admin = importlib.import_module("functions.administer_organization.handler")
    member = importlib.import_module("functions.serve_member.handler")
    spend = importlib.import_module("functions.authorize_spend.handler")
    for module in (admin, member, spend):
        house.connect(module, monkeypatch)
    owner, user = house.person("owner"), "user_house_member"
    scope = {"type": "user", "user_id": user}
    limit = call(
        admin,
        "POST",
        "/v1/organizations/spend_limits",
        owner,
        {"scope": scope, "amount": "500"},
    )
    key = call(
        admin,
        "POST",
        "/v1/organizations/api_keys",
        owner,
        {"name": "k", "scopes": ["write:usage"]},
    )
    request = call(
        member, "POST", "/v1/me/spend_limit_increase_requests", house.person("member"), {}
    )
    hold = call(
        spend,
        "POST",
        "/v1/authorizations",
        house.key("write:usage"),
        {"user_id": user, "model": "claude-sonnet-4-5", "input_tokens": 10, "max_tokens": 10},
    )
    notifications = importlib.import_module("functions.administer_notifications.handler")
    house.connect(notifications, monkeypatch)
    endpoints = "/v1/organizations/webhook_endpoints"
    hook = {"url": "https://house.example/hook"}
    endpoint = call(notifications, "POST", endpoints, owner, hook)
    delivery = call(notifications, "POST", f"{endpoints}/{endpoint[1]['id']}/test", owner)
    assert [limit[0], key[0], request[0], hold[0], endpoint[0], delivery[0]] == [200] * 6
    return {
        "seat_tier": "standard",
        "user_id": user,
        "spend_limit_id": limit[1]["id"],
        "key_id": key[1]["id"],
        "request_id": request[1]["id"],
        "authorization_id": hold[1]["id"],
        "invoice_id": invoice_of(house, monkeypatch),
        "endpoint_id": endpoint[1]["id"],
        "delivery_id": delivery[1]["id"],
    }


def invoice_of(house: House, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put an invoice on file, as the close of a month does."""
    billing = importlib.import_module("functions.serve_billing.handler")
    house.connect(billing, monkeypatch)
    draft = Invoice(
        org_id=house.org_id,
        invoice_id=invoice_id(house.org_id, "invoice", "2026-10"),
        number="",
        kind="invoice",
        period="2026-10",
        starts_at=datetime(2026, 10, 1, tzinfo=UTC),
        ends_at=datetime(2026, 11, 1, tzinfo=UTC),
        currency="USD",
        subtotal=0,
        rounding=0,
        taxes=(),
        issued_at=house.now,
        due_at=house.now,
    )
    Share.empty().file(house.files, house.org_id, "2026-10", draft.invoice_id, 0, Additions())
    house.files.put(paper_name(house.org_id, draft.invoice_id), b"%PDF", "application/pdf")
    return issue(house.table, draft, None).invoice_id


BODIES: dict[str, Any] = {
    "/v1/organizations/members/<user_id>": {"extra_usage": True},
    "/v1/organizations/spend_limit_increase_requests/<request_id>/approve": {"amount": "1"},
    "/v1/authorizations/<authorization_id>/extend": {"ttl_seconds": 60},
    "/v1/organizations/webhook_endpoints/<endpoint_id>": {"status": "enabled"},
}
# Every organization has seat tiers; none of these has a wallet, whose payments are looked at where
# wallets are.
WITH_OBJECTS = [
    place
    for place in ROUTES
    if "<" in place[1] and "seat_tier" not in place[1] and "/wallet/" not in place[1]
]


@pytest.mark.parametrize(
    ("method", "rule"), WITH_OBJECTS, ids=[f"{method} {rule}" for method, rule in WITH_OBJECTS]
)
def test_another_organizations_object_is_not_there(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str, rule: str
) -> None:
    """And it is there for its own, so that the 404 says what it seems to say."""
    objects = objects_of(house, monkeypatch)
    path = PARAMETER.sub(lambda found: objects[found[1]], rule)
    module = ROUTES[method, rule]
    body = BODIES.get(rule)
    right = RIGHTS[method, rule]

    def credential() -> dict[str, str]:
        return house.key(*right.scopes) if right.scopes else house.person("owner")

    own = credential()
    house.org_id, ours = house.foreign_org_id, house.org_id
    foreign = (
        {"authorization": f"Bearer {house.issuer.token(house.org_id, 'user_foreign_owner')}"}
        if not right.scopes
        else credential()
    )
    house.org_id = ours
    before = {key: item for key, item in house.table.items.items() if f"ORG#{ours}" in key.pk}

    status, answer = call(module, method, path, foreign, body)

    assert (status, answer["error"]["type"]) == (404, "not_found_error")
    after = {key: item for key, item in house.table.items.items() if f"ORG#{ours}" in key.pk}
    assert after == before
    assert call(module, method, path, own, body)[0] == 200


def test_a_list_shows_nothing_of_another_organization(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects_of(house, monkeypatch)
    foreign = {
        "authorization": f"Bearer {house.issuer.token(house.foreign_org_id, 'user_foreign_owner')}"
    }
    for (method, rule), module in ROUTES.items():
        if method == "GET" and "<" not in rule:
            house.connect(module, monkeypatch)
            status, body = call(module, method, rule, foreign)
            # These organizations are invoiced, and have no wallet.
            assert status == (400 if "/wallet" in rule else 200), rule
            assert "user_house" not in json.dumps(body), rule
            assert house.org_id not in json.dumps(body), rule


def test_a_limit_for_a_member_of_another_organization_is_a_404(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ROUTES["POST", "/v1/organizations/spend_limits"]
    house.connect(module, monkeypatch)
    scope = {"type": "user", "user_id": "user_foreign_member"}

    status, _ = call(
        module,
        "POST",
        "/v1/organizations/spend_limits",
        house.person("owner"),
        {"scope": scope, "amount": "1"},
    )

    assert status == 404


def test_a_revoked_key_opens_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ROUTES["GET", "/v1/organizations/api_keys"]
    house.connect(module, monkeypatch)
    owner = house.person("owner")
    made = call(
        module,
        "POST",
        "/v1/organizations/api_keys",
        owner,
        {"name": "k", "scopes": ["read:spend_limits"]},
    )[1]
    key = {"x-api-key": made["secret"]}
    assert call(module, "GET", "/v1/organizations/members", key)[0] == 200

    assert call(module, "DELETE", f"/v1/organizations/api_keys/{made['id']}", owner)[0] == 200
    # Another process, or this one after the seconds for which it remembers whom it checked.
    monkeypatch.setattr(module.api, "_callers", Callers())

    assert call(module, "GET", "/v1/organizations/members", key)[0] == 401
    listed = call(module, "GET", "/v1/organizations/api_keys", owner)[1]["data"]
    assert {row["id"]: row["status"] for row in listed}[made["id"]] == "revoked"
    assert made["secret"] not in json.dumps(listed)


def test_keys_may_be_sent_as_a_bearer_token(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the clients of the Anthropic Admin API do."""
    module = ROUTES["GET", "/v1/organizations/members"]
    house.connect(module, monkeypatch)
    secret = house.key("read:spend_limits")["x-api-key"]

    status, _ = call(
        module, "GET", "/v1/organizations/members", {"authorization": f"Bearer {secret}"}
    )

    assert status == 200


def test_the_sixty_first_call_in_a_minute_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ROUTES["GET", "/v1/organizations/spend_limits"]
    house.connect(module, monkeypatch)
    frozen = datetime(2026, 11, 23, 12, 0, 42, tzinfo=UTC)

    class Frozen(Clock):
        def now(self) -> datetime:
            return frozen

    monkeypatch.setattr(module.api, "_clock", Frozen())
    key = house.key("read:spend_limits")
    paths = ["", "/effective"]
    statuses = [
        call(module, "GET", f"/v1/organizations/spend_limits{paths[index % 2]}", key)[0]
        for index in range(60)
    ]
    assert statuses == [200] * 60

    path = "/v1/organizations/spend_limits"
    refused = respond(module, "GET", path, key)
    assert refused["statusCode"] == 429
    assert json.loads(refused["body"])["error"]["type"] == "rate_limit_error"
    assert refused["headers"]["retry-after"] == "18"

    frozen = datetime(2026, 11, 23, 12, 1, 0, tzinfo=UTC)
    assert call(module, "GET", path, key)[0] == 200
