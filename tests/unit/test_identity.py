"""People by their tokens: really signed ones, and all that somebody may try instead."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headroom.core.errors import Overloaded, Unauthenticated
from headroom.limits.usecases.settings import change_person
from headroom.organizations.domain.identity import Person
from headroom.organizations.gateways.oidc import OidcIdentity, fetch_keys_from
from headroom.organizations.usecases.authentication import authenticate_person
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from tests.memory_table import MemoryTable
from tools.local_stack.issuer import AUDIENCE, ISSUER, KEY_ID, ORGANIZATION_CLAIM, Issuer

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANA = Person("org_a", "user_ana")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer") / "key.pem")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Another issuer, whose key nobody here trusts."""
    return Issuer(tmp_path_factory.mktemp("stranger") / "key.pem")


@pytest.fixture
def identity(issuer: Issuer) -> OidcIdentity:
    return trusting(keys_of(issuer))


def trusting(fetch: Callable[[], str]) -> OidcIdentity:
    return OidcIdentity(
        issuer=ISSUER, audience=AUDIENCE, organization_claim=ORGANIZATION_CLAIM, fetch_keys=fetch
    )


def keys_of(issuer: Issuer) -> Callable[[], str]:
    return fetch_keys_from(issuer.parameters()["OidcKeys"])


def key_set(issuer: Issuer, key_id: str = KEY_ID) -> str:
    """The issuer's key set, its key under another id."""
    keys: dict[str, Any] = json.loads(keys_of(issuer)())
    return json.dumps({"keys": [{**keys["keys"][0], "kid": key_id}]})


def with_header(token: str, **header: object) -> str:
    """The token with another header, and the signature that it had."""
    _, body, signature = token.split(".")
    return f"{packed(header)}.{body}.{signature}"


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token_of(issuer: Issuer, **claims: Any) -> str:
    return issuer.token(ANA.org_id, ANA.user_id, now=NOW, **claims)


def test_a_good_token_names_its_organization_and_person(
    identity: OidcIdentity, issuer: Issuer
) -> None:
    assert identity.identify(token_of(issuer), NOW) == ANA


def test_a_token_for_several_audiences_is_good_if_we_are_among_them(
    identity: OidcIdentity, issuer: Issuer
) -> None:
    assert identity.identify(token_of(issuer, aud=["console", AUDIENCE]), NOW) == ANA


def test_a_signature_of_another_key_is_refused(identity: OidcIdentity, stranger: Issuer) -> None:
    with pytest.raises(Unauthenticated):
        identity.identify(token_of(stranger), NOW)


def test_a_changed_claim_breaks_the_signature(identity: OidcIdentity, issuer: Issuer) -> None:
    header, body, signature = token_of(issuer).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = packed({**claims, "sub": "user_boss"})

    with pytest.raises(Unauthenticated):
        identity.identify(f"{header}.{forged}.{signature}", NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS512", 5, None])
def test_a_token_does_not_choose_the_algorithm(
    identity: OidcIdentity, issuer: Issuer, algorithm: object
) -> None:
    """Neither accepted nor a crash: anybody can send such a header."""
    with pytest.raises(Unauthenticated):
        identity.identify(with_header(token_of(issuer), alg=algorithm, kid=KEY_ID), NOW)


def test_an_unsigned_token_is_refused(identity: OidcIdentity, issuer: Issuer) -> None:
    body = token_of(issuer).split(".")[1]

    with pytest.raises(Unauthenticated):
        identity.identify(f"{packed({'alg': 'none', 'kid': KEY_ID})}.{body}.", NOW)


def test_the_public_key_is_no_shared_secret(identity: OidcIdentity, issuer: Issuer) -> None:
    """The classic confusion: HS256 with what everybody can read."""
    public = jwt.PyJWKSet.from_json(keys_of(issuer)()).keys[0].key
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = token_of(issuer).split(".")[1]
    signed = f"{packed({'alg': 'HS256', 'kid': KEY_ID})}.{body}"
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    tag = base64.urlsafe_b64encode(signature).decode().rstrip("=")

    with pytest.raises(Unauthenticated):
        identity.identify(f"{signed}.{tag}", NOW)


def test_a_shared_secret_among_the_keys_verifies_nothing() -> None:
    secret = b"a secret that some issuer published by mistake"
    key = {
        "kty": "oct",
        "kid": KEY_ID,
        "k": base64.urlsafe_b64encode(secret).decode().rstrip("="),
        "alg": "HS256",
    }
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user_ana",
        ORGANIZATION_CLAIM: "org_a",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
    }
    token = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": KEY_ID})

    with pytest.raises(Unauthenticated):
        trusting(lambda: json.dumps({"keys": [key]})).identify(token, NOW)


