"""Asks the new version of each function of the API one real request, before clients meet it.

Each request reads and changes nothing: most carry a key that nobody has, so that the answer proves
start, configuration and a read of the table, and is a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headroom.core.gateways.releases import VersionFailed, Versions

UNKNOWN_KEY: Final = "sk-headroom-nobody-has-this-key"


@dataclass(frozen=True, slots=True)
class Probe:
    """A request, the status it must be answered with, and the error's type if that is one."""

    method: str
    path: str
    status: int = 401
    error: str | None = "authentication_error"

    def event(self, request_id: str) -> dict[str, Any]:
        """Return the request as API Gateway would pass it on, payload format 2.0."""
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": "",
            "headers": {"x-api-key": UNKNOWN_KEY, "content-type": "application/json"},
            "requestContext": {
                "http": {"method": self.method, "path": self.path, "protocol": "HTTP/1.1"},
                "requestId": request_id,
                "stage": "$default",
            },
            "body": "{}" if self.method == "POST" else None,
            "isBase64Encoded": False,
        }


# By the folder of the function.
PROBES: Final[Mapping[str, Probe]] = {
    "administer_notifications": Probe("GET", "/v1/organizations/notifications"),
    "administer_organization": Probe("GET", "/v1/organizations/extra_usage"),
    "authorize_spend": Probe("POST", "/v1/authorizations"),
    "ingest_usage": Probe("POST", "/v1/usage/events"),
    "manage_wallet": Probe("GET", "/v1/organizations/wallet"),
    # The processor's secret may not be there yet, so this one stops before it is needed.
    "receive_payment_event": Probe("POST", "/v1/payment_events", 400, "invalid_request_error"),
    "serve_billing": Probe("GET", "/v1/organizations/invoices"),
    "serve_documents": Probe("GET", "/openapi.json", 200, None),
    "serve_member": Probe("GET", "/v1/me/extra_usage"),
    "serve_page": Probe("GET", "/settings/usage", 200, None),
}


def failed_probes(functions: Mapping[str, str], versions: Versions, request_id: str) -> list[str]:
    """Return what is wrong with the versions at these ARNs, by the folders of their functions.

    None of them is left out, so that one look at the log shows all that is broken.
    """
    return [
        f"{folder}: {wrong}"
        for folder, arn in functions.items()
        for wrong in _wrong(PROBES[folder], arn, versions, request_id)
    ]


def _wrong(probe: Probe, arn: str, versions: Versions, request_id: str) -> Iterator[str]:
    try:
        answer: Any = versions.ask(arn, probe.event(request_id))
        status = answer["statusCode"]
        error = json.loads(answer["body"])["error"]["type"] if probe.error else None
    except VersionFailed as failure:
        yield str(failure)
    except (LookupError, TypeError, ValueError) as failure:
        yield f"it answered in no form that is known ({failure!r})"
    else:
        if (status, error) != (probe.status, probe.error):
            yield f"it answered {status} {error}, not {probe.status} {probe.error}"
