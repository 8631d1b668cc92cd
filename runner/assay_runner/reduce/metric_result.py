"""An estimate as it stands in `results.json`."""

from __future__ import annotations

from assay_api.results import MetricResult
from assay_runner.statistics.estimate import Estimate


def metric_result(metric: str, filtered: str, higher_is_better: bool, estimated: Estimate) -> MetricResult:
    """The row of a metric, of a task or of a group."""
    return MetricResult(
        metric=metric,
        filter=filtered,
        value=estimated.value,
        higher_is_better=higher_is_better,
        n=estimated.n,
        clusters=estimated.clusters,
        stderr=estimated.stderr,
        ci_low=estimated.ci_low,
        ci_high=estimated.ci_high,
        method=estimated.method,
    )
