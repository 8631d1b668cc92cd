"""The dashboard of one EvalJob: how far it is, what came out, and what its workers do."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from charts.dashboards.panels import board, choice, graph, number, rows, word

THIS = '{namespace="$namespace",evaljob="$evaljob"}'


def job() -> dashboard.Dashboard:
    """The dashboard."""
    made = (
        board("Assay / EvalJob", "assay-evaljob", "One EvalJob: how far it is, what came out, what its workers do.")
        .with_variable(choice("namespace", "Namespace", "label_values(assay_job_phase, namespace)", several=False))
        .with_variable(
            choice(
                "evaljob", "EvalJob", 'label_values(assay_job_phase{namespace="$namespace"}, evaljob)', several=False
            )
        )
    )
    made = _progress(made.with_row(dashboard.Row("Progress and results")))
    made = _throughput(made.with_row(dashboard.Row("Throughput")))
    return _trouble(made.with_row(dashboard.Row("Workers and trouble")))


def _of(metric: str, *by: str) -> str:
    """What the operator tells; two may at the moment when one takes over."""
    return f"max{_by(by)} (assay_job_{metric}{THIS})"


def _rate(metric: str, *by: str) -> str:
    return f"sum{_by(by)} (rate(assay_worker_{metric}{THIS}[$__rate_interval]))"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _quantiles(metric: str) -> dict[str, str]:
    buckets = _rate(f"{metric}_bucket", "le")
    shares = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}
    return {name: f"histogram_quantile({share}, {buckets})" for name, share in shares.items()}


def _progress(made: dashboard.Dashboard) -> dashboard.Dashboard:
    left = f"({_of('samples')} - {_of('samples_done')}) / ({_of('samples_per_second')} > 0)"
    for panel in (
        word("Phase", "As of now.", _of("phase", "phase"), "phase"),
        number("Done", "Samples with a committed record.", f"{_of('samples_done')} / {_of('samples')}", "percentunit"),
        number("Time left", "At the rate of late.", left, "s", now=True),
        number("Failed samples", "So far.", _of("errors")),
        number("Accelerator time", "Of all workers; those of an endpoint are not known.", _of("accelerator_seconds"), "s"),
        number("Preemptions", "Work pods that were evicted or lost, and replaced.", _of("preemptions")),
        graph("Samples", "Planned, and with a committed record.", {
            "planned": _of("samples"), "committed": _of("samples_done"),
        }),
        graph("Chunks", "Planned, committed, and done for nothing because somebody else was first.", {
            "planned": _of("chunks"),
            "committed": _of("chunks_committed"),
            "discarded": f'sum(assay_worker_chunks_total{THIS[:-1]},outcome="discarded"}})',
        }),
        graph("Tokens", "Of committed samples.", {"{{direction}}": _of("tokens", "direction")}),
        rows("Results", "Headline results with their 95 % intervals.", {
            "Score": _of("score", "task", "metric"),
            "Low": _of("score_low", "task", "metric"),
            "High": _of("score_high", "task", "metric"),
        }, width=12),
        rows("Gates", "1: passed, 0: not passed, -1: cannot be told.", {"Verdict": _of("gate", "gate")}, width=6),
        rows("Failed samples by class", "So far.", {"Samples": _of("errors_by_class", "class")}, width=6),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


def _throughput(made: dashboard.Dashboard) -> dashboard.Dashboard:
    for panel in (
        graph("Samples per second", "By worker.", {"{{pod}}": _rate("samples_total", "pod")}, stacked=True),
        graph("Tokens per second", "Of answered requests.", {"{{direction}}": _rate("tokens_total", "direction")}, stacked=True),
        graph("Answers take", "From sending a request to its complete answer.", _quantiles("request_seconds"), "s"),
        graph("In flight", "Requests that the backend has, by worker.", {
            "{{pod}}": f"sum by (pod) (assay_worker_in_flight{THIS})",
        }, stacked=True),
        graph("Queues", "Requests to be asked, documents to be scored, chunks to be committed.", {
            "{{stage}}": f"sum by (stage) (assay_worker_queue_depth{THIS})",
        }),
        graph("Commits take", "Writing a chunk's data and marker.", _quantiles("commit_seconds"), "s"),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


def _trouble(made: dashboard.Dashboard) -> dashboard.Dashboard:
    going = f'assay_job_phase{THIS[:-1]},phase!~"Complete|Failed"}}'
    for panel in (
        graph("Work pods", "As the operator sees them.", {"{{state}}": _of("workers", "state")}),
        graph("What workers do", "Workers in each state, as they say themselves.", {
            "{{state}}": f"sum by (state) (assay_worker_state{THIS})",
        }, stacked=True),
        graph("Workers whose backend is away", "It takes no requests, or gives no answers.", {
            "workers": f"sum(assay_worker_backend_away{THIS})",
        }),
        graph("Failed samples per second", "By class.", {"{{class}}": _rate("errors_total", "class")}),
        graph("Retries per second", "Requests that were sent again, by worker.", {
            "{{pod}}": _rate("retries_total", "pod"),
        }, stacked=True),
        graph("Since the last progress", "While it runs, since the last commit.", {
            "seconds": f"(time() - {_of('progress_time_seconds')}) and on () {going}",
        }, "s"),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made
