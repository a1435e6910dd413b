"""Invoked directly, by the vendor's back end or from the console: create an organization."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError
from headroom.core.settings import Settings
from headroom.core.store.connect import connect
from headroom.provisioning.usecases.provisioning import check_new, provision
from headroom.provisioning.wire.provisioning import parse_provisioning

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the organization with its keys, or the error envelope: an error is an answer too."""
    try:
        wanted = parse_provisioning(event)
        check_new(table, wanted)
        return provision(table, wanted, clock.now())
    except HeadroomError as error:
        return error.body(f"req_{context.aws_request_id}")
