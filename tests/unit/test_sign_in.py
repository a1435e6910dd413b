"""The local sign-in is as strict as a real one: addresses, proof of possession, one use."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from tools.local_stack.issuer import AUDIENCE, Issuer
from tools.local_stack.sign_in import CODE_LASTS_SECONDS, Provider, Refused, challenge_of

PAGE = "http://127.0.0.1:4566/settings/usage"
ADA = {
    "organization": "Acme",
    "org_id": "org_acme",
    "user_id": "user_ada",
    "name": "Ada Flores",
    "role": "owner",
}
# The example of RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
QUERY = {
    "client_id": AUDIENCE,
    "redirect_uri": PAGE,
    "response_type": "code",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "s",
    "nonce": "n",
}
NOW = 1_000.0


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    directory = tmp_path / "people.json"
    known = {"redirect_uris": [PAGE], "people": [ADA], "ahead_seconds": 0}
    directory.write_text(json.dumps(known))
    return Provider(Issuer(tmp_path / "key.pem"), directory)


def test_mail_and_banks_lead_to_the_page_with_what_they_say(provider: Provider) -> None:
    assert provider.page_url("") == PAGE
    assert provider.page_url("payment=top_1&x=%26") == f"{PAGE}?payment=top_1&x=%26"


def approved(provider: Provider) -> dict[str, str]:
    """The form with which a page exchanges the code it was led back with."""
    location = provider.approve({**QUERY, "user_id": "user_ada"}, NOW)
    address, _, answer = location.partition("?")
    assert address == PAGE
    code, state = (pair.partition("=")[2] for pair in answer.split("&"))
    assert state == "s"
    return {
        "grant_type": "authorization_code",
        "client_id": AUDIENCE,
        "redirect_uri": PAGE,
        "code": code,
        "code_verifier": VERIFIER,
    }


def test_the_challenge_is_that_of_the_standard() -> None:
    assert challenge_of(VERIFIER) == CHALLENGE


def test_a_code_becomes_a_token_of_the_person_once(provider: Provider) -> None:
    form = approved(provider)
    token = provider.exchange(form, NOW)["id_token"]
    claims = jwt.decode(token, options={"verify_signature": False}, audience=AUDIENCE)
    assert (claims["sub"], claims["organization_id"]) == ("user_ada", "org_acme")
    assert (claims["nonce"], claims["name"]) == ("n", "Ada Flores")
    with pytest.raises(Refused, match="unknown, used or expired"):
        provider.exchange(form, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", "other"),
        ("redirect_uri", f"{PAGE}/x"),
        ("redirect_uri", "https://elsewhere.example/"),
        ("response_type", "token"),
        ("code_challenge_method", "plain"),
        ("code_challenge", ""),
    ],
)
def test_a_request_that_is_not_the_pages_is_refused(
    provider: Provider, field: str, value: str
) -> None:
    with pytest.raises(Refused):
        provider.people({**QUERY, field: value})
    with pytest.raises(Refused):
        provider.approve({**QUERY, field: value, "user_id": "user_ada"}, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "made-up"),
        ("code_verifier", "another"),
        ("code_verifier", ""),
        ("client_id", "other"),
        ("redirect_uri", f"{PAGE}/x"),
        ("grant_type", "password"),
    ],
)
def test_a_code_is_worth_nothing_to_somebody_else(
    provider: Provider, field: str, value: str
) -> None:
    with pytest.raises(Refused):
        provider.exchange({**approved(provider), field: value}, NOW)


def test_a_wrong_verifier_uses_the_code_up(provider: Provider) -> None:
    form = approved(provider)
    with pytest.raises(Refused):
        provider.exchange({**form, "code_verifier": "guess"}, NOW)
    with pytest.raises(Refused):
        provider.exchange(form, NOW)


def test_a_code_expires(provider: Provider) -> None:
    with pytest.raises(Refused, match="expired"):
        provider.exchange(approved(provider), NOW + CODE_LASTS_SECONDS + 1)


def test_only_the_page_may_read_tokens_and_only_example_people_sign_in(provider: Provider) -> None:
    assert provider.allows("http://127.0.0.1:4566")
    assert not provider.allows("http://127.0.0.1:9999")
    assert not provider.allows(None)
    with pytest.raises(Refused, match="no such person"):
        provider.approve({**QUERY, "user_id": "user_eve"}, NOW)
