"""Before traffic shifts: does the new version of every function of the API answer at all?

CodeDeploy invokes this for each function that shifts, and each time all of them are asked: no
function takes over beside one that is broken.
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.gateways.releases import CodeDeploy, LambdaVersions
from headroom.core.settings import ReleaseSettings
from headroom.core.usecases.release_probes import failed_probes

logger = Logger()
settings = ReleaseSettings.from_env(os.environ)
versions = LambdaVersions(settings.region)
deployments = CodeDeploy(settings.region)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return what failed. Invoked by hand, without a deployment, it only looks."""
    failures = ["the probes could not be made"]
    try:
        failures = failed_probes(settings.functions, versions, context.aws_request_id)
    finally:
        if failures:
            logger.error("release not let through", failures=failures)
        if "DeploymentId" in event:
            # It waits for an hour for whoever says nothing.
            deployments.report(
                event["DeploymentId"],
                event["LifecycleEventHookExecutionId"],
                succeeded=not failures,
            )
    return {"failures": failures}
