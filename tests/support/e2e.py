"""What end-to-end tests do on a cluster: apply manifests, look at EvalJobs, wait, tell how things stood after a failure."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from support.e2e_images import Images
from support.e2e_store import Store
from support.endpoint import MODEL
from support.kube import Cluster

ROOT = Path(__file__).parents[2]
RELEASE, NAMESPACE = "assay", "assay-system"
_CLUSTER_ONLY = ("storage", "runtimeRef", "replicas", "template", "queueName")
_SELECTOR = "app.kubernetes.io/component=operator"

Seen = TypeVar("Seen")


def wait_for(predicate: Callable[[], Seen], timeout: float, what: str) -> Seen:
    """Ask until the answer is true, and return it; after `timeout` seconds the last answer is in the AssertionError."""
    deadline = time.monotonic() + timeout
    while not (seen := predicate()):
        assert time.monotonic() < deadline, f"{what}: not in {timeout:g} s; last seen: {seen!r}"
        time.sleep(0.25)
    return seen


@dataclass(frozen=True)
class Lab:
    """A cluster in the hands of a test."""

    cluster: Cluster

    def apply(self, manifest: dict[str, Any] | str | Path, ns: str | None = None) -> None:
        """Apply a manifest: a document, its text, or a file."""
        text = manifest.read_text() if isinstance(manifest, Path) else manifest
        text = text if isinstance(text, str) else json.dumps(text)
        self.cluster.kubectl("apply", "-f", "-", *(["-n", ns] if ns else []), input=text)

    def evaljob(self, ns: str, name: str) -> dict[str, Any]:
        """The EvalJob as it is now."""
        return self.cluster.get("evaljob", name, ns=ns)

    def condition(self, ns: str, name: str, kind: str) -> dict[str, Any]:
        """A condition of an EvalJob; empty while there is none."""
        conditions = self.evaljob(ns, name).get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def wait_for_condition(
        self, ns: str, name: str, kind: str, timeout: float, *, status: str = "True", reason: str | None = None
    ) -> dict[str, Any]:
        """Wait until the condition has this status (and reason), and return it."""

        def reached() -> dict[str, Any] | None:
            found = self.condition(ns, name, kind)
            return found if found.get("status") == status and reason in (None, found.get("reason")) else None

        return wait_for(reached, timeout, f"{kind}={status} of evaljob {ns}/{name}")

    def pods(self, ns: str, step: str | None = None) -> list[dict[str, Any]]:
        """Pods of EvalJobs in the namespace, or those of one step."""
        selector = "app.kubernetes.io/managed-by=assay" + (f",assay.dev/step={step}" if step else "")
        return self.cluster.get("pods", ns=ns, selector=selector)["items"]

    def workers(self, ns: str) -> list[dict[str, Any]]:
        """The work pods that run."""
        return [pod for pod in self.pods(ns, "work") if pod["status"]["phase"] == "Running"]

    def children(self, ns: str) -> list[str]:
        """What EvalJobs have made in the namespace, as kind/name."""
        kinds = "jobs,pods,configmaps"
        items = self.cluster.get(kinds, ns=ns, selector="app.kubernetes.io/managed-by=assay")["items"]
        return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in items)

    def events(self, ns: str, name: str | None = None) -> list[tuple[str, str, str]]:
        """(type, reason, message) of events in the namespace, or of those about one object; oldest first."""
        items = self.cluster.get("events", ns=ns)["items"]
        items.sort(key=lambda item: item["metadata"]["creationTimestamp"])
        about = [item for item in items if name in (None, item["involvedObject"]["name"])]
        return [(item["type"], item["reason"], item.get("message", "")) for item in about]


@dataclass(frozen=True)
class Operator:
    """The chart's release."""

    cluster: Cluster
    images: Images

    def install(self, **values: str) -> None:
        """Install the chart, or bring it to these values (`a__b` is a.b), and wait until it is ready."""
        repository, _, tag = self.images.operator.rpartition(":")
        settings = {
            "image.repository": repository,
            "image.tag": tag,
            "image.pullPolicy": "IfNotPresent",
            "runtime.images.default": self.images.runner,
            "runtime.images.pullPolicy": "IfNotPresent",
        } | {name.replace("__", "."): value for name, value in values.items()}
        self._namespace()
        self.cluster.helm(
            *("upgrade", "--install", RELEASE, ROOT / "charts" / "assay", "--namespace", NAMESPACE),
            *("--take-ownership", "--wait", "--timeout", "180s"),
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
        )

        wait_for(lambda: self.leader() in self.pods(), 60, "an operator that leads")

    def leader(self) -> str | None:
        """Name of the pod that holds the Lease."""
        lease = self.cluster.kubectl(
            "get", "lease", "assay-operator", "-n", NAMESPACE, "-o", "json", check=False
        ).stdout
        return json.loads(lease)["spec"].get("holderIdentity") if lease else None

    def _namespace(self) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(namespace))

    def uninstall(self) -> None:
        """Remove the release; the definitions stay, and with them what uses them."""
        self.cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "120s", check=False)
        self.cluster.kubectl("delete", "clusterevalruntimes", "--all", "--wait=false", check=False)

    def pods(self) -> list[str]:
        """Names of its pods."""
        return self.cluster.names("pods", ns=NAMESPACE, selector=_SELECTOR)

    def kill(self) -> None:
        """Kill its pods at once; the Deployment brings new ones."""
        self.cluster.kubectl("delete", "pods", "-n", NAMESPACE, "-l", _SELECTOR, "--grace-period=0", "--force")

    def log(self, lines: int = -1) -> str:
        """What its pods have said."""
        arguments = ("logs", "-n", NAMESPACE, "-l", _SELECTOR, "--prefix", f"--tail={lines}")
        return self.cluster.kubectl(*arguments, check=False).stdout


