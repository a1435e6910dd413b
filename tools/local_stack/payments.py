"""The local payment processor beside the local AWS, and the two made known to each other."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tools.local_stack.emulator import ROOT, clean_environment
from tools.servers import Server

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

PROGRAM = "tools.local_stack.processor"
PORT_PREFERRED = 8420
START_PATIENCE_SECONDS = 30.0
STOP_PATIENCE_SECONDS = 20.0
# The local processor takes any key of this form.
API_KEY = "sk_test_local"

EXAMPLE_CARD = "pm_card_visa"
# The least that can be bought: a card is saved by buying with it.
EXAMPLE_PURCHASE_CENTS = "500"


class CardRefused(Exception):
    """The application did not take the example card; the message carries its answer."""


@dataclass(frozen=True, slots=True)
class LocalProcessor:
    """The processor of the stack whose folder is `home`; `program` is what runs as it."""

    home: Path
    program: str = PROGRAM

    @property
    def url(self) -> str:
        """Where it answers. It keeps its port, because the deployed functions know it."""
        return self._server.url

    def parameters(self) -> dict[str, str]:
        """Return the template's parameters that make the application pay here."""
        return {"StripeApiBase": self.url}

    @property
    def running(self) -> bool:
        return self._server.running

    def start(self) -> None:
        """Start it and wait until it answers; does nothing if it runs.

        Raises:
            ServerFailed: it ended by itself, or gave no answer within its patience.
        """
        if self.running:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        port = self._server.choose_port(PORT_PREFERRED)
        self._server.start(
            [sys.executable, "-m", self.program, self._folder, str(port)],
            environment={**clean_environment(), "PYTHONPATH": f"{ROOT}:{ROOT}/layers/headroom"},
            folder=ROOT,
            patience_seconds=START_PATIENCE_SECONDS,
        )

    def stop(self) -> bool:
        """End it, letting it write its state; False if it was not running."""
        return self._server.stop(patience_seconds=STOP_PATIENCE_SECONDS)

    def introduce(self, *, webhook_url: str, secret_arn: str, client: SecretsManagerClient) -> None:
        """Put what opens the processor into the secret, and let it send its events to the API."""
        try:
            text = client.get_secret_value(SecretId=secret_arn).get("SecretString", "")
        except client.exceptions.ResourceNotFoundException:
            text = ""  # As AWS answers for a secret without a value; ministack has an empty one.
        if text:
            known = json.loads(text)
        else:
            known = {"api_key": API_KEY, "webhook_secrets": [f"whsec_{secrets.token_hex(16)}"]}
            client.put_secret_value(SecretId=secret_arn, SecretString=json.dumps(known))
        self.configure("webhook", url=webhook_url, secret=known["webhook_secrets"][0])

    def configure(self, path: str, /, **fields: str) -> None:
        """Call what only makers of a scene may: `path` under /_config/."""
        request = urllib.request.Request(  # noqa: S310  (our own http address)
            f"{self.url}/_config/{path}", data=urlencode(fields).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass

    @property
    def _folder(self) -> Path:
        return self.home / "processor"

    @property
    def _server(self) -> Server:
        return Server(
            "The payment processor",
            process_file=self._folder / "process.json",
            port_file=self._folder / "port",
            log=self._folder / "processor.log",
            health_path="/_config/health",
        )


def save_example_card(api_url: str, organization: Mapping[str, Any]) -> None:
    """Buy a little for an example Team organization, once, so that it has a card to reload by.

    Raises:
        CardRefused: the application did not take it.
    """
    owner = next(each for each in organization["members"] if each["role"] == "primary_owner")
    body = {"amount": EXAMPLE_PURCHASE_CENTS, "payment_method": EXAMPLE_CARD}
    request = urllib.request.Request(  # noqa: S310  (our own http address)
        f"{api_url}/v1/organizations/wallet/top_ups",
        data=json.dumps(body).encode(),
        headers={
            "authorization": f"Bearer {owner['token']}",
            "content-type": "application/json",
            "idempotency-key": "example-card",
        },
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        raise CardRefused(f"the example card was not taken: {error.read().decode()}") from error
