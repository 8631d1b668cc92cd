"""An operator that dies after each single call it makes, in every phase, still brings a job to its end: the next one goes on."""

import json
import os
import time

import pytest

from support.doomed_operator import DoomedOperator
from support.e2e import endpoint_job, on_a_laptop, wait_for

LONG = "CHAOS_FAULTS" in os.environ
pytestmark = pytest.mark.timeout(900, func_only=True)


@pytest.fixture
def alone(cluster, operator):
    """No other operator acts meanwhile."""
    arguments = ("scale", "deployment", "-n", "assay-system", "-l", "app.kubernetes.io/component=operator")
    cluster.kubectl(*arguments, "--replicas=0")
    wait_for(lambda: not operator.pods(), 60, "the end of the operator")
    yield
    cluster.kubectl(*arguments, "--replicas=1")
    wait_for(lambda: operator.leader() in operator.pods(), 60, "an operator that leads")


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param(True, id="each-write"),
        pytest.param(
            False,
            id="each-call",
            marks=pytest.mark.skipif(not LONG, reason="takes minutes; `make chaos` runs it"),
        ),
    ],
)
def test_an_operator_may_die_after_each_of_its_calls(
    cluster, lab, s3, ns, storage, stub, alone, tmp_path, capsys, writes
):
    manifest = endpoint_job(stub(latency=0.1).url, storage, "doomed", limit=100, replicas=2)
    lab.apply(manifest, ns)
    children, began = {}, time.monotonic()
    with DoomedOperator(cluster, tmp_path, writes=writes) as operator:
        for _ in range(200):
            operator.live()
            while not operator.wait(0.3):
                for job in cluster.get("jobs", ns=ns)["items"]:
                    children.setdefault(job["metadata"]["name"], set()).add(job["metadata"]["uid"])
                if lab.evaljob(ns, "doomed").get("status", {}).get("completionTime"):
                    break
            if lab.evaljob(ns, "doomed").get("status", {}).get("completionTime"):
                break
    figures = {"deaths": len(operator.calls), "seconds": round(time.monotonic() - began)}
    figures |= {"died_after": [f"{call.phase or 'new'}: {call.what}" for call in operator.calls]}
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert lab.condition(ns, "doomed", "Complete").get("status") == "True"
    assert s3.read(lab.evaljob(ns, "doomed")["status"]["resultsUri"]) == on_a_laptop(manifest, tmp_path)
    assert sorted(name.rpartition("-")[2] for name in children) == ["plan", "reduce", "work"]
    assert all(len(uids) == 1 for uids in children.values()), children
    died = {(call.phase, call.what) for call in operator.calls}
    jobs = {("", "PATCH jobs plan"), ("Running", "PATCH jobs reduce")}
    assert jobs | {(phase, "PATCH evaljobs status") for phase in ("", "Planning", "Running", "Reducing")} <= died
    assert "PATCH jobs work" in {what for _, what in died} and "POST events" in {what for _, what in died}
    assert writes or {(phase, "GET evaljobs") for phase in ("", "Planning", "Running", "Reducing")} <= died
