"""Each alert is raised by what it is meant for, and by nothing like it; each has a page that says what to do.

Series are written as promtool has them: `0+5x10` begins with 0 and grows by 5 ten times, one step a minute.
"""

import re
import subprocess

import pytest
import yaml

from support.exported import exported
from support.prometheus import NAMESPACE, ROOT, SERVICE, alerts, needs_prometheus, rules

ALERTS = alerts()
RUNBOOKS = ROOT / "docs" / "runbooks"
TARGET = f'namespace="{NAMESPACE}",service="{SERVICE}",pod="operator-1"'
SCHEDULE = 'namespace="research",evalschedule="nightly"'
JOB, WORKER = 'namespace="research",evaljob="qwen"', 'namespace="research",evaljob="qwen",pod="qwen-0"'


def operator(name, values, *labels):
    return f"assay_operator_{name}{{{','.join([TARGET, *labels])}}}", values


def job(name, values, *labels):
    return f"assay_job_{name}{{{','.join([JOB, TARGET.split(',', 1)[1], *labels])}}}", values


def schedule(name, values, *labels):
    return f"assay_schedule_{name}{{{','.join([SCHEDULE, *labels])}}}", values


def condition(kind, values):
    return schedule("condition", values, f'type="{kind}"')


def worker(name, values, *labels):
    return f"assay_{name}{{{','.join([WORKER, *labels])}}}", values


def errors(code, values):
    return operator("api_errors_total", values, f'verb="create",resource="jobs",code="{code}"')


def calls(values):
    return operator("api_seconds_count", values, 'verb="create",resource="jobs"')


def phase(name, values="1x60"):
    return job("phase", values, f'phase="{name}"')


def commits(seconds):
    """Ten commits a minute that take so many seconds."""
    bounds = ("0.1", "1.0", "5.0", "10.0", "30.0", "+Inf")
    return [
        worker("worker_commit_seconds_bucket", f"0+{10 if float(bound) >= seconds else 0}x60", f'le="{bound}"')
        for bound in bounds
    ]


def state(name, values="1x60"):
    return worker("worker_state", values, f'state="{name}"')


CHUNKS_LEFT = [worker("run_chunks", "10x60"), worker("run_chunks_committed", "4x60")]
CHUNKS_DONE = [worker("run_chunks", "10x60"), worker("run_chunks_committed", "10x60")]
HELD = worker("worker_accelerators", "8x60")
PODS_WAIT = job("workers", "3x60", 'state="waiting"')

RAISED = {
    "AssayOperatorDown": [[phase("Running")], [("assay_operator_leader{namespace='other'}", "1x60")]],
    "AssayOperatorNoLeader": [[operator("leader", "0x60")]],
    "AssayOperatorWatchStalled": [[operator("watch_age_seconds", "0+60x60")]],
    "AssayOperatorForbidden": [[errors("403", "0+1x60")], [errors("422", "0+1x60")]],
    "AssayOperatorApiErrors": [
        [calls("0+100x60"), errors("503", "0+6x60")],
        [calls("0+100x60"), errors("0", "0+3x60"), errors("429", "0+3x60")],
    ],
    "AssayOperatorQueueSlow": [[operator("queue_oldest_seconds", "0+60x60")]],
    "AssayJobStuck": [
        [phase(name), job("progress_time_seconds", "60x60")] for name in ("Pending", "Planning", "Running", "Reducing")
    ],
    "AssayJobErrors": [[phase("Running"), job("samples_done", "0+100x60"), job("errors", "0+6x60")]],
    "AssayJobFailed": [[job("failure", "1x60", 'reason="SpecError"'), job("completion_time_seconds", "600x60")]],
    "AssayGateFailed": [[job("gate", "0x60", 'gate="mmmu"'), job("completion_time_seconds", "600x60")]],
    "AssayScheduleHeld": [
        [condition("Accepted", "0x60"), schedule("suspended", "0x60")],
        # A watching pod that is refused runs for a moment every five minutes.
        [
            condition("Watching", "1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4 1 0x4"),
            schedule("suspended", "0x60"),
        ],
    ],
    "AssayBackendAway": [[worker("worker_backend_away", "1x60")]],
    "AssayStorageSlow": [commits(7.0)],
    "AssayWorkerIdle": [
        [state("working"), worker("worker_request_seconds_count", "90x60"), *CHUNKS_LEFT],
        [state("starting"), *CHUNKS_LEFT],
    ],
    "AssayAcceleratorIdle": [[state("waiting"), HELD, PODS_WAIT]],
}
"""Each list of series raises the alert within an hour."""

