"""A real Prometheus that scrapes a real run finds data for every query of the dashboards and for all that alerts look at."""

import hashlib
import json
import math
import re
import shlex
import threading
import time
from contextlib import contextmanager

import pytest
import yaml

from support.dashboards import queries
from support.e2e import NAMESPACE, ROOT, endpoint_job, evalschedule, wait_for
from support.endpoint import MODEL, status
from support.prometheus import alerts, needs_prometheus, running

pytestmark = [needs_prometheus, pytest.mark.usefixtures("operator"), pytest.mark.timeout(300, func_only=True)]

NO_TROUBLE = {
    "fleet: Failed calls per second": "the API server refuses nothing",
    "job: Gates": "the job has none",
}
"""Panels without data when all is well, and why."""
QUIET = {
    "assay_operator_api_errors_total": "the API server refuses nothing",
    "assay_job_gate": "the job has no gates",
}
"""Metrics that alerts look at and that have no series when all is well, and why."""


def test_every_query_of_dashboards_and_alerts_finds_data(lab, s3, ns, storage, stub, tmp_path):
    if lab.cluster.script is None:
        pytest.skip("the pods of kind are not reached from here")
    endpoint = stub(latency=0.15, fault_for=some_fail())
    began = time.time()
    with targets(lab, ns, tmp_path) as found, running(tmp_path, scrape_configs(found)) as prometheus:
        spec = {"replicas": 2, "errorPolicy": {"maxErrorRate": 0.3, "retries": 1}}
        lab.apply(endpoint_job(endpoint.url, storage, "watched", limit=1500, **spec), ns)
        wrong = endpoint_job(endpoint.url, storage, "wrong")
        wrong["spec"]["tasks"] = [{"name": "no_such_task"}]
        lab.apply(wrong, ns)
        lab.apply(evalschedule_of_a_checkpoint(s3, storage, stub(models=(MODEL, "checkpoint-5"))), ns)
        working = wait_for(lambda: lab.workers(ns), 90, "a work pod that runs")
        for command in commands_of_runbooks(ns, "watched", working[0]["metadata"]["name"]):
            lab.cluster.kubectl(*command)
        lab.wait_for_condition(ns, "watched", "Complete", 150)
        lab.wait_for_condition(ns, "wrong", "Failed", 60)
        wait_for(
            lambda: prometheus.query('assay_job_phase{phase="Complete",evaljob="watched"}'), 20, "the end, scraped"
        )
        wait_for(
            lambda: prometheus.query("assay_schedule_last_success_time_seconds"), 90, "a checkpoint's end, scraped"
        )
        wait_for(lambda: raised(prometheus, "AssayJobFailed", "wrong"), 20, "an alert about the job that failed")
        assert all(target["health"] == "up" for target in prometheus.targets() if "operator" in target["scrapePool"])

        def data(expression):
            expression = expression.replace("$namespace", ns).replace("$evaljob", "watched")
            # Up to a step beyond now: the last step before it may lie ahead of the scrape that has shown the end.
            series = prometheus.query_range(expression.replace("$__rate_interval", "5s"), began, time.time() + 1, 1)
            return [row for row in series if any(not math.isnan(float(value)) for _, value in row["values"])]

        empty = {str(query) for query in queries() if not data(query.expression)}
        assert {name for name in empty if name.rpartition(" (")[0] not in NO_TROUBLE} == set()
        for name, alert in alerts().items():
            prometheus.query(alert["expr"])
            selectors = re.findall(r"\b(assay_[a-z_]+)(?:\{([^}]*)\})?", alert["expr"])
            for metric, matchers in selectors:
                target = ",".join(re.findall(r'(?:namespace|service)="[^"]*"', matchers))
                assert metric in QUIET or data(f"{metric}{{{target}}}"), f"{name}: {metric}"


