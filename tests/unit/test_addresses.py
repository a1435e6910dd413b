"""Every address that a stack gives away leads to it, whatever domain, edge and page it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.resolved_template import PSEUDO, Resolved
from tests.template import template

DOMAIN = {"DomainName": "billing.example.com", "CertificateArn": "arn:aws:acm:::certificate/1"}
ZONE = {"HostedZoneId": "Z1"}
WEB_ACL = {"WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:global/webacl/all/1"}
PAGE = {
    "OidcAuthorizationEndpoint": "https://issuer.example.com/authorize",
    "OidcTokenEndpoint": "https://issuer.example.com/token",
}
ELSEWHERE = {"SettingsUrl": "https://app.example.com/settings"}
MAIL = {"MailSender": "billing@mail.example.com"}
# What the template's rules refuse, with whatever it comes.
HALVES = [{name: value} for name, value in PAGE.items()]
NO_CERTIFICATE = {"DomainName": DOMAIN["DomainName"]}
GIVEN = [
    dict(pair for part in parts for pair in part.items())
    for parts in product(
        ({}, DOMAIN, DOMAIN | ZONE, NO_CERTIFICATE),
        ({}, WEB_ACL),
        ({}, PAGE, *HALVES),
        ({}, ELSEWHERE),
        ({}, MAIL),
    )
]
CHOICES = [choice for choice in GIVEN if not Resolved(Stage="prod", **choice).refusals()]
# What leads to this stack, under whichever of its names.
OURS = re.compile(
    r"(?:https?://)?((?:Api\.execute-api|Edge\.cloudfront|billing\.example)[\w.-]*)(/[\w/.-]*)?"
)
# Outputs that people take from here to somewhere else, and the path that has to be at their end.
GIVEN_AWAY = {
    "ApiUrl": "",
    "PageUrl": "/settings/usage",
    "PaymentEventsUrl": "/v1/payment_events",
}


def host_of(choice: dict[str, str]) -> str:
    """The one name under which clients reach the API."""
    if "DomainName" in choice:
        return choice["DomainName"]
    return (
        "Edge.cloudfront.net"
        if "WebAclArn" in choice
        else "Api.execute-api.us-east-1.amazonaws.com"
    )


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)


def named(choice: dict[str, str]) -> str:
    return "+".join(name for name in choice if name != "CertificateArn") or "defaults"


def test_only_what_is_half_given_is_refused() -> None:
    """A page that could send people to sign in and never get their token, for one."""
    refused = [choice for choice in GIVEN if choice not in CHOICES]

    assert len(CHOICES) == 48
    for choice in refused:
        half_a_page = len(PAGE.keys() & choice.keys()) == 1
        half_a_domain = "DomainName" in choice and "CertificateArn" not in choice
        told = " ".join(Resolved(Stage="prod", **choice).refusals())
        assert half_a_page or half_a_domain
        assert ("OidcTokenEndpoint" in told) is half_a_page
        assert ("certificate" in told) is half_a_domain


@pytest.mark.parametrize("choice", CHOICES, ids=named)
def test_every_address_given_away_is_one_that_answers(choice: dict[str, str]) -> None:
    stack = Resolved(Stage="prod", **choice)
    outputs = stack.outputs()
    environments = {
        name: stack.environment(name) for name in stack.resources("AWS::Serverless::Function")
    }

    for name, path in GIVEN_AWAY.items():
        assert outputs[name] == f"https://{host_of(choice)}{path}", name
    for text in texts([outputs, environments]):
        for host, _ in OURS.findall(text):
            assert host == host_of(choice), text
    address = choice.get("SettingsUrl", f"https://{host_of(choice)}/settings/usage")
    # Mail leads to a page where people can sign in, or nowhere. A bank leads back in any case.
    signs_in = PAGE.keys() <= choice.keys() or "SettingsUrl" in choice
    assert {
        name: each["SETTINGS_URL"] for name, each in environments.items() if "SETTINGS_URL" in each
    } == {"ManageWallet": address, "NotifyPeople": address if signs_in else ""}


@pytest.mark.parametrize("choice", CHOICES, ids=named)
def test_the_name_that_clients_use_leads_to_an_endpoint_that_is_switched_on(
    choice: dict[str, str],
) -> None:
    stack = Resolved(Stage="prod", **choice)
    (api,) = stack.resources("AWS::ApiGatewayV2::Api").values()
    edges = stack.resources("AWS::CloudFront::Distribution")
    domains = stack.resources("AWS::ApiGatewayV2::DomainName")
    records = stack.resources("AWS::Route53::RecordSet")

    if edges:
        (edge,) = edges.values()
        (origin,) = edge["DistributionConfig"]["Origins"]
        assert origin["DomainName"] == "Api.execute-api.us-east-1.amazonaws.com"
        assert edge["DistributionConfig"].get("Aliases", []) == [
            choice[name] for name in ("DomainName",) if name in choice
        ]
        assert not domains
    # Only a domain that leads to the API itself may take the place of its own endpoint.
    assert api["DisableExecuteApiEndpoint"] is bool(domains)
    assert bool(domains) is ("DomainName" in choice and not edges)
    assert [record["Name"] for record in records.values()] == [
        choice["DomainName"] for name in ("HostedZoneId",) if name in choice
    ]


@pytest.mark.parametrize("choice", CHOICES, ids=named)
@pytest.mark.parametrize(("stage", "switched"), [("local", "false"), ("prod", "true")])
def test_nothing_refers_to_what_is_not_made(
    choice: dict[str, str], stage: str, switched: str
) -> None:
    stack = Resolved(Stage=stage, GradualDeployments=switched, Backups=switched, **choice)

    assert stack.resources(*{each["Type"] for each in template()["Resources"].values()})
    assert stack.outputs()


def test_every_output_that_is_an_address_is_tested() -> None:
    outputs = Resolved(Stage="prod").outputs()
    addresses = {name for name, value in outputs.items() if str(value).startswith("http")}

    assert addresses == GIVEN_AWAY.keys()
    assert PSEUDO["AWS::Region"] in outputs["ApiUrl"]
