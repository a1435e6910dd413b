"""Every route of the API over a table in memory, called as its strongest caller would."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from headroom.organizations.domain.identity import Person
from headroom.organizations.domain.scopes import SERVICE_SCOPES
from headroom.organizations.store.credentials import put_key
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.authentication import Callers
from headroom.organizations.wire.routes import Api
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from tests.fake_payments import FakePayments
from tests.in_process import Answer, Context
from tests.memory_files import MemoryFiles
from tests.memory_table import MemoryTable
from tests.webhook_scene import KEY, MemoryQueue

FUNCTIONS: Final = Path(__file__).resolve().parents[1] / "functions"
PARAMETER: Final = re.compile(r"<(\w+)>")
OWNER, MEMBER = "user_olga", "user_ann"


def answering() -> dict[tuple[str, str], ModuleType]:
    """Return every route, with the function that answers it."""
    routes: dict[tuple[str, str], ModuleType] = {}
    for path in sorted(FUNCTIONS.glob("*/handler.py")):
        module = importlib.import_module(f"functions.{path.parent.name}.handler")
        if isinstance(getattr(module, "api", None), Api):
            routes |= dict.fromkeys(module.api.routes, module)
    return routes


ROUTES: Final = answering()


@dataclass(frozen=True, slots=True)
class Trusting:
    """Takes a token for what it says: organization and user, with a space between."""

    def identify(self, token: str, now: datetime) -> Person:
        return Person(*token.split())


class Site:
    """An organization with an owner and a member on a table of its own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, plan: str = "enterprise", name: str = "site"
    ) -> None:
        self.table = MemoryTable()
        self.now = datetime.now(UTC)
        self.payments = FakePayments(self.now)
        self.org_id = self.provision(plan, name)
        secret, key = new_key(self.org_id, "service", SERVICE_SCOPES)
        self.table.transact(list(put_key(key, self.now)))
        self.service_key = secret
        files = MemoryFiles()
        for module in set(ROUTES.values()):
            monkeypatch.setattr(module, "table", self.table)
            monkeypatch.setattr(module, "queue", MemoryQueue(), raising=False)
            monkeypatch.setattr(module, "files", files, raising=False)
            monkeypatch.setattr(module, "payments", self.payments, raising=False)
            monkeypatch.setattr(module, "CALLS_A_MINUTE", 1_000_000, raising=False)
            monkeypatch.setattr(module, "read_key", lambda: KEY, raising=False)
            monkeypatch.setattr(module, "pause", self.let_pass, raising=False)
            monkeypatch.setattr(module.api, "_table", self.table)
            monkeypatch.setattr(module.api, "_callers", Callers())
            monkeypatch.setattr(module.api, "_identity", Trusting())

    def let_pass(self, seconds: float) -> None:
        """Let what processes remember of their callers get older by so much."""
        for module in set(ROUTES.values()):
            known = module.api._callers._known
            for secret, (since, caller) in known.items():
                known[secret] = since - timedelta(seconds=seconds), caller

    def provision(self, plan: str, name: str, **others: Any) -> str:
        document = {
            "id": name,
            "plan": plan,
            "name": name,
            "extra_usage": {"enabled": True, "members": "everyone"},
            "spend_limit": "100000",
            "members": [
                {
                    "user_id": user_id,
                    "name": user_id,
                    "email": f"{user_id}@{name}.example",
                    "role": role,
                    "extra_usage": True,
                    "continue_with_extra_usage": True,
                }
                for user_id, role in ((OWNER, "primary_owner"), (MEMBER, "member"))
            ],
            **({"wallet": {"balance": "50000"}} if plan == "team" else {}),
            **others,
        }
        return str(provision(self.table, parse_provisioning(document), self.now)["id"])

    def call(
        self,
        method: str,
        rule: str,
        body: object = None,
        *,
        query: str = "",
        person: str | None = None,
        org_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        """Send a request, with the service key where people may not."""
        path = PARAMETER.sub(lambda found: parameters[found[1]], rule)
        speaker = person or (MEMBER if rule.startswith("/v1/me") else OWNER)
        metering = rule.startswith(("/v1/authorizations", "/v1/usage"))
        credential = (
            {"x-api-key": self.service_key}
            if metering
            else {"authorization": f"Bearer {org_id or self.org_id} {speaker}"}
        )
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {**credential, **(headers or {})},
            "body": None if body is None else json.dumps(body),
            "isBase64Encoded": False,
            "requestContext": {
                "http": {"method": method, "path": path},
                "requestId": "request",
                "stage": "$default",
            },
        }
        return Answer.read(ROUTES[method, rule].handler(event, Context()))

    def state(self) -> dict[Any, Any]:
        """Return what is stored, but for what each request counts or files anew."""
        passing = ("#RATE", "#IDEMPOTENCY#")
        return {
            key: dict(item)
            for key, item in self.table.items.items()
            if not any(each in key.pk for each in passing)
        }
