"""Names of the metrics with which any worker tells how far the whole run is; the operator reads them from one of them.

All are gauges, and all but one have no labels. They are advisory: no number of the results depends on them.
"""

from __future__ import annotations

PORT = 9090
"""Where work pods serve their metrics."""

SAMPLES = "assay_run_samples"
SAMPLES_COMMITTED = "assay_run_samples_committed"
CHUNKS = "assay_run_chunks"
CHUNKS_COMMITTED = "assay_run_chunks_committed"
ERRORS = "assay_run_errors"
TOKENS_IN = "assay_run_tokens_in"
TOKENS_OUT = "assay_run_tokens_out"
RETRIES = "assay_run_retries"
ACCELERATOR_SECONDS = "assay_run_accelerator_seconds"
ERRORS_BY_CLASS = "assay_run_errors_by_class"
"""With the label `CLASS`."""
CLASS = "class"
MOST_CLASSES, LONGEST_CLASS = 16, 64
"""Classes that are told apart, and characters of their names, wherever errors are told by class."""
SAMPLES_PER_SECOND = "assay_run_samples_per_second"
