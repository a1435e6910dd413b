"""A change that names the version it was decided on is made on no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.administer_organization import handler as administer
from headroom.core.domain.actor import SYSTEM
from headroom.notifications.usecases.mail_preferences import change_preferences
from headroom.organizations.store.organizations import find_organization
from tests.unit.test_rights import House, house, issuer, respond

__all__ = ["house", "issuer"]  # Fixtures.

ROOT = "/v1/organizations"
MEMBER = "user_house_member"
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", f"{ROOT}/spend_limit", {"amount": "700"}),
    ("PUT", f"{ROOT}/seat_tiers/standard/spend_limit", {"amount": "70"}),
    ("PUT", f"{ROOT}/extra_usage/members", {"mode": "selected"}),
    ("PUT", f"{ROOT}/extra_usage/requests", {"enabled": False}),
    ("PUT", f"{ROOT}/pricing", {"default_inference_geo": "us"}),
    (
        "POST",
        f"{ROOT}/spend_limits",
        {"scope": {"type": "user", "user_id": MEMBER}, "amount": "7"},
    ),
]
IDS = [path.removeprefix(ROOT) for _, path, _ in CHANGES]


class Owner:
    """Somebody who reads the settings and changes them."""

    def __init__(self, house: House) -> None:
        self.house = house

    def send(
        self, method: str, path: str, body: object | None = None, tag: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = self.house.person("owner") | ({"if-match": tag} if tag else {})
        answer = respond(administer, method, path, headers, body)
        return answer["statusCode"], json.loads(answer["body"])

    def tag(self, path: str = f"{ROOT}/extra_usage") -> str:
        answer = respond(administer, "GET", path, self.house.person("owner"))
        tag: str = answer["headers"]["etag"]
        return tag

    @property
    def version(self) -> int:
        found = find_organization(self.house.table, self.house.org_id)
        assert found is not None
        return found.version

    def meddle(self) -> None:
        """Another owner changes something else."""
        house = self.house
        change_preferences(house.table, house.org_id, {"webhooks": False}, SYSTEM, house.now)


@pytest.fixture
def owner(house: House, monkeypatch: pytest.MonkeyPatch) -> Owner:
    house.connect(administer, monkeypatch)
    return Owner(house)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=IDS)
def test_a_change_is_made_while_nothing_has_changed(
    owner: Owner, method: str, path: str, body: dict[str, Any]
) -> None:
    before = owner.version
    assert owner.send(method, path, body, owner.tag())[0] == 200
    assert owner.version == before + 1


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=IDS)
def test_a_change_that_was_overtaken_changes_nothing(
    owner: Owner, method: str, path: str, body: dict[str, Any]
) -> None:
    tag = owner.tag()
    owner.meddle()
    left = dict(owner.house.table.items)

    status, answer = owner.send(method, path, body, tag)

    assert (status, answer["error"]["type"]) == (409, "conflict_error")
    assert answer["error"]["message"].startswith("If-Match: ")
    changed = {key for key, item in owner.house.table.items.items() if left.get(key) != item}
    # The call itself is counted, where calls are.
    assert {key.pk.rpartition("#")[2] for key in changed} <= {"RATE"}
    # Without the header, as ever: the last one holds.
    assert owner.send(method, path, body)[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=IDS)
def test_a_repeat_of_what_was_done_is_no_conflict(
    owner: Owner, method: str, path: str, body: dict[str, Any]
) -> None:
    """The answer to the first was lost, and with it the new tag."""
    tag = owner.tag()
    assert owner.send(method, path, body, tag)[0] == 200
    after = owner.version

    assert owner.send(method, path, body, tag)[0] == 200
    assert owner.version == after


def test_of_two_owners_the_later_is_told_and_the_first_ones_cap_stays(owner: Owner) -> None:
    one = other = owner.tag()
    path = f"{ROOT}/spend_limit"
    assert owner.send("PUT", path, {"amount": "700"}, one)[0] == 200
    assert owner.send("PUT", path, {"amount": "300"}, other)[0] == 409

    _, settings = owner.send("GET", f"{ROOT}/extra_usage")
    assert settings["spend_limit"]["amount"] == "700"
    assert owner.send("PUT", path, {"amount": "300"}, owner.tag())[0] == 200


def test_a_members_limit_is_removed_on_the_version_that_showed_it(owner: Owner) -> None:
    method, path, body = CHANGES[-1]
    _, limit = owner.send(method, path, body)
    tag = owner.tag(f"{ROOT}/spend_limits/effective")
    owner.meddle()
    place = f"{ROOT}/spend_limits/{limit['id']}"

    assert owner.send("DELETE", place, None, tag)[0] == 409
    tag = owner.tag(f"{ROOT}/spend_limits/effective")
    assert owner.send("DELETE", place, None, tag)[0] == 200
    assert owner.send("DELETE", place, None, tag)[0] == 404


def test_any_version_will_do_and_a_weak_tag_is_the_strong_one_behind_a_proxy(owner: Owner) -> None:
    path = f"{ROOT}/spend_limit"
    assert owner.send("PUT", path, {"amount": "1"}, "*")[0] == 200
    assert owner.send("PUT", path, {"amount": "2"}, f"W/{owner.tag()}")[0] == 200
    assert owner.send("PUT", path, {"amount": "3"}, 'W/"1"')[0] == 409


@pytest.mark.parametrize("tag", ["7", '"seven"', '"1", "2"', '"' + "9" * 40 + '"', "W/"])
def test_what_is_no_tag_of_ours_is_named(owner: Owner, tag: str) -> None:
    status, answer = owner.send("PUT", f"{ROOT}/spend_limit", {"amount": "1"}, tag)
    assert (status, answer["error"]["details"]) == (400, {"field": "If-Match"})
