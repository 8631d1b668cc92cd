"""What clusters do to jobs changes no number of theirs, and leaves nothing behind.

`make chaos` has 200 faults and 20 jobs at least; CHAOS_SEED, CHAOS_FAULTS and CHAOS_JOBS change that, and the same seed gives the
same schedule. Without them this is a short one, for every change: six faults of six kinds, with a node that dies.
"""

import json
import os

import pytest

from support.chaos_faults import Injector, priority
from support.chaos_run import Night
from support.chaos_schedule import schedule
from support.e2e import easy_vqa, endpoint_job, on_a_laptop
from support.faulty_s3 import FaultyS3, Forward

SEED, FAULTS, JOBS = (
    int(os.environ.get(name, short)) for name, short in (("CHAOS_SEED", 1896), ("CHAOS_FAULTS", 6), ("CHAOS_JOBS", 2))
)

pytestmark = pytest.mark.timeout(3600, func_only=True)


@pytest.fixture
def faulty(cluster, s3):
    with FaultyS3(Forward(s3.server), host=cluster.host) as proxy:
        yield proxy


def manifests(url, storage):
    """Runs of three kinds, on pods that have a GPU each so that they can be preempted."""
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "1Gi"}}}
    common = {"replicas": 3, "template": gpu, "reclaimPolicy": "Delete"}
    return {
        "short": endpoint_job(url, storage, "short", limit=300, **common),
        "model": easy_vqa(storage, "model", tasks=[{"name": "easy_vqa", "limit": 1500}], **common),
        "long": endpoint_job(url, storage, "long", limit=900, seed=3, **common),
    }


def test_a_schedule_of_faults_changes_no_byte_and_leaves_nothing_behind(
    cluster, lab, s3, operator, ns, stub, faulty, tmp_path, capsys
):
    if cluster.script is None:
        pytest.skip("faults are injected into nodes of this machine, not into those of kind")
    s3.secret(ns)
    storage = s3.storage(s3.new_bucket()) | {"endpointUrl": faulty.endpoint}
    endpoint = stub(latency=0.3)
    injector = Injector(lab, operator, faulty, ns)
    root, at_a_time = f"{storage['uri']}/{ns}", min(4, JOBS)
    night = Night(lab, s3, injector, manifests(endpoint.url, storage), ns, root, at_a_time)
    with priority(lab):
        night.live_through(schedule(SEED, FAULTS), JOBS)
    with capsys.disabled():
        print("\n" + json.dumps(night.figures(SEED)))
    # Only how long it takes is another.
    endpoint.latency = 0.0

    def undisturbed(life):
        folder = tmp_path / life.name
        folder.mkdir()
        manifest = night.manifests[life.like]
        return on_a_laptop(manifest | {"metadata": {"name": life.name}}, folder)

    assert not night.complaints(undisturbed)
