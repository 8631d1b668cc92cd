"""A real cluster for tests: the one that the start script beside the repository runs, or the kind cluster of `make e2e`.

`from support.kube import cluster, cluster_nodes` in a conftest makes the fixtures known there; a conftest whose tests run
pods overrides `cluster_nodes`. Without either cluster the tests that ask for one are skipped, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(os.environ.get("ASSAY_SHARED") or Path(__file__).parents[3] / "shared") / "kube" / "cluster"
_RESTRICTED = ("enforce", "warn", "audit")


@dataclass(frozen=True)
class Cluster:
    """A running cluster, as its administrator reaches it."""

    kubeconfig: str
    env: dict[str, str]
    """What a process needs to reach it: KUBECONFIG, and a PATH with kubectl and helm."""
    host: str
    """The address at which pods reach this machine."""
    script: Path | None
    """What fails and starts nodes; None: they are containers of kind."""

    def kubectl(
        self, *args: object, input: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; a failure is an AssertionError that shows what it printed."""
        return run("kubectl", *args, env=self.env, input=input, check=check, timeout=timeout)

    def helm(
        self, *args: object, input: str | None = None, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run helm, likewise."""
        return run("helm", *args, env=self.env, input=input, check=check, timeout=timeout)

    def get(self, kind: str, name: str | None = None, ns: str | None = None, selector: str | None = None) -> Any:
        """An object by name, or the list (`["items"]`) of those that match."""
        arguments = [
            kind,
            *([name] if name else []),
            *(["-n", ns] if ns else []),
            *(["-l", selector] if selector else []),
        ]
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def names(self, kind: str, ns: str | None = None, selector: str | None = None) -> list[str]:
        """Names of the objects that match, sorted."""
        return sorted(item["metadata"]["name"] for item in self.get(kind, ns=ns, selector=selector)["items"])

    def await_definitions(self, *which: object, input: str | None = None) -> None:
        """Wait until the API server serves custom resources. `kubectl wait` fails on a definition whose status is still
        empty."""
        deadline = time.monotonic() + 60
        while waited_for := _not_established(json.loads(self.kubectl("get", *which, "-o", "json", input=input).stdout)):
            assert time.monotonic() < deadline, f"not established after 60 s: {', '.join(waited_for)}"
            time.sleep(0.1)

    @contextmanager
    def namespace(self, restricted: bool = True) -> Iterator[str]:
        """A fresh namespace that can run pods, deleted afterwards without waiting for its end."""
        name = f"test-{secrets.token_hex(4)}"
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in _RESTRICTED} if restricted else {}
        metadata = {"name": name, "labels": labels}
        self.kubectl(
            "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        )
        try:
            self._await_service_account(name)
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def _await_service_account(self, namespace: str) -> None:
        """No pod is admitted before the namespace has its default service account."""
        deadline = time.monotonic() + 30
        while self.kubectl("get", "serviceaccount", "default", "-n", namespace, check=False).returncode:
            assert time.monotonic() < deadline, f"namespace {namespace} got no default service account in 30 s"
            time.sleep(0.1)

    def fail_node(self, n: int) -> None:
        """Kill the n-th node and its pods at once."""
        if self.script:
            run(self.script, "fail-node", n, env=self.env, timeout=120)
        else:
            run("docker", "kill", self._kind_worker(n), env=self.env)

    def start_node(self, n: int) -> None:
        """Bring it back."""
        if self.script:
            run(self.script, "start-node", n, env=self.env, timeout=180)
        else:
            run("docker", "start", self._kind_worker(n), env=self.env)

    @contextmanager
    def cut_off(self, n: int) -> Iterator[None]:
        """The n-th node reaches nobody, and its pods go on; needs a cluster of this machine, whose nodes have a link each."""
        run("ip", "link", "set", f"kube0-{n}", "down")
        try:
            yield
        finally:
            run("ip", "link", "set", f"kube0-{n}", "up")

    def _kind_worker(self, n: int) -> str:
        return self.names("nodes", selector="!node-role.kubernetes.io/control-plane")[n - 1]


def _not_established(found: dict[str, Any]) -> list[str]:
    return [
        definition["metadata"]["name"]
        for definition in found.get("items", [found])
        if not any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in definition.get("status", {}).get("conditions") or ()
        )
    ]


def run(
    *command: object,
    env: dict[str, str] | None = None,
    input: str | None = None,
    check: bool = True,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command; with `check`, a failure is an AssertionError that shows what it printed."""
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, env=env, input=input, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@pytest.fixture(scope="session")
def cluster_nodes() -> int:
    """How many nodes the tests need; 0: an API server with its controllers, no pod runs."""
    return 0


@pytest.fixture(scope="session")
def cluster(cluster_nodes: int) -> Iterator[Cluster]:
    """The cluster. One that was up before is left up, with the nodes that were added."""
    if os.environ.get("ASSAY_E2E") == "kind":
        yield _kind()
        return
    if not _SCRIPT.is_file():
        pytest.skip("needs a cluster: `make e2e` runs these tests on kind")
    if os.geteuid() != 0:
        pytest.skip("needs root to start a cluster; `make e2e` runs these tests on kind")
    was_up = re.search(r"^apiserver +running$", run(_SCRIPT, "status", check=False).stdout, re.MULTILINE)
    if not was_up:
        run(_SCRIPT, "down", check=False, timeout=120)
    try:
        yield _started(cluster_nodes)
    finally:
        if not was_up:
            run(_SCRIPT, "down", timeout=120)


def _started(nodes: int) -> Cluster:
    exports = run(_SCRIPT, "up", "--nodes", nodes, timeout=600).stdout
    found = re.search(r"^export KUBECONFIG=(\S+) PATH=([^:]+):", exports, re.MULTILINE)
    assert found, f"{_SCRIPT} up printed no exports:\n{exports}"
    kubeconfig, folder = found.groups()
    env = {**os.environ, "KUBECONFIG": kubeconfig, "PATH": f"{folder}:{os.environ['PATH']}"}
    server = run(
        "kubectl", "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}", env=env
    ).stdout
    return Cluster(kubeconfig, env, re.sub(r"^https://|:\d+$", "", server), _SCRIPT)


def _kind() -> Cluster:
    missing = [tool for tool in ("docker", "kubectl", "helm") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} on PATH")
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    gateways = run("docker", "network", "inspect", "kind", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}").stdout
    host = next(address for address in gateways.split() if "." in address)
    return Cluster(kubeconfig, {**os.environ, "KUBECONFIG": kubeconfig}, host, None)