def easy_vqa(storage: dict[str, object], name: str = "easy-vqa", **spec: Any) -> dict[str, Any]:
    """The example's manifest on this storage, with fields of its spec set."""
    manifest = yaml.safe_load((ROOT / "examples" / "easy-vqa.yaml").read_text())
    manifest["metadata"]["name"] = name
    manifest["spec"] |= {"storage": storage, **spec}
    return manifest


def endpoint_job(url: str, storage: dict[str, object], name: str, limit: int = 1000, **spec: Any) -> dict[str, Any]:
    """The first easy-VQA questions, asked of an endpoint."""
    model = {"backend": "openai", "name": MODEL, "endpoint": {"url": url, "maxConcurrency": 12, "timeoutSeconds": 30}}
    return easy_vqa(storage, name, model=model, chunkSize=25, tasks=[{"name": "easy_vqa", "limit": limit}], **spec)


def evalschedule(name: str, job: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """An EvalSchedule of this EvalJob."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "EvalSchedule",
        "metadata": {"name": name},
        "spec": {"template": {"spec": job["spec"]}, **spec},
    }


def runtime(operator: Operator, name: str, images: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A ClusterEvalRuntime with the runner's image."""
    images = {"default": operator.images.runner, "pullPolicy": "IfNotPresent"} | (images or {})
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ClusterEvalRuntime",
        "metadata": {"name": name},
        "spec": {"images": images, **spec},
    }


def results_of(lab: Lab, s3: Store, ns: str, name: str, timeout: float = 240) -> bytes:
    """The bytes of results.json of a job that is to complete."""
    ended = wait_for(
        lambda: lab.evaljob(ns, name).get("status", {}).get("completionTime"), timeout, f"the end of {name}"
    )
    assert ended and lab.condition(ns, name, "Complete").get("status") == "True", lab.condition(ns, name, "Failed")
    status = lab.evaljob(ns, name)["status"]
    return s3.read(status["resultsUri"])


def on_a_laptop(manifest: dict[str, Any], folder: Path) -> bytes:
    """The bytes of results.json that `assay run` gives for the manifest on this machine."""
    local = {**manifest, "spec": {name: value for name, value in manifest["spec"].items() if name not in _CLUSTER_ONLY}}
    # The example's model lies beside it.
    path = ROOT / "examples" / f".{folder.name}.yaml"
    path.write_text(json.dumps(local))
    try:
        command = [sys.executable, "-m", "assay_runner", "run", str(path), "--store", str(folder), "--json"]
        return subprocess.run(command, check=True, capture_output=True, timeout=280).stdout
    finally:
        path.unlink()


def how_things_stand(cluster: Cluster, ns: str | None) -> str:
    """For the report of a failed test: EvalJobs, pods and events of its namespace, the ends of all logs."""
    scope = ["-n", ns] if ns else ["-A"]
    asked: list[tuple[str, ...]] = [
        ("get", "evaljobs", *scope, "-o", "yaml"),
        ("get", "jobs,pods", *scope, "-o", "wide"),
        ("get", "events", *scope, "--sort-by=.lastTimestamp"),
    ]
    if ns:
        asked += [("logs", "-n", ns, "-l", "app.kubernetes.io/managed-by=assay", "--prefix", "--tail=20")]
    asked += [("logs", "-n", NAMESPACE, "-l", _SELECTOR, "--prefix", "--tail=80")]
    parts = []
    for arguments in asked:
        done = cluster.kubectl(*arguments, check=False)
        parts.append(f"$ kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return "\n".join(parts)
