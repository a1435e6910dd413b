"""Each setting is one variable, and one that is missing is named before anything runs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import headroom
from headroom import billing, core, wallets
from headroom.billing.settings import TermsSettings
from headroom.core.settings import (
    FromEnvironment,
    ReleaseSettings,
    SellerSettings,
    VersionSettings,
    WebhookSettings,
)
from headroom.wallets.settings import WalletSettings
from tests.environment import ENVIRONMENT

MODULES = {core.settings, wallets.settings, billing.settings}
KINDS = FromEnvironment.__subclasses__()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_settings_are_read_from_what_every_function_has(kind: type[FromEnvironment]) -> None:
    read = kind.from_env(ENVIRONMENT)

    for field in fields(read):  # type: ignore[arg-type]  # Every subclass is a dataclass.
        assert type(getattr(read, field.name)).__name__ in ("str", "int")
        assert str(getattr(read, field.name)) in ENVIRONMENT.values()


def test_a_variable_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="PAST_DUE_GRACE_DAYS"):
        TermsSettings.from_env({"PAYMENT_TERMS_DAYS": "30"})


def test_a_number_is_a_number() -> None:
    days = {"PAYMENT_TERMS_DAYS": "30", "PAST_DUE_GRACE_DAYS": "14"}

    assert TermsSettings.from_env(days) == TermsSettings(30, 14)
    with pytest.raises(ValueError, match="soon"):
        TermsSettings.from_env(days | {"PAYMENT_TERMS_DAYS": "soon"})


def test_what_may_be_missing_is_empty_then() -> None:
    assert SellerSettings.from_env({"SELLER_NAME": "Acme"}) == SellerSettings("Acme", "", "", "")
    assert SellerSettings.from_env({"SELLER_NAME": "Acme", "SELLER_TAX_ID": "1"}) == SellerSettings(
        "Acme", "", "1", ""
    )


def test_what_was_never_published_is_the_latest() -> None:
    assert VersionSettings.from_env({}).version == "$LATEST"
    assert VersionSettings.from_env({"AWS_LAMBDA_FUNCTION_VERSION": "7"}).version == "7"


def test_released_versions_are_json() -> None:
    told = {"RELEASED_VERSIONS": '{"serve_page": "arn:1"}', "AWS_REGION": "eu-west-1"}

    assert ReleaseSettings.from_env(told) == ReleaseSettings({"serve_page": "arn:1"}, "eu-west-1")
    with pytest.raises(ValueError, match="Expecting"):
        ReleaseSettings.from_env(told | {"RELEASED_VERSIONS": "arn:1"})


def test_endpoints_on_this_machine_are_for_local_stacks_only() -> None:
    local = {"WEBHOOK_LOOPBACK": "true", "WEBHOOK_KEY_ARN": "arn", "STAGE": "local"}

    assert WebhookSettings.from_env(local).loopback
    with pytest.raises(ValueError, match="WEBHOOK_LOOPBACK"):
        WebhookSettings.from_env(local | {"STAGE": "prod"})


def test_every_kind_of_settings_is_tested_here() -> None:
    package = Path(headroom.__file__).parent
    assert {Path(str(module.__file__)) for module in MODULES} == set(package.glob("*/settings.py"))
    named = {name for module in MODULES for name in vars(module) if name.endswith("Settings")}

    assert named == {kind.__name__ for kind in KINDS} | {"ReleaseSettings", "WebhookSettings"}
    assert WalletSettings in KINDS
