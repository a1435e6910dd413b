"""What the page asks of an organization grows with what it shows, not with its members."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from functions.administer_organization import handler as administer
from headroom.limits.usecases.pages import LOOKED_AT_MAX, LOOKED_AT_TOGETHER
from headroom.organizations.domain.organization import Member
from headroom.organizations.store.organizations import put_member
from tests.unit.test_rights import Context, House, issuer

__all__ = ["issuer"]  # A fixture.

MEMBERS = 12_000
PATH = "/v1/organizations/members"


class Clerk:
    """Reads the members of a large organization, and counts what that takes."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.reads = 0
        self.bytes = 0

    def get(self, **query: Any) -> dict[str, Any]:
        status, body = self.answer(**query)
        assert status == 200, body
        return body

    def answer(self, **query: Any) -> tuple[int, dict[str, Any]]:
        named = {
            name + ("[]" if isinstance(value, list) else ""): value for name, value in query.items()
        }
        event = {
            "version": "2.0",
            "rawPath": PATH,
            "rawQueryString": urlencode(named, doseq=True),
            "headers": self.house.person("owner"),
            "isBase64Encoded": False,
            "requestContext": {
                "http": {"method": "GET", "path": PATH},
                "requestId": "request",
                "stage": "$default",
            },
        }
        answer: dict[str, Any] = administer.handler(event, Context())  # type: ignore[arg-type]
        self.bytes += len(answer["body"])
        return answer["statusCode"], json.loads(answer["body"])

    def pages(self, **query: Any) -> Iterator[list[dict[str, Any]]]:
        page: dict[str, Any] = {}
        while True:
            found = self.get(**query, **page)
            yield found["data"]
            if not found["has_more"]:
                return
            page = {"page": found["next_page"]}


@pytest.fixture(scope="module")
def large(issuer: Any) -> House:
    house = House(issuer)
    for number in range(MEMBERS):
        name = "Zoë Ångström" if number in (7, MEMBERS - 1) else f"Member {number}"
        address = f"m{number}@house.example"
        user_id = f"user_{number:06d}"
        active = number % 1000 != 3
        member = Member(
            house.org_id, user_id, name, address, "member", "standard", True, True, active=active
        )
        house.table.transact([put_member(member)])
    return house


@pytest.fixture
def clerk(large: House, monkeypatch: pytest.MonkeyPatch) -> Clerk:
    large.connect(administer, monkeypatch)
    clerk = Clerk(large)

    def count(name: str) -> None:
        clerk.reads += name == "query"

    monkeypatch.setattr(large.table, "step", count)
    return clerk


def test_names_are_learnt_of_those_who_are_shown(clerk: Clerk) -> None:
    wanted = ["user_000007", "user_009999", "user_000003", "user_unheard_of"]
    found = clerk.get(user_ids=wanted, limit=100)
    # Who left and who never was have no place in the directory.
    assert [row["user_id"] for row in found["data"]] == ["user_000007", "user_009999"]
    assert not found["has_more"]
    assert clerk.reads == 0
    assert clerk.bytes < 1_000


def test_somebody_is_found_wherever_they_are_without_the_directory(clerk: Clerk) -> None:
    pages = list(clerk.pages(search="zoe angs", limit=100))
    assert [row["user_id"] for page in pages for row in page] == [
        "user_000007",
        f"user_{MEMBERS - 1:06d}",
    ]
    assert len(pages) == -(-MEMBERS // LOOKED_AT_MAX)
    assert clerk.reads <= MEMBERS // LOOKED_AT_TOGETHER + len(pages)
    assert clerk.bytes < 2_000


@pytest.mark.parametrize("limit", [7, 50, 1000])
def test_a_page_that_is_full_goes_on_behind_its_last(clerk: Clerk, limit: int) -> None:
    found = [row["user_id"] for page in clerk.pages(search="99@HOUSE", limit=limit) for row in page]
    assert found == [f"user_{number:06d}" for number in range(99, MEMBERS, 100)]


@pytest.mark.parametrize(
    "query", [{"search": " "}, {"search": "a" * 101}, {"search": "a", "user_ids": ["user_1"]}]
)
def test_what_nobody_can_look_for_is_named(clerk: Clerk, query: dict[str, Any]) -> None:
    status, body = clerk.answer(**query)
    assert (status, body["error"]["details"]) == (400, {"field": "search"})


def test_a_cursor_belongs_to_its_search(clerk: Clerk) -> None:
    page = clerk.get(search="99@HOUSE", limit=7)["next_page"]
    assert clerk.answer(search="98@HOUSE", limit=7, page=page)[0] == 400
    assert clerk.answer(limit=7, page=page)[0] == 400