QUIET = {
    "AssayOperatorDown": [[operator("leader", "0x60")]],
    "AssayOperatorNoLeader": [[operator("leader", "0x60"), ("assay_operator_leader{" + TARGET[:-2] + '2"}', "1x60")]],
    "AssayOperatorWatchStalled": [[operator("watch_age_seconds", "80x60")]],
    "AssayOperatorForbidden": [[errors("409", "0+1x60")], [errors("403", "5x60")]],
    "AssayOperatorApiErrors": [
        [calls("0+100x60"), errors("503", "0+4x60")],
        [calls("0+100x60"), errors("409", "0+50x60")],
    ],
    "AssayOperatorQueueSlow": [[operator("queue_oldest_seconds", "50x60")]],
    "AssayJobStuck": [
        [phase("Running"), job("progress_time_seconds", "0+60x60")],
        [phase("Queued"), job("progress_time_seconds", "60x60")],
        [phase("Suspended"), job("progress_time_seconds", "60x60")],
        [phase("Complete"), job("progress_time_seconds", "60x60")],
    ],
    "AssayJobErrors": [
        [phase("Running"), job("samples_done", "0+100x60"), job("errors", "0+4x60")],
        [phase("Running"), job("samples_done", "0x60"), job("errors", "0x60")],
        [phase("Failed"), job("samples_done", "100x60"), job("errors", "100x60")],
    ],
    "AssayJobFailed": [[job("failure", "1x60", 'reason="SpecError"'), job("completion_time_seconds", "-4000x60")]],
    "AssayGateFailed": [
        [job("gate", "1x60", 'gate="mmmu"'), job("completion_time_seconds", "600x60")],
        [job("gate", "-1x60", 'gate="mmmu"'), job("completion_time_seconds", "600x60")],
    ],
    "AssayScheduleHeld": [
        [condition("Accepted", "1x60"), condition("Watching", "-1x60"), schedule("suspended", "0x60")],
        [condition("Watching", "0x60"), schedule("suspended", "1x60")],
        [condition("OnTime", "1x20 0x10 1x30"), schedule("suspended", "0x60")],
    ],
    "AssayBackendAway": [[worker("worker_backend_away", "0x60")], [worker("worker_backend_away", "1x5 0x5 1x5 0x45")]],
    "AssayStorageSlow": [commits(0.1), commits(5.0)],
    "AssayWorkerIdle": [
        [state("working"), worker("worker_request_seconds_count", "0+2x60"), *CHUNKS_LEFT],
        [state("working"), worker("worker_request_seconds_count", "90x60"), *CHUNKS_DONE],
        [state("waiting"), worker("worker_request_seconds_count", "90x60"), *CHUNKS_LEFT],
    ],
    "AssayAcceleratorIdle": [
        [state("waiting"), HELD, job("workers", "0x60", 'state="waiting"')],
        [state("waiting"), worker("worker_accelerators", "0x60"), PODS_WAIT],
        [state("working"), HELD, PODS_WAIT],
    ],
}
"""None of these lists of series raises it."""


def cases(table):
    return [(name, number) for name, lists in table.items() for number in range(len(lists))]


def promtool(folder, *arguments):
    (folder / "rules.yaml").write_text(rules())
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def raised(tmp_path_factory):
    """Of all cases those that have raised their alert after 55 minutes: promtool says of each what it has got, since none was
    expected."""
    folder = tmp_path_factory.mktemp("alerts")
    tests = [
        {
            "name": f"case {name} {number} {table is RAISED}",
            "interval": "1m",
            "input_series": [{"series": labels, "values": values} for labels, values in series],
            "alert_rule_test": [{"eval_time": "55m", "alertname": name, "exp_alerts": []}],
        }
        for table in (RAISED, QUIET)
        for name, lists in table.items()
        for number, series in enumerate(lists)
    ]
    file = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "test.yaml").write_text(yaml.safe_dump(file))
    code, said = promtool(folder, "test", "rules", "test.yaml")
    found = re.findall(r"name: case (\w+) (\d+) (\w+),?\s+alertname: (\w+)[^\[]*exp:\[\s*\][^\[]*got:\[\s*\S", said)
    assert code == 1 and len(found) == said.count("alertname: "), said
    return {(name, int(number), meant == "True") for name, number, meant, _ in found}


@needs_prometheus
@pytest.mark.parametrize(("name", "number"), cases(RAISED))
def test_what_an_alert_is_meant_for_raises_it(raised, name, number):
    assert (name, number, True) in raised


@needs_prometheus
@pytest.mark.parametrize(("name", "number"), cases(QUIET))
def test_what_only_looks_like_it_does_not(raised, name, number):
    assert (name, number, False) not in raised


@needs_prometheus
def test_the_rules_are_valid(tmp_path):
    code, said = promtool(tmp_path, "check", "rules", "rules.yaml")
    assert code == 0, said


def test_every_alert_is_tried_both_ways():
    assert RAISED.keys() == QUIET.keys() == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_how_bad_it_is_and_its_page_what_to_do(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"runbook_url", "summary", "description"}
    page = ROOT / alert["annotations"]["runbook_url"]
    text = page.read_text()
    assert page.name == f"{name}.md" and text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Check", "What to do"]


def test_every_page_is_of_an_alert_and_the_list_has_all():
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == ALERTS.keys()
    listed = re.findall(
        r"^\| \[(\w+)\]\(runbooks/\w+\.md\) \| (\w+) \|", (ROOT / "docs" / "monitoring.md").read_text(), re.M
    )
    assert dict(listed) == {name: alert["labels"]["severity"] for name, alert in ALERTS.items()}


def test_alerts_name_only_metrics_and_labels_that_exist(tmp_path):
    known = exported(tmp_path)
    targets = {"namespace", "service", "pod", "evaljob", "le"}
    labels = targets | {label for _, each in known.values() for label in each}
    for alert in ALERTS.values():
        names = re.findall(r"\bassay_[a-z_]+", alert["expr"])
        assert names and {re.sub(r"_(bucket|count|sum)$", "", name) for name in names} <= known.keys()
        used = re.findall(r"(\w+)=~?\"", alert["expr"])
        used += [
            label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", alert["expr"]) for label in group.split(", ")
        ]
        used += re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))
        assert set(filter(None, used)) <= labels


def test_what_alerts_say_names_labels_that_they_keep():
    for alert in ALERTS.values():
        kept = re.findall(r"\bby \(([^)]*)\)", alert["expr"])
        shown = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
        assert shown <= set(kept[0].split(", ") if kept else ())
