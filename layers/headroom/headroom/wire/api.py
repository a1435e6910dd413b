"""Routes, each behind the matrix of rights: no handler sees a caller who may not call it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response

from headroom.domain.identity import Identity
from headroom.errors import Unauthenticated
from headroom.store.table import Table
from headroom.usecases.authenticating import (
    KEY_PREFIX,
    Caller,
    Callers,
    authenticate_person,
)
from headroom.wire.http import answer, header, new_app
from headroom.wire.rights import check

# A route's code: from caller, time and the path's parameters to the body of the answer.
Endpoint = Callable[..., dict[str, Any]]

_BEARER = "bearer "


class Api:
    """The routes of one function. `identity` is None where only keys may call."""

    def __init__(self, logger: Logger, table: Table, identity: Identity | None = None) -> None:
        self.app = new_app(logger)
        self._table = table
        self._identity = identity
        self._callers = Callers()

    def route(self, method: str, rule: str) -> Callable[[Endpoint], Endpoint]:
        """Register a route: called as `endpoint(caller, now, **parameters of the path)`."""

        def register(endpoint: Endpoint) -> Endpoint:
            @wraps(endpoint)
            def guarded(**parameters: str) -> Response[str]:
                now = datetime.now(UTC)
                caller = self._authenticate(now)
                check(caller, method, rule)
                return answer(self.app, endpoint(caller, now, **parameters))

            self.app.route(rule, method=method)(guarded)
            return endpoint

        return register

    def _authenticate(self, now: datetime) -> Caller:
        key, authorization = header(self.app, "x-api-key"), header(self.app, "authorization")
        if key is not None or authorization is None:
            return self._callers.authenticate(self._table, key, now)
        if not authorization.lower().startswith(_BEARER):
            raise Unauthenticated("Authorization: must be a bearer token")
        token = authorization[len(_BEARER) :].strip()
        # Clients of the Anthropic Admin API send their key this way.
        if token.startswith(KEY_PREFIX) or self._identity is None:
            return self._callers.authenticate(self._table, token, now)
        return authenticate_person(self._table, self._identity, token, now)
