"""Counts the failures that nobody expected, so that a broken release is seen and taken back.

A failure that becomes an answer (500), or a message that comes again, is no error that Lambda
counts: the invocation succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

from headroom.core.settings import VersionSettings

METRIC: Final = "Crashes"


@dataclass(frozen=True, slots=True)
class Crashes:
    """The crashes of one version of one function."""

    version: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Crashes:
        """Read which version this is."""
        return cls(VersionSettings.from_env(environment).version)

    def count(self) -> None:
        """Count a crash twice: of the function, for people; of its version, for CodeDeploy.

        CloudWatch adds nothing up over dimensions: who listens names all that were written.
        """
        with single_metric(METRIC, MetricUnit.Count, 1):
            pass
        with single_metric(METRIC, MetricUnit.Count, 1) as metric:
            metric.add_dimension("function_version", self.version)
