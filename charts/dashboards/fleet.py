"""The dashboard of the fleet: all EvalJobs and EvalSchedules of the chosen namespaces, what gets done, and the operator."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from charts.dashboards.panels import board, choice, graph, number, rows

HERE = '{namespace=~"$namespace"}'
EACH = "max by (namespace, evaljob)"
"""Two operators may tell of a job at the moment when one takes over."""


def fleet() -> dashboard.Dashboard:
    """The dashboard."""
    made = board("Assay / Fleet", "assay-fleet", "All EvalJobs, what they get done, and the operator.").with_variable(
        choice("namespace", "Namespace", "label_values(assay_job_phase, namespace)", several=True)
    )
    made = _jobs(made.with_row(dashboard.Row("EvalJobs")))
    made = _schedules(made.with_row(dashboard.Row("EvalSchedules")))
    made = _work(made.with_row(dashboard.Row("Work")))
    return _operator(made.with_row(dashboard.Row("Operator")))


def _jobs(made: dashboard.Dashboard) -> dashboard.Dashboard:
    phases = f"count by (phase) (max by (namespace, evaljob, phase) (assay_job_phase{HERE}))"
    info = f"max by (namespace, evaljob, model) (assay_job_info{HERE})"

    def of(metric: str) -> str:
        return f"{EACH} (assay_job_{metric}{HERE})"

    going = 'and on (namespace, evaljob) assay_job_phase{namespace=~"$namespace",phase!~"Complete|Failed"}'
    running, waiting = 'namespace=~"$namespace",phase="Running"', 'namespace=~"$namespace",state="waiting"'
    for title, says, expression in (
        ("Running", "EvalJobs that run.", f"count(assay_job_phase{{{running}}})"),
        ("Failed", "EvalJobs that have failed and still exist.", f"count(assay_job_failure{HERE})"),
        ("Gates not passed", "Of EvalJobs that still exist.", f"count(assay_job_gate{HERE} == 0)"),
        (
            "Samples left",
            "Planned, without a committed record.",
            f"sum(({of('samples')} - {of('samples_done')}) {going})",
        ),
        ("Accelerators", "That workers hold.", f"sum(assay_worker_accelerators{HERE})"),
        ("Pods that wait", "Work pods without a node, an image or a Secret.", f"sum(assay_job_workers{{{waiting}}})"),
    ):
        made = made.with_panel(number(title, says, f"{expression} or vector(0)"))
    made = made.with_panel(graph("EvalJobs by phase", "EvalJobs that exist.", {"{{phase}}": phases}, stacked=True))
    reasons = f"count by (reason) (max by (namespace, evaljob, reason) (assay_job_failure{HERE}))"
    made = made.with_panel(
        graph("Failed EvalJobs by reason", "EvalJobs that have failed and still exist.", {"{{reason}}": reasons})
    )
    states = f"sum by (state) (max by (namespace, evaljob, state) (assay_job_workers{HERE}))"
    made = made.with_panel(graph("Work pods by state", "As the operator sees them.", {"{{state}}": states}))
    columns = {
        "Done": f"({of('samples_done')} / {of('samples')}) {going}",
        "Samples/s": f"{of('samples_per_second')} {going}",
        "Seconds left": f"(({of('samples')} - {of('samples_done')}) / ({of('samples_per_second')} > 0)) {going}",
        "Errors": f"{of('errors')} {going}",
        "Running pods": f'max by (namespace, evaljob) (assay_job_workers{{namespace=~"$namespace",state="active"}}) {going}',
    }
    made = made.with_panel(rows("EvalJobs under way", "What has a plan and has not ended.", columns, width=12))
    score = f"max by (namespace, evaljob, task, metric) (assay_job_score{HERE})"
    scores = f"{score} * on (namespace, evaljob) group_left (model) {info}"
    return made.with_panel(rows("Results", "Headline results of the EvalJobs that exist.", {"Score": scores}, width=12))


def _schedules(made: dashboard.Dashboard) -> dashboard.Dashboard:
    def of(metric: str) -> str:
        return f"max by (namespace, evalschedule) (assay_schedule_{metric}{HERE})"

    conditions = f"max by (namespace, evalschedule, type) (assay_schedule_condition{HERE})"
    columns = {
        "Under way": of("active_jobs"),
        "Conditions that fail": f"sum by (namespace, evalschedule) ({conditions} == bool 0)",
        "Suspended": of("suspended"),
        "Seconds since one started": f"time() - {of('last_time_seconds')}",
        "Seconds since one completed": f"time() - {of('last_success_time_seconds')}",
    }
    return made.with_panel(rows("EvalSchedules", "What they have started, and whether they do.", columns, width=24))


def _work(made: dashboard.Dashboard) -> dashboard.Dashboard:
    def rate(metric: str, *by: str) -> str:
        return f"sum by ({', '.join(by)}) (rate(assay_worker_{metric}{HERE}[$__rate_interval]))"

    busy = f"sum(assay_worker_accelerators{HERE} and on (namespace, pod) assay_worker_in_flight{HERE} > 0)"
    seconds = f"sum by (le) (rate(assay_worker_request_seconds_bucket{HERE}[$__rate_interval]))"
    commits = f"sum by (le) (rate(assay_worker_commit_seconds_bucket{HERE}[$__rate_interval]))"
    for panel in (
        graph(
            "Samples per second",
            "Samples that workers have done, by namespace.",
            {"{{namespace}}": rate("samples_total", "namespace")},
            stacked=True,
        ),
        graph(
            "Tokens per second",
            "Of answered requests.",
            {"{{direction}}": rate("tokens_total", "direction")},
            stacked=True,
        ),
        graph(
            "Accelerators",
            "Accelerators that workers hold, and those of workers whose backend has requests.",
            {"held": f"sum(assay_worker_accelerators{HERE})", "with requests": f"{busy} or vector(0)"},
        ),
        graph(
            "Failed samples per second",
            "By class, as workers see them.",
            {"{{class}}": rate("errors_total", "class")},
        ),
        graph(
            "Answers take",
            "From sending a request to its complete answer.",
            {"median": f"histogram_quantile(0.5, {seconds})", "99 %": f"histogram_quantile(0.99, {seconds})"},
            "s",
        ),
        graph(
            "Commits take",
            "Writing a chunk's data and marker.",
            {"median": f"histogram_quantile(0.5, {commits})", "99 %": f"histogram_quantile(0.99, {commits})"},
            "s",
        ),
    ):
        made = made.with_panel(panel)
    return made


def _operator(made: dashboard.Dashboard) -> dashboard.Dashboard:
    def rate(metric: str, *by: str) -> str:
        return f"sum by ({', '.join(by)}) (rate(assay_operator_{metric}[$__rate_interval]))"

    def quantile(share: float, metric: str) -> str:
        return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le')})"

    for panel in (
        graph("Looks per second", "At EvalJobs, by how they ended.", {"{{outcome}}": rate("reconciles_total", "outcome")}),
        graph(
            "A look takes",
            "And how long an EvalJob waits for it.",
            {
                "median": quantile(0.5, "reconcile_seconds"),
                "99 %": quantile(0.99, "reconcile_seconds"),
                "99 % wait": quantile(0.99, "queue_seconds"),
            },
            "s",
        ),
        graph(
            "Queue",
            "EvalJobs that wait for a look.",
            {"waiting": "max(assay_operator_queue_depth)"},
        ),
        graph(
            "Calls of the API server per second",
            "Watches left out.",
            {"{{verb}} {{resource}}": rate("api_seconds_count", "verb", "resource")},
            stacked=True,
        ),
        graph(
            "A call takes",
            "Of the API server, watches left out.",
            {"median": quantile(0.5, "api_seconds"), "99 %": quantile(0.99, "api_seconds")},
            "s",
        ),
        graph(
            "Failed calls per second",
            "Refused or not answered, by code.",
            {"{{code}} {{verb}} {{resource}}": rate("api_errors_total", "verb", "resource", "code")},
        ),
        graph(
            "Delays",
            "What the watch owes, and how long the first EvalJob in the queue has waited.",
            {
                "watch": "max(assay_operator_watch_age_seconds)",
                "queue": "max(assay_operator_queue_oldest_seconds)",
            },
            "s",
        ),
        graph("Operators", "Replicas that report, and that act.", {
            "report": "count(assay_operator_leader)", "act": "sum(assay_operator_leader)",
        }),
        graph("EvalJobs known", "By phase, all namespaces.", {"{{phase}}": "max by (phase) (assay_operator_jobs)"}, stacked=True),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made
