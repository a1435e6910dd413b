"""Counts the failures that nobody expected, so that a broken release is seen and taken back.

A failure that becomes an answer (500), or a message that comes again, is no error that Lambda
counts: the invocation succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

from headroom.settings import FromEnvironment

METRIC: Final = "Crashes"


@dataclass(frozen=True, slots=True)
class Crashes(FromEnvironment):
    """The crashes of one version of one function.

    `version` is its number, which Lambda sets itself; `$LATEST` where nothing was published.
    """

    version: Annotated[str, "AWS_LAMBDA_FUNCTION_VERSION"] = "$LATEST"

    def count(self) -> None:
        """Count a crash twice: of the function, for people; of its version, for CodeDeploy.

        CloudWatch adds nothing up over dimensions: who listens names all that were written.
        """
        with single_metric(METRIC, MetricUnit.Count, 1):
            pass
        with single_metric(METRIC, MetricUnit.Count, 1) as metric:
            metric.add_dimension("function_version", self.version)
