"""The local payment processor beside the local AWS, and the two made known to each other."""

from __future__ import annotations

import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tools import processes
from tools.local_stack.emulator import ROOT, clean_environment

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


class ProcessorFailed(Exception):
    """The payment processor did not start; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class LocalProcessor:
    """The processor of the stack whose folder is `home`; `program` is what runs as it."""

    home: Path
    program: str = PROGRAM

    @property
    def url(self) -> str:
        """Where it answers. It keeps its port, because the deployed functions know it."""
        return f"http://127.0.0.1:{self._port_file.read_text()}"

    def parameters(self) -> dict[str, str]:
        """Return the template's parameters that make the application pay here."""
        return {"StripeApiBase": self.url}

    @property
    def running(self) -> bool:
        return processes.recall(self._process_file) is not None

    def start(self) -> None:
        """Start it and wait until it answers; does nothing if it runs.

        Raises:
            ProcessorFailed: it ended by itself, or gave no answer within its patience.
        """
        if self.running:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        known = self._port_file.read_text() if self._port_file.exists() else PORT_PREFERRED
        port = processes.free_port(int(known))
        self._port_file.write_text(str(port))
        process = processes.start(
            [sys.executable, "-m", self.program, self._folder, str(port)],
            environment={**clean_environment(), "PYTHONPATH": f"{ROOT}:{ROOT}/layers/headroom"},
            log=self._log,
            folder=ROOT,
        )
        processes.remember(process, self._process_file)
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        while not self._healthy():
            if not process.is_alive() or time.monotonic() > deadline:
                processes.stop(process, patience_seconds=1)
                raise ProcessorFailed(
                    f"The payment processor did not answer on port {port}. Its log ends:\n"
                    + processes.tail(self._log)
                )
            time.sleep(processes.POLL_SECONDS)

    def stop(self) -> bool:
        """End it, letting it write its state; False if it was not running."""
        process = processes.recall(self._process_file)
        self._process_file.unlink(missing_ok=True)
        return process is not None and processes.stop(
            process, patience_seconds=STOP_PATIENCE_SECONDS
        )

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

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_config/health", timeout=2):  # noqa: S310
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @property
    def _folder(self) -> Path:
        return self.home / "processor"

    @property
    def _log(self) -> Path:
        return self._folder / "processor.log"

    @property
    def _process_file(self) -> Path:
        return self._folder / "process.json"

    @property
    def _port_file(self) -> Path:
        return self._folder / "port"


def save_example_card(api_url: str, organization: Mapping[str, Any]) -> None:
    """Buy a little for an example Team organization, once, so that it has a card to reload by.

    Raises:
        ProcessorFailed: the application did not take it.
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
        raise ProcessorFailed(f"the example card was not taken: {error.read().decode()}") from error
