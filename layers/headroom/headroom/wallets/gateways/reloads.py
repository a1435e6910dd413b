"""Asking `reload_wallet` to look at a wallet at once, rather than when the stream tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headroom.core.settings import ReloadSettings

# Somebody waits for their authorization behind this: what is not sent by then is found anyway.
TIMEOUT_SECONDS: Final = 1

# Asks for a look at an organization's wallet, and does not wait for it. It never fails: the mark
# that is in the table by then asks as well.
AskReload = Callable[[str], None]


def ask_nobody(org_id: str) -> None:
    """Leave it to the mark in the table."""


class LambdaReloads:
    """Asks by invoking the function, without waiting for it. `warn` is told what was not sent."""

    def __init__(self, settings: ReloadSettings, warn: Callable[..., None]) -> None:
        self._settings = settings
        self._warn = warn
        self._client: Any = None

    def ask(self, org_id: str) -> None:
        """Ask for a look at a wallet; a failure is logged, not raised."""
        try:
            # Only now: most processes never take a wallet to its threshold.
            if self._client is None:
                self._client = botocore.session.get_session().create_client(
                    "lambda",
                    region_name=self._settings.region,
                    config=Config(
                        connect_timeout=TIMEOUT_SECONDS,
                        read_timeout=TIMEOUT_SECONDS,
                        retries={"total_max_attempts": 1, "mode": "standard"},
                    ),
                )
            self._client.invoke(
                FunctionName=self._settings.function_name,
                InvocationType="Event",
                Payload=json.dumps({"organization_id": org_id}).encode(),
            )
        except (BotoCoreError, ClientError) as error:
            self._warn("a reload was not asked for at once", org_id=org_id, error=str(error))