def test_an_elliptic_key_verifies_too() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user_ana",
        ORGANIZATION_CLAIM: "org_a",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
    }
    token = jwt.encode(claims, private, algorithm="ES256", headers={"kid": "curve"})

    identity = trusting(lambda: json.dumps({"keys": [{**public, "kid": "curve"}]}))

    assert identity.identify(token, NOW) == ANA


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": ""},
        {"aud": "another-application"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": 5},
        {ORGANIZATION_CLAIM: None},
        {ORGANIZATION_CLAIM: ["org_a"]},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"nbf": "yesterday"},
    ],
)
def test_a_claim_that_is_missing_or_wrong_is_refused(
    identity: OidcIdentity, issuer: Issuer, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        identity.identify(token_of(issuer, **claims), NOW)


@pytest.mark.parametrize(
    ("claim", "last_good", "first_bad"),
    [
        # A token is good before its end, and a clock may be a minute behind or ahead.
        ("exp", timedelta(seconds=-59), timedelta(seconds=-60)),
        ("nbf", timedelta(seconds=60), timedelta(seconds=61)),
        ("iat", timedelta(seconds=60), timedelta(seconds=61)),
    ],
)
def test_clocks_may_differ_by_a_minute_and_no_more(
    identity: OidcIdentity,
    issuer: Issuer,
    claim: str,
    last_good: timedelta,
    first_bad: timedelta,
) -> None:
    def shifted(by: timedelta) -> str:
        return token_of(issuer, **{claim: int((NOW + by).timestamp())})

    assert identity.identify(shifted(last_good), NOW) == ANA
    with pytest.raises(Unauthenticated):
        identity.identify(shifted(first_bad), NOW)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "....", "é.é.é", "x" * 9000])
def test_what_is_no_token_is_refused(identity: OidcIdentity, token: str) -> None:
    with pytest.raises(Unauthenticated):
        identity.identify(token, NOW)


def test_a_key_that_nobody_published_is_refused_without_asking_each_time(issuer: Issuer) -> None:
    asked = []

    def fetch() -> str:
        asked.append(1)
        return key_set(issuer)

    identity = trusting(fetch)
    unknown = with_header(token_of(issuer), alg="RS256", kid="unknown")
    for seconds in range(30):
        with pytest.raises(Unauthenticated):
            identity.identify(unknown, NOW + timedelta(seconds=seconds))

    assert len(asked) == 1


def test_a_rotated_key_is_found_and_the_old_one_forgotten(issuer: Issuer, stranger: Issuer) -> None:
    published = [key_set(issuer)]
    identity = trusting(lambda: published[0])
    assert identity.identify(token_of(issuer), NOW) == ANA

    published[0] = key_set(stranger, "rotated")
    body = jwt.decode(token_of(stranger), options={"verify_signature": False})
    signed = jwt.encode(body, stranger._key, algorithm="RS256", headers={"kid": "rotated"})
    later = NOW + timedelta(seconds=31)

    assert identity.identify(signed, later) == ANA
    with pytest.raises(Unauthenticated):
        identity.identify(token_of(issuer), later)


