"""The chart on a real API server: what it renders is accepted, and grants and refuses what its page says."""

import base64
import importlib.util
import json
import secrets
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from support.prometheus import rules as alert_rules

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "assay"
CRDS = ROOT / "crds"
MONITORS = ["PodMonitor", "PrometheusRule", "ServiceMonitor"]

EVERYTHING = {
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": ["registry"],
    "replicas": 2,
    "serviceAccount": {"annotations": {"example.com/role": "assay"}},
    "podLabels": {"team": "platform"},
    "podAnnotations": {"example.com/scanned": "yes"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
        }
    ],
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "runtime": {
        "images": {"transformers": "runner:1", "sglang": "runner:1", "openai": "runner:1"},
        "podTemplate": {
            "volumes": [{"name": "weights", "emptyDir": {}}],
            "volumeMounts": [{"name": "weights", "mountPath": "/cache"}],
        },
        "storage": {"uri": "s3://evals/runs", "credentialsSecretRef": {"name": "s3"}},
        "cache": {"volumeName": "weights"},
        "backends": ["openai"],
        "servers": {
            "vllm": {
                "image": "vllm:1",
                "args": ["--model", "$(MODEL)", "--port", "$(PORT)"],
                "allowedArgs": ["--max-model-len"],
                "readiness": {"timeoutSeconds": 60},
                "resources": {"limits": {"nvidia.com/gpu": 1}},
            }
        },
        "allowed": {"taskCode": True},
        "caps": {"maxReplicas": 8},
        "namespaces": ["research"],
    },
    "networkPolicies": {
        "enabled": True,
        "apiServer": {"cidrs": ["10.0.0.0/8"]},
        "monitoringNamespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "jobs": {
            "namespaces": ["NAMESPACE"],
            "allowedEgress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 443}]}],
            "planEgress": [{"ports": [{"port": 443}]}],
        },
    },
    "monitoring": {
        "labels": {"release": "prometheus"},
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True, "namespaces": ["NAMESPACE"]},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
NOTHING = {
    "crds": {"enabled": False},
    "serviceAccount": {"create": False},
    "rbac": {"aggregate": False},
    "podDisruptionBudget": {"enabled": False},
    "runtime": {"enabled": False},
}
NAMESPACED_RULES = {
    ("assay.dev", "evaljobs"): {"get", "list", "watch", "create", "patch", "delete"},
    ("assay.dev", "evaljobs/status"): {"patch"},
    ("assay.dev", "evalschedules"): {"get", "list", "watch"},
    ("assay.dev", "evalschedules/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "pods"): {"list", "watch"},
    ("", "namespaces"): {"get"},
    ("", "events"): {"list", "create"},
    ("kueue.x-k8s.io", "workloads"): {"list", "patch"},
}
RUNTIME_RULES = {("assay.dev", "clusterevalruntimes"): {"list", "watch"}}


def rendered(cluster, values, namespace="assay-system", release="assay"):
    text = json.dumps(values).replace("NAMESPACE", namespace)
    done = cluster.helm("template", release, CHART, "-n", namespace, "-f", "-", input=text)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def together(documents):
    """For kubectl; as JSON, because its YAML takes a bare `n` for no."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def only(documents, kind, name=None):
    found = [document for document in documents if document["kind"] == kind]
    found = [document for document in found if name is None or document["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def rules(role):
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        if not rule.get("resourceNames")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@contextmanager
def without_leftovers(cluster, namespace, release):
    """Removes the release; kept definitions lose the marks that would keep another release from taking them over."""
    try:
        yield
    finally:
        cluster.helm("uninstall", release, "-n", namespace, "--ignore-not-found")
        definitions = ["crd", "evaljobs.assay.dev", "evalschedules.assay.dev", "clusterevalruntimes.assay.dev"]
        marks = ["meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-", "helm.sh/resource-policy-"]
        cluster.kubectl("annotate", *definitions, *marks, check=False)
        cluster.kubectl("label", *definitions, "app.kubernetes.io/managed-by-", check=False)


@pytest.fixture(scope="module")
def prometheus(cluster):
    """Kinds of the Prometheus operator that the cluster knows."""
    folder = cluster.script.parent / "crds" if cluster.script else None
    if folder is None or not folder.is_dir():
        return []
    cluster.kubectl("apply", "--server-side", "-f", folder)
    cluster.await_definitions("crd", "prometheusrules.monitoring.coreos.com")
    return MONITORS


@pytest.fixture(scope="module")
def installed(cluster, served):
    """A release without pods; jobs of nobody else's namespace are looked at."""
    release = f"chart-{secrets.token_hex(3)}"
    # Another release may own the definitions at this moment; it keeps them.
    owned = "meta.helm.sh/release-name" in cluster.kubectl("get", "crd", "evaljobs.assay.dev", "-o", "yaml").stdout
    crds = "crds.enabled=false" if owned else "crds.enabled=true"
    options = ["--no-hooks", "--set", f"replicas=0,{crds},runtime.name={release}"]
    with cluster.namespace() as namespace, without_leftovers(cluster, namespace, release):
        cluster.helm("install", release, CHART, "-n", namespace, "--take-ownership", *options)
        yield SimpleNamespace(release=release, namespace=namespace, options=options, has_crds=not owned)


@pytest.fixture
def job(cluster, installed):
    """An EvalJob of its own for a test, by name."""
    name = f"job-{secrets.token_hex(3)}"
    spec = {
        "model": {"backend": "transformers", "name": "tiny", "args": {"dtype": "float32"}},
        "tasks": [{"name": "easy_vqa"}],
        "storage": {"uri": "s3://evals/runs"},
    }
    body = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("create", "-n", installed.namespace, "-f", "-", input=json.dumps(body))
    return name


def allowed(cluster, who, verb, resource, *options):
    """Whether the API server lets `who` (options of kubectl that impersonate) do it."""
    return cluster.kubectl("auth", "can-i", verb, resource, *who, *options, check=False).stdout.strip() == "yes"


class TestRendering:
    @pytest.mark.parametrize("values", [{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])
    def test_lint_finds_nothing(self, cluster, values):
        cluster.helm("lint", "--strict", CHART, "-f", "-", input=json.dumps(values).replace("NAMESPACE", "research"))

    @pytest.mark.parametrize("values", [{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])
    def test_the_api_server_accepts_every_object(self, cluster, api, prometheus, values):
        with cluster.namespace() as namespace:
            documents = rendered(cluster, values, namespace)
            documents = [each for each in documents if each["kind"] not in MONITORS or each["kind"] in prometheus]
            options = ["--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict"]
            text = together(documents)
            done = cluster.kubectl("apply", *options, "-f", "-", input=text)
        assert len(done.stdout.splitlines()) == len(documents)
        assert "would violate PodSecurity" not in done.stderr

    def test_roles_in_watched_namespaces_are_accepted(self, cluster):
        with cluster.namespace() as one, cluster.namespace() as other:
            documents = rendered(cluster, {**NOTHING, "watchNamespaces": [one, other]}, one)
            options = ["--server-side", "--dry-run=server", "--validate=strict"]
            cluster.kubectl("apply", *options, "-f", "-", input=together(documents))

    def test_every_switch_has_an_object_behind_it(self, cluster):
        everything = {document["kind"] for document in rendered(cluster, EVERYTHING)}
        nothing = {document["kind"] for document in rendered(cluster, NOTHING)}
        assert {*MONITORS, "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Job"} <= everything
        assert nothing == {
            "ClusterRole", "ClusterRoleBinding", "Deployment", "Role", "RoleBinding", "Service", "Pod",
        }  # fmt: skip

    def test_prometheus_gives_series_the_labels_that_rules_and_dashboards_select(self, cluster):
        documents = rendered(cluster, EVERYTHING)
        (worker,) = only(documents, "PodMonitor")["spec"]["podMetricsEndpoints"]
        label = "__meta_kubernetes_pod_label_assay_dev_job"
        assert worker["relabelings"] == [{"sourceLabels": [label], "targetLabel": "evaljob"}]
        (operator,) = only(documents, "ServiceMonitor")["spec"]["endpoints"]
        assert operator["honorLabels"] is True, "the namespace of an EvalJob's series is the EvalJob's"
        assert only(documents, "PrometheusRule")["spec"] == yaml.safe_load(alert_rules())
        assert only(documents, "ConfigMap", "assay-dashboards")["data"].keys() == {"assay-fleet.json", "assay-job.json"}

    @pytest.mark.parametrize(
        "typo",
        [
            "replica=2",
            "image.repositry=x",
            "crds.enable=true",
            "runtime.image.default=x",
            "runtime.images.defualt=x",
            "runtime.podTemplate.serviceAcountName=x",
            "runtime.allowed.taskcode=true",
            "networkPolicies.jobs.egress=x",
            "monitoring.podMonitor.enable=true",
        ],
    )
    def test_a_name_that_is_none_is_refused(self, cluster, typo):
        done = cluster.helm("template", CHART, "--set", typo, check=False)
        assert done.returncode
        assert f"'{typo.partition('=')[0].split('.')[-1]}' not allowed" in done.stderr or "image'" in done.stderr

    @pytest.mark.parametrize("wrong", ["replicas=many", "replicas=9", "logLevel=LOUD", "watchNamespaces={Research}"])
    def test_a_value_that_cannot_be_is_refused(self, cluster, wrong):
        done = cluster.helm("template", CHART, "--set", wrong, check=False)
        assert done.returncode and wrong.partition("=")[0] in done.stderr

    @pytest.mark.parametrize("keep", [True, False])
    def test_definitions_are_rendered_as_generated_but_for_the_mark_that_keeps_them(self, cluster, keep):
        documents = rendered(cluster, {"crds": {"keep": keep}})
        found = {each["metadata"]["name"]: each for each in documents if each["kind"] == "CustomResourceDefinition"}
        marks = [
            each["metadata"].pop("annotations", {}).pop("helm.sh/resource-policy", None) for each in found.values()
        ]
        generated = [yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")]
        assert marks == ["keep" if keep else None] * len(generated)
        assert found == {each["metadata"]["name"]: each for each in generated}

    def test_the_digest_of_an_image_counts_before_its_tag(self, cluster):
        values = {"image": {"repository": "registry/operator", "tag": "1", "digest": "sha256:" + "a" * 64}}
        pod = only(rendered(cluster, values), "Deployment")["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "registry/operator@sha256:" + "a" * 64


class TestPermissions:
    def test_the_operator_may_do_what_the_table_says_and_nothing_else(self, cluster):
        documents = rendered(cluster, {})
        assert rules(only(documents, "ClusterRole", "assay-operator")) == NAMESPACED_RULES | RUNTIME_RULES

    def test_with_watched_namespaces_it_may_so_there_alone(self, cluster):
        documents = rendered(cluster, {"watchNamespaces": ["research", "product"]})
        roles = [each for each in documents if each["kind"] == "Role" and each["metadata"]["name"] == "assay-operator"]
        assert [role["metadata"]["namespace"] for role in roles] == ["research", "product"]
        assert all(rules(role) == NAMESPACED_RULES for role in roles)
        assert rules(only(documents, "ClusterRole", "assay-operator")) == RUNTIME_RULES
        env = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "ASSAY_NAMESPACES", "value": "research,product"} in env

    @pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["research"]}], ids=["all", "one"])
    def test_every_role_of_the_operator_is_bound_to_its_account_alone(self, cluster, values):
        documents = rendered(cluster, values)
        account = {"kind": "ServiceAccount", "name": "assay-operator", "namespace": "assay-system"}
        bound = {
            (each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace"))
            for each in documents
            if each["kind"] in ("RoleBinding", "ClusterRoleBinding") and each["subjects"] == [account]
        }
        assert bound == {
            (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
            for each in documents
            if each["kind"] in ("Role", "ClusterRole") and each["metadata"]["name"].startswith("assay-operator")
        }

    def test_the_lease_is_its_own(self, cluster):
        role = only(rendered(cluster, {}), "Role", "assay-operator-lease")
        own = [rule for rule in role["rules"] if rule.get("resourceNames")]
        assert rules(role) == {("coordination.k8s.io", "leases"): {"create"}}
        assert [(rule["resourceNames"], set(rule["verbs"])) for rule in own] == [
            (["assay-operator"], {"get", "update"})
        ]

    @pytest.mark.parametrize(
        ("verb", "resource"),
        [
            ("get", "secrets"),
            ("list", "secrets"),
            ("get", "configmaps"),
            ("create", "pods"),
            ("create", "pods --subresource=exec"),
            ("get", "pods --subresource=log"),
            ("create", "evalschedules.assay.dev"),
            ("delete", "evalschedules.assay.dev"),
            ("patch", "clusterevalruntimes.assay.dev"),
            ("create", "serviceaccounts --subresource=token"),
            ("impersonate", "users"),
        ],
    )
    def test_the_api_server_refuses_the_operator_the_rest(self, cluster, installed, verb, resource):
        account = [f"--as=system:serviceaccount:{installed.namespace}:{installed.release}-assay-operator"]
        assert allowed(cluster, account, "create", "jobs.batch", "-n", "default")
        assert not allowed(cluster, account, verb, *resource.split(), "-n", installed.namespace)

    @pytest.mark.parametrize("role", ["view", "edit", "admin"])
    def test_kubernetes_own_roles_know_evaljobs(self, cluster, installed, role):
        person = f"{role}-{installed.release}"
        cluster.kubectl(
            "create", "rolebinding", person, f"--clusterrole={role}", f"--user={person}", "-n", installed.namespace
        )
        who, here = [f"--as={person}"], ["-n", installed.namespace]
        deadline = time.monotonic() + 20
        while not allowed(cluster, who, "get", "evaljobs.assay.dev", *here):
            assert time.monotonic() < deadline, "the roles were not aggregated in 20 s"
            time.sleep(0.2)
        writes = role != "view"
        for verb in ("create", "update", "patch", "delete"):
            assert allowed(cluster, who, verb, "evaljobs.assay.dev", *here) is writes
            assert allowed(cluster, who, verb, "evalschedules.assay.dev", *here) is writes
        assert allowed(cluster, who, "patch", "evaljobs.assay.dev", "--subresource=scale", *here) is writes
        assert allowed(cluster, who, "get", "evaljobs.assay.dev", "--subresource=status", *here)
        for kind in ("evaljobs.assay.dev", "evalschedules.assay.dev"):
            assert not allowed(cluster, who, "patch", kind, "--subresource=status", *here)
        assert not allowed(cluster, who, "create", "clusterevalruntimes.assay.dev")


class TestRelease:
    def test_an_upgrade_touches_no_job(self, cluster, installed, job):
        before = cluster.get("evaljob", job, ns=installed.namespace)["metadata"]
        upgrade = ["upgrade", installed.release, CHART, "-n", installed.namespace, *installed.options]
        cluster.helm(*upgrade, "--set", "logLevel=DEBUG")
        after = cluster.get("evaljob", job, ns=installed.namespace)["metadata"]
        assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])

    def test_uninstalling_leaves_jobs_and_definitions(self, cluster, installed, job):
        """Last, because the release is gone then."""
        before = cluster.get("evaljob", job, ns=installed.namespace)["metadata"]
        done = cluster.helm("uninstall", installed.release, "-n", installed.namespace)
        assert not installed.has_crds or "evaljobs.assay.dev" in done.stdout + done.stderr
        after = cluster.get("evaljob", job, ns=installed.namespace)["metadata"]
        assert after["uid"] == before["uid"] and "deletionTimestamp" not in after
        left = cluster.names(
            "clusterrole,clusterrolebinding",
            selector=f"app.kubernetes.io/instance={installed.release}",
        )
        assert left == []


class TestRuntime:
    """The program of the hook, with the account and the manifest that the chart gives it."""

    @pytest.fixture
    def apply(self, cluster, served, monkeypatch, tmp_path):
        """Applies the runtime for some values as the hook does; returns the object."""
        release = f"chart-{secrets.token_hex(3)}"
        specification = importlib.util.spec_from_file_location("apply_runtime", CHART / "files" / "apply_runtime.py")
        program = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(program)
        config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "yaml").stdout)
        server = config["clusters"][0]["cluster"]
        host, _, port = server["server"].removeprefix("https://").rpartition(":")
        authority = Path(server["certificate-authority"]).read_text() if "certificate-authority" in server else None
        authority = authority or base64.b64decode(server["certificate-authority-data"]).decode()

        with cluster.namespace() as namespace:

            def run(**runtime):
                values = {"runtime": {"name": release, **runtime}}
                documents = rendered(cluster, values, namespace, release)
                hook = only(documents, "Job")
                name = hook["metadata"]["name"]
                account = [each for each in documents if each["metadata"]["name"] == name and each is not hook]
                cluster.kubectl("apply", "-f", "-", input=together(account))
                (tmp_path / "token").write_text(cluster.kubectl("create", "token", name, "-n", namespace).stdout)
                (tmp_path / "ca.crt").write_text(authority)
                container = hook["spec"]["template"]["spec"]["containers"][0]
                assert container["command"][2] == Path(program.__file__).read_text()
                monkeypatch.setattr(program, "ACCOUNT", tmp_path)
                monkeypatch.setenv("RUNTIME", container["env"][0]["value"].replace("$$", "$"))
                monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
                monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
                program.main()
                return cluster.get("clusterevalruntime", release)

            try:
                yield run
            finally:
                cluster.kubectl("delete", "clusterevalruntime", release, "--ignore-not-found")
                mine = ["-l", f"app.kubernetes.io/instance={release}"]
                cluster.kubectl("delete", "clusterrole,clusterrolebinding", *mine)

    def test_it_is_made_with_images_of_the_charts_version(self, apply):
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
        images = apply()["spec"]["images"]
        assert images["default"] == f"assay-runner:{version}" and images["vllm"] == f"assay-runner-vllm:{version}"

    def test_it_is_changed_in_place(self, apply):
        before = apply(storage={"uri": "s3://evals/runs"}, caps={"maxReplicas": 3})
        after = apply(storage={"uri": "s3://evals/others"})
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["spec"]["storage"] == {"uri": "s3://evals/others"}
        assert after["spec"]["caps"] != before["spec"]["caps"]

    def test_what_the_schema_refuses_ends_with_its_sentence(self, apply):
        with pytest.raises(SystemExit, match=r"refused ClusterEvalRuntime chart-.*spec\.storage\.uri"):
            apply(storage={"uri": "http://evals"})

    def test_everything_the_values_can_say_is_accepted(self, apply):
        spec = apply(**EVERYTHING["runtime"])["spec"]
        assert spec["cache"]["volumeName"] == "weights" and spec["namespaces"] == ["research"]
        assert spec["images"]["sglang"] == "runner:1" and spec["allowed"]["taskCode"] is True


class TestNetwork:
    def test_pods_of_evaljobs_are_reached_by_the_operator_on_the_port_of_metrics_alone(self, cluster):
        values = {"networkPolicies": {"enabled": True, "jobs": {"namespaces": ["research"]}}}
        policy = only(rendered(cluster, values), "NetworkPolicy", "assay-jobs")
        operator = only(rendered(cluster, values), "Deployment")["spec"]["template"]["metadata"]["labels"]
        (rule,) = policy["spec"]["ingress"]
        (peer,) = rule["from"]
        assert [port["port"] for port in rule["ports"]] == [9090]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "assay-system"}
        assert peer["podSelector"]["matchLabels"].items() <= operator.items()
        assert [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]] == [53, 53]

    def test_only_plan_pods_get_the_egress_of_plans(self, cluster):
        jobs = {"namespaces": ["research"], "planEgress": [{"ports": [{"port": 443}]}]}
        documents = rendered(cluster, {"networkPolicies": {"enabled": True, "jobs": jobs}})
        policy = only(documents, "NetworkPolicy", "assay-plan")
        assert policy["spec"]["podSelector"]["matchLabels"]["assay.dev/step"] == "plan"
        assert policy["spec"]["egress"] == [{"ports": [{"port": 443}]}]