def evalschedule_of_a_checkpoint(s3, storage, endpoint):
    """One that finds a checkpoint when it first looks."""
    bucket = s3.new_bucket()
    s3.server.client().put_object(Bucket=bucket, Key="checkpoint-5/DONE", Body=b"")
    job = endpoint_job(endpoint.url, storage, "x", limit=25)
    job["spec"]["model"]["name"] = "$(CHECKPOINT_NAME)"
    return evalschedule("checkpoints", job, watch={"uri": f"s3://{bucket}", "readyFile": "DONE", "pollSeconds": 1})


def commands_of_runbooks(ns, evaljob, pod):
    """The commands of kubectl that look and need nothing besides."""
    lines = {
        line
        for page in sorted((ROOT / "docs" / "runbooks").glob("*.md"))
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    }
    given = {"NAMESPACE": ns, "NAME": evaljob, "POD": pod, "SCHEDULE": "checkpoints"}
    for line in sorted(lines):
        program, *words = shlex.split(line)
        if program == "kubectl" and not {"|", "exec", "top"} & set(words):
            yield [re.sub(rf"\b({'|'.join(given)})\b", lambda found: given[found[0]], word) for word in words]


def some_fail():
    """One question in sixteen is never answered, and one request in twenty is answered at the second try."""
    requests = iter(range(10**9))

    def fault(body):
        if hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[0] == "0":
            return status(500)
        return status(500) if next(requests) % 20 == 0 else None

    return fault


def raised(prometheus, name, evaljob):
    return prometheus.query(f'ALERTS{{alertname="{name}",evaljob="{evaljob}",alertstate="firing"}}')


def scrape_configs(found):
    """Those of the page, which find their targets in a file: Debian's Prometheus is built without Kubernetes."""
    page = (ROOT / "docs" / "monitoring.md").read_text()
    (block,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", page, re.MULTILINE | re.DOTALL)
    configs = yaml.safe_load(block)["scrape_configs"]
    for config in configs:
        del config["kubernetes_sd_configs"]
        files = [str(found / f"{config['job_name']}.json")]
        config["file_sd_configs"] = [{"files": files, "refresh_interval": "1s"}]
    return configs


@contextmanager
def targets(lab, ns, folder):
    """Files that say what Prometheus would find on the cluster by itself, with the labels that it would give, kept up to date."""
    over = threading.Event()

    def write():
        pods = lab.pods(ns, "work")
        save("assay-workers", [pod_target(pod) for pod in pods if pod["status"].get("podIP")])
        endpoints = lab.cluster.get("endpoints", "assay-operator", NAMESPACE)
        save("assay-operator", list(endpoint_targets(endpoints)))

    def save(name, found):
        (folder / "new.json").write_text(json.dumps(found))
        (folder / "new.json").rename(folder / f"{name}.json")

    def keep_writing():
        while not over.wait(1):
            write()

    write()
    keeping = threading.Thread(target=keep_writing)
    keeping.start()
    try:
        yield folder
    finally:
        over.set()
        keeping.join(60)


def pod_target(pod):
    meta, prefix = pod["metadata"], "__meta_kubernetes_pod"
    (port,) = (port for container in pod["spec"]["containers"] for port in container.get("ports", []))
    labels = {f"{prefix}_label_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}": value for name, value in meta["labels"].items()}
    labels |= {
        "__meta_kubernetes_namespace": meta["namespace"],
        f"{prefix}_name": meta["name"],
        f"{prefix}_phase": pod["status"]["phase"],
        f"{prefix}_container_port_name": port["name"],
    }
    return {"targets": [f"{pod['status']['podIP']}:{port['containerPort']}"], "labels": labels}


def endpoint_targets(endpoints):
    for subset in endpoints.get("subsets") or []:
        for port in subset["ports"]:
            for address in subset.get("addresses") or []:
                labels = {
                    "__meta_kubernetes_namespace": endpoints["metadata"]["namespace"],
                    "__meta_kubernetes_service_name": endpoints["metadata"]["name"],
                    "__meta_kubernetes_endpoint_port_name": port["name"],
                    "__meta_kubernetes_pod_name": address["targetRef"]["name"],
                }
                yield {"targets": [f"{address['ip']}:{port['port']}"], "labels": labels}
