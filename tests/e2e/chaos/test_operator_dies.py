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
    expected, began, lives = on_a_laptop(manifest, tmp_path), time.monotonic(), []
    with DoomedOperator(cluster, tmp_path, writes=writes) as operator:
        # What an operator would do after a call at which it died, such as telling of what it wrote, is done in a later job.
        while not lives or (LONG and lives[-1]):
            before = len(operator.calls)
            operator.phase = ""
            lab.apply(manifest, ns)
            children = live_and_die(cluster, lab, ns, operator)
            assert lab.condition(ns, "doomed", "Complete").get("status") == "True"
            assert s3.read(lab.evaljob(ns, "doomed")["status"]["resultsUri"]) == expected
            assert sorted(name.rpartition("-")[2] for name in children) == ["plan", "reduce", "work"]
            assert all(len(uids) == 1 for uids in children.values()), children
            operator.end()
            cluster.kubectl("delete", "evaljob", "doomed", "-n", ns, "--wait")
            lives.append(len(operator.calls) - before)
    figures = {"deaths_of_each_job": lives, "seconds": round(time.monotonic() - began)}
    figures |= {"died_after": [f"{call.phase or 'new'}: {call.what}" for call in operator.calls]}
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    calls = ["PATCH evaljobs status", *(["POST events"] if LONG else []), *([] if writes else ["GET evaljobs"])]
    wanted = {(phase, call) for phase in ("Planning", "Running", "Reducing") for call in calls}
    assert wanted <= {(call.phase, call.what) for call in operator.calls}
    assert {f"PATCH jobs {step}" for step in ("plan", "work", "reduce")} <= {call.what for call in operator.calls}


def live_and_die(cluster, lab, ns, operator):
    """Operators live one after the other until the job has ended; the uids of the Jobs that were seen, by name."""
    children, until = {}, time.monotonic() + 400
    uid = lab.evaljob(ns, "doomed")["metadata"]["uid"]
    while True:
        operator.live()
        while not operator.wait(0.3):
            for job in cluster.get("jobs", ns=ns, selector=f"assay.dev/job-uid={uid}")["items"]:
                children.setdefault(job["metadata"]["name"], set()).add(job["metadata"]["uid"])
            if lab.evaljob(ns, "doomed").get("status", {}).get("completionTime"):
                return children
            assert time.monotonic() < until, operator.calls
