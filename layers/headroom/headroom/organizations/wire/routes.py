"""Routes, each behind the matrix of rights: no handler sees a caller who may not call it.

The dispatch is a dozen lines of our own: Powertools' event handler brings resolvers for every kind
of gateway, which is a fifth of a cold start of the functions on the path of every request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger

from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError, Unauthenticated
from headroom.core.store.table import Table
from headroom.core.usecases.idempotency import Keyed, once
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import digest_of
from headroom.core.wire.http import (
    Content,
    Elsewhere,
    HttpAnswer,
    Request,
    Tagged,
    answer,
    crash,
    failure,
)
from headroom.core.wire.paths import match, nothing_at
from headroom.organizations.domain.identity import Identity
from headroom.organizations.usecases.authentication import (
    KEY_PREFIX,
    Caller,
    Callers,
    authenticate_person,
)
from headroom.organizations.wire.rights import RIGHTS, check

# A route's code: from caller, time and the path's parameters to the body of the answer.
Body = dict[str, Any] | Content | Elsewhere | Tagged
Endpoint = Callable[..., Body]

_BEARER = "bearer "
_EDGE_ID = "x-amz-cf-id"


class Api:
    """The routes of one function.

    `request` is the one that is being answered: a Lambda answers one at a time. `keyed` is what
    its idempotency key makes of it, where the route takes one and the client sent one.
    `remaining_millis` tells how long there is to answer it, where a function has said so.
    """

    request: Request
    keyed: Keyed | None
    remaining_millis: Callable[[], int]

    def __init__(
        self, logger: Logger, table: Table, clock: Clock, identity: Identity, crashes: Crashes
    ) -> None:
        self.routes: dict[tuple[str, str], Endpoint] = {}
        self._logger = logger
        self._table = table
        self._clock = clock
        self._identity = identity
        self._crashes = crashes
        self._callers = Callers()
        self._once: set[tuple[str, str]] = set()

    def route(
        self, method: str, rule: str, *, once: bool = False
    ) -> Callable[[Endpoint], Endpoint]:
        """Register a route, called as `endpoint(caller, now, **parameters of the path)`.

        In the rule, `<name>` stands for one segment of the path. With `once`, the first answer to
        a request with an Idempotency-Key is repeated; the endpoint has to bear repetition.
        """

        def register(endpoint: Endpoint) -> Endpoint:
            self.routes[method, rule] = endpoint
            if once:
                self._once.add((method, rule))
            return endpoint

        return register

    def resolve(self, event: Mapping[str, Any]) -> HttpAnswer:
        """Answer a request; every failure is an error envelope of the wire contract."""
        self.request = request = Request(event)
        self.keyed = None
        if edge_id := request.header(_EDGE_ID):
            # Behind an edge, only its log knows the client's address, under this id.
            self._logger.append_keys(edge_request_id=edge_id)
        try:
            return answer(request, self._resolve(request))
        except HeadroomError as error:
            return failure(request, error)
        except Exception:
            # The process edge: logged and counted, and not told to the client.
            self._logger.exception("unexpected failure")
            self._crashes.count()
            return crash(request)

    def _resolve(self, request: Request) -> Body:
        for (method, rule), endpoint in self.routes.items():
            if method != request.method:
                continue
            parameters = match(rule, request.path)
            if parameters is not None:
                now = self._clock.now()
                caller = self._authenticate(request, now)
                check(caller, method, rule)
                if (method, rule) in self._once and (key := request.idempotency_key()):
                    return self._answer_once(caller, now, key, (method, rule), parameters)
                return endpoint(caller, now, **parameters)
        # Other functions' routes too: what the gateway routes to us may lead to one of theirs.
        raise nothing_at(request.method, request.path, RIGHTS)

    def _answer_once(
        self,
        caller: Caller,
        now: datetime,
        key: str,
        route: tuple[str, str],
        parameters: dict[str, str],
    ) -> Body:
        """Answer a request that came with an idempotency key."""
        body = self.request.json() if self.request.has_body else None

        def work(keyed: Keyed) -> dict[str, Any]:
            self.keyed = keyed
            made = self.routes[route](caller, now, **parameters)
            assert isinstance(made, dict), "what is filed is JSON"
            return made

        asked = digest_of([*route, parameters, body])
        return once(self._table, caller.org_id, caller.place_of(key), asked, work, now)

    def _authenticate(self, request: Request, now: datetime) -> Caller:
        key, authorization = request.header("x-api-key"), request.header("authorization")
        if key is not None or authorization is None:
            return self._callers.authenticate(self._table, key, now)
        if not authorization.lower().startswith(_BEARER):
            raise Unauthenticated("Authorization: must be a bearer token")
        token = authorization[len(_BEARER) :].strip()
        # Clients of the Anthropic Admin API send their key this way.
        if token.startswith(KEY_PREFIX):
            return self._callers.authenticate(self._table, token, now)
        return authenticate_person(self._table, self._identity, token, now)
