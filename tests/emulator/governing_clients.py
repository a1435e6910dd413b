"""Clients that keep spending, in a process of their own: started by test_governing.py.

    python governing_clients.py ENDPOINT TABLE ORG_ID FIRST CLIENTS MEMBERS

Says "spending" after two successes for each client. When standard input closes, each client makes
one more attempt; then prints a JSON list of [started, succeeded], one for each authorization.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from datetime import UTC, datetime

from headroom.core.errors import HeadroomError, SpendRefused
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.spending.usecases.authorizations import authorize, release
from headroom.spending.usecases.grants import Hints
from headroom.spending.wire.authorizations import parse_authorization_request
from tests.emulator.tables import table_at

PATIENCE_SECONDS = 300.0


def main() -> None:
    endpoint, name, org_id, *numbers = sys.argv[1:]
    first, clients, members = map(int, numbers)
    outcomes: list[tuple[float, bool]] = []
    ended, spending = threading.Event(), threading.Semaphore(0)
    found = find_organization(table_at(endpoint, name), org_id)
    assert found is not None
    organization: Organization = found

    def spend(client: int) -> None:
        table, hints = table_at(endpoint, name), Hints()
        turn = client
        answered = last = False
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (last and answered):
            assert time.monotonic() < deadline, "nobody answers any more"
            turn, last, answered = turn + clients, ended.is_set(), False
            body = {
                "user_id": f"user_{turn % members}",
                "model": "claude-sonnet-4-5",
                "input_tokens": 100,
                "max_tokens": 100,
            }
            asked, started = parse_authorization_request(body), time.monotonic()
            try:
                held = authorize(
                    table,
                    hints,
                    organization,
                    asked,
                    datetime.now(UTC),
                    entropy=secrets.token_bytes(6),
                )
            except SpendRefused as refused:
                outcomes.append((started, False))
                answered = True
                if refused.retryable:
                    ended.wait(refused.retry_after_seconds)
                continue
            except HeadroomError:
                continue
            outcomes.append((started, True))
            answered = True
            spending.release()
            release(table, org_id, held["id"])

    threads = [
        threading.Thread(target=spend, args=(client,)) for client in range(first, first + clients)
    ]
    for thread in threads:
        thread.start()
    for _ in range(2 * clients):
        assert spending.acquire(timeout=PATIENCE_SECONDS)
    print("spending", flush=True)  # noqa: T201 - whoever started us waits for it
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
