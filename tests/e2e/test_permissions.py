"""What a person who may only create EvalJobs can and cannot reach, and what the pods may do."""

import json

import pytest

from support.e2e import endpoint_job, runtime, wait_for

pytestmark = pytest.mark.usefixtures("operator")

USER = "ada"


@pytest.fixture
def ada(lab, ns):
    """Apply as a person with nothing but the right to create EvalJobs in this namespace; returns what kubectl said."""
    rules = [{"apiGroups": ["assay.dev"], "resources": ["evaljobs"], "verbs": ["create", "get", "list", "patch"]}]
    meta = {"name": "ada", "namespace": ns}
    api = "rbac.authorization.k8s.io"
    lab.apply({"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    subjects = [{"kind": "User", "name": USER, "apiGroup": api}]
    role = {"kind": "Role", "name": "ada", "apiGroup": api}
    lab.apply(
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": subjects, "roleRef": role}
    )

    def apply(manifest, *options):
        return lab.cluster.kubectl(
            *("apply", f"--as={USER}", "-n", ns, *options, "-f", "-"), input=json.dumps(manifest), check=False
        )

    return apply


WIDER = {
    "host path": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    "mounts": {"volumeMounts": [{"name": "x", "mountPath": "/x"}]},
    "privileged container": {"containerSecurityContext": {"privileged": True}},
    "root": {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}},
    "service account": {"serviceAccountName": "admin"},
    "image": {"image": "docker.io/evil:1"},
    "runtime class": {"runtimeClassName": "none"},
    "pull secrets": {"imagePullSecrets": [{"name": "x"}]},
    "host network": {"hostNetwork": True},
    "priority": {"priorityClassName": "system-node-critical"},
    "sidecars": {"containers": [{"name": "x", "image": "evil"}]},
    "node": {"nodeName": "node-1"},
}


@pytest.mark.parametrize("what", WIDER)
def test_nothing_that_widens_permissions_can_be_asked_for(lab, ns, storage, stub, ada, what):
    manifest = endpoint_job("http://endpoint/v1", storage, "wider", limit=10, template=WIDER[what])
    refused = ada(manifest)
    assert refused.returncode != 0 and "unknown field" in refused.stderr, refused
    # Without validation the field is dropped before it is stored: nothing of it can reach a pod.
    assert ada(manifest, "--validate=false").returncode == 0
    stored = lab.evaljob(ns, "wider")["spec"].get("template", {})
    assert not stored.keys() & WIDER[what].keys()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "ASSAY_X", "AWS_ACCESS_KEY_ID", "HOME", "PATH"])
def test_an_environment_that_would_change_what_runs_is_refused(storage, ada, name):
    template = {"env": [{"name": name, "value": "x"}]}
    refused = ada(endpoint_job("http://endpoint/v1", storage, "env", template=template))
    assert refused.returncode != 0 and "this variable is set by Assay or the platform" in refused.stderr


def test_a_runtime_that_is_closed_to_the_namespace_is_refused_and_cannot_be_opened(lab, ns, storage, ada, operator):
    closed = runtime(operator, "closed", namespaces=["somewhere-else"])
    lab.apply(closed)
    assert ada(endpoint_job("http://endpoint/v1", storage, "closed", runtimeRef={"name": "closed"})).returncode == 0
    told = lab.wait_for_condition(ns, "closed", "Accepted", 15, status="False", reason="NamespaceNotAllowed")
    assert ns in told["message"] and not lab.children(ns)
    opened = ada(closed | {"spec": closed["spec"] | {"namespaces": ["*"]}})
    assert opened.returncode != 0 and "forbidden" in opened.stderr.lower()


def test_remote_code_needs_the_runtimes_leave(lab, ns, storage, ada):
    job = endpoint_job("http://endpoint/v1", storage, "remote")
    job["spec"]["model"] = {"backend": "transformers", "name": "m", "args": {"trust_remote_code": True}}
    assert ada(job).returncode == 0
    told = lab.wait_for_condition(ns, "remote", "Accepted", 15, status="False", reason="RemoteCodeNotAllowed")
    assert "trust_remote_code" in told["message"]


def test_a_status_cannot_be_made_up_by_its_user(lab, ns, storage, ada):
    assert ada(endpoint_job("http://endpoint/v1", storage, "honest", suspend=True)).returncode == 0
    patch = json.dumps({"status": {"phase": "Complete"}})
    forged = lab.cluster.kubectl(
        *("patch", "evaljob", "honest", "-n", ns, f"--as={USER}", "--subresource=status", "--type=merge", "-p", patch),
        check=False,
    )
    assert forged.returncode != 0 and "forbidden" in forged.stderr.lower()


def test_pods_run_restricted_without_a_token_and_know_credentials_by_reference_alone(lab, s3, ns, storage, stub):
    lab.apply(endpoint_job(stub(latency=0.1).url, storage, "plain", limit=200, replicas=2), ns)
    pods = wait_for(lambda: lab.pods(ns, "work"), 60, "work pods")
    for pod in (*pods, *lab.pods(ns, "plan")):
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert not any("projected" in volume or "hostPath" in volume for volume in spec["volumes"])
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "testsecret" not in json.dumps(pod)
    lab.wait_for_condition(ns, "plain", "Complete", 120)
    run = lab.evaljob(ns, "plain")["status"]["plan"]["runUri"]
    documents = b"".join(s3.read(f"{run}/{key}") for key in s3.keys(run) if key.endswith(".json"))
    logs = lab.cluster.kubectl("logs", "-n", ns, "-l", "app.kubernetes.io/managed-by=assay", "--tail=-1").stdout
    assert b"testsecret" not in documents and "testsecret" not in logs