def test_a_key_taken_away_is_not_trusted_beyond_ten_minutes(issuer: Issuer) -> None:
    published = [key_set(issuer)]
    identity = trusting(lambda: published[0])
    assert identity.identify(token_of(issuer), NOW) == ANA

    published[0] = '{"keys": []}'

    with pytest.raises((Unauthenticated, Overloaded)):
        identity.identify(token_of(issuer), NOW + timedelta(minutes=10, seconds=1))


@pytest.mark.parametrize("answer", ["", "<html>", "[]", "5", '{"keys": null}', '{"keys": [1]}'])
def test_an_answer_that_is_no_key_set_is_an_outage(issuer: Issuer, answer: str) -> None:
    with pytest.raises(Overloaded):
        trusting(lambda: answer).identify(token_of(issuer), NOW)


@pytest.mark.parametrize("trouble", [TimeoutError(), ConnectionError(), IncompleteRead(b"")])
def test_keys_out_of_reach_are_an_outage_and_nobody_is_let_in(
    issuer: Issuer, trouble: Exception
) -> None:
    def fetch() -> str:
        raise trouble

    with pytest.raises(Overloaded) as refused:
        trusting(fetch).identify(token_of(issuer), NOW)

    assert refused.value.status == 503
    assert refused.value.retryable


def test_keys_come_over_https_or_not_at_all() -> None:
    for source in ("http://issuer.example/keys", "file:///etc/passwd"):
        with pytest.raises(ValueError, match="https"):
            fetch_keys_from(source)


# Membership and role are ours to know, at every call.


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def org_id(table: MemoryTable) -> str:
    document = {
        "id": "identity",
        "plan": "enterprise",
        "name": "Identity",
        "members": [
            {"user_id": "user_ana", "name": "Ana", "email": "ana@x.example", "role": "owner"}
        ],
    }
    answer = provision(table, parse_provisioning(document), NOW)
    return str(answer["id"])


def test_a_role_changed_between_two_calls_counts_at_the_second(
    table: MemoryTable, identity: OidcIdentity, issuer: Issuer, org_id: str
) -> None:
    token = issuer.token(org_id, "user_ana", now=NOW)
    assert authenticate_person(table, identity, token, NOW).role == "owner"

    change_person(table, org_id, "user_ana", lambda old: replace(old, role="member"), NOW)

    assert authenticate_person(table, identity, token, NOW).role == "member"


def test_a_role_in_the_token_counts_for_nothing(
    table: MemoryTable, identity: OidcIdentity, issuer: Issuer, org_id: str
) -> None:
    token = issuer.token(org_id, "user_ana", now=NOW, role="primary_owner")

    assert authenticate_person(table, identity, token, NOW).role == "owner"


def test_who_left_is_not_let_in_with_a_token_that_still_runs(
    table: MemoryTable, identity: OidcIdentity, issuer: Issuer, org_id: str
) -> None:
    token = issuer.token(org_id, "user_ana", now=NOW)
    change_person(table, org_id, "user_ana", lambda old: replace(old, active=False), NOW)

    with pytest.raises(Unauthenticated):
        authenticate_person(table, identity, token, NOW)


@pytest.mark.parametrize(
    ("organization", "user_id"),
    [("org_other", "user_ana"), ("", "user_ana"), ("ORG", ""), (None, "user_other")],
)
def test_a_token_of_another_organization_or_person_opens_nothing(
    table: MemoryTable,
    identity: OidcIdentity,
    issuer: Issuer,
    org_id: str,
    organization: str | None,
    user_id: str,
) -> None:
    token = issuer.token(org_id if organization is None else organization, user_id, now=NOW)

    with pytest.raises(Unauthenticated):
        authenticate_person(table, identity, token, NOW)


def test_the_local_issuer_keeps_its_key(tmp_path: Path) -> None:
    first, again = Issuer(tmp_path / "key.pem"), Issuer(tmp_path / "key.pem")

    assert first.parameters() == again.parameters()
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
