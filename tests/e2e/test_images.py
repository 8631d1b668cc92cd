"""The images run where nothing is allowed: any user, a read-only root, no privileges, no way out."""

import json
import re
import subprocess
import sys

import pytest

from assay_runner import __version__
from support.e2e import ROOT, wait_for

MB = 10**6
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture
def run_pod(cluster, ns):
    """Run a command in a restricted pod and return what it printed; the user is the image's own unless given."""

    def run(image, *command, user=None, files=None, timeout=90):
        mounts, volumes = [{"name": "tmp", "mountPath": "/tmp"}], [{"name": "tmp", "emptyDir": {}}]
        if files:
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": files}
            cluster.kubectl("create", "-n", ns, "-f", "-", input=json.dumps(config))
            mounts.append({"name": "files", "mountPath": "/files"})
            volumes.append({"name": "files", "configMap": {"name": "files"}})
        container = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "securityContext": RESTRICTED | ({"runAsUser": user} if user else {}),
            "volumeMounts": mounts,
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": volumes,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "try-"}, "spec": spec}
        name = cluster.kubectl("create", "-n", ns, "-f", "-", "-o", "name", input=json.dumps(pod)).stdout.strip()
        ended = ("Succeeded", "Failed")
        phase = wait_for(
            lambda: (now := cluster.get(name, ns=ns)["status"]["phase"]) in ended and now, timeout, f"the end of {name}"
        )
        printed = cluster.kubectl("logs", "-n", ns, name).stdout
        assert phase == "Succeeded", printed
        return printed

    return run


def test_the_runner_answers_as_any_user(run_pod, images):
    assert run_pod(images.runner, "assay", "--version", user=12345) == f"assay {__version__}\n"
    assert run_pod(images.runner, "sh", "-c", "id -u; pwd") == "65532\n/opt/assay\n"


def test_the_operator_answers_as_any_user(run_pod, images):
    assert "assay-operator" in run_pod(images.operator, "assay-operator", "--help", user=12345)
    assert run_pod(images.operator, "sh", "-c", "id -u") == "65532\n"


def test_the_demo_has_the_same_plan_in_a_pod_as_on_this_machine(run_pod, images, tmp_path):
    example = ROOT / "examples" / "easy-vqa.yaml"
    command = [sys.executable, "-m", "assay_runner", "plan", str(example), "--store", str(tmp_path)]
    here = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    there = run_pod(
        images.runner,
        *("assay", "plan", "/files/job.yaml", "--store", "/tmp/runs"),
        files={"job.yaml": example.read_text()},
    )
    digest = re.compile(r"plan ([0-9a-f]{64})")
    assert digest.search(there)[1] == digest.search(here)[1]


@pytest.mark.parametrize("image", ["operator", "runner"])
def test_a_user_that_the_image_does_not_know_has_a_name_and_a_home(run_pod, images, image):
    ask = (
        "import getpass, pathlib, tempfile; getpass.getuser(); tempfile.mkdtemp(dir=pathlib.Path.home()); print('fine')"
    )
    assert run_pod(getattr(images, image), "python", "-c", ask, user=12345) == "fine\n"


@pytest.mark.parametrize(("image", "limit"), [("operator", 120), ("runner", 1800)])
def test_what_an_image_adds_to_its_base_is_bounded(run_pod, images, image, limit):
    added = int(run_pod(getattr(images, image), "du", "-sxb", "/opt").split()[0])
    assert added <= limit * MB


def test_the_operators_image_holds_no_runner(run_pod, images):
    find = "import importlib.util as u; print([n for n in ('assay_runner', 'torch', 'boto3') if u.find_spec(n)])"
    assert run_pod(images.operator, "python", "-c", find) == "[]\n"
