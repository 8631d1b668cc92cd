"""Does to a real cluster what a schedule says: each fault as close to the real thing as one machine allows.

A fault that needs a target waits a while for one. What lasts (a node that is away, a storage that does not answer) ends by itself
while other faults go on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.chaos_schedule import Kind, Planned
from support.e2e import NAMESPACE, Lab, Operator
from support.faulty_s3 import Fault, FaultyS3
from support.kube import run
from support.s3 import free_port

PATIENCE = 30.0
"""Seconds that a fault waits for a target."""
_AWAY, _BUSY, _FULL, _SECOND = 30.0, 15.0, 10.0, 20.0
_NODE_AWAY = 25.0
_PRIORITY = "above-evaluations"
_HOG = "import mmap, time\nblock = mmap.mmap(-1, 2**31)\nfor at in range(0, 2**31, 4096): block[at] = 1\ntime.sleep(3)"


@dataclass(frozen=True)
class Injected:
    """A fault that has happened: to whom, and seconds since the monotonic clock's zero."""

    kind: Kind
    target: str
    at: float


@dataclass
class Injector:
    """Injects faults into the EvalJobs of one namespace."""

    lab: Lab
    operator: Operator
    store: FaultyS3
    namespace: str
    meanwhile: Callable[[str], None] = lambda step: None
    """What goes on while a fault waits for a pod of this step."""
    done: list[Injected] = field(default_factory=list)
    missed: list[Planned] = field(default_factory=list)
    """Faults that found no target."""
    failed: list[str] = field(default_factory=list)
    """What went wrong with the end of a fault."""
    _lasting: list[threading.Thread] = field(default_factory=list)
    _node_is_away: threading.Event = field(default_factory=threading.Event)

    def inject(self, planned: Planned) -> bool:
        """Let the fault happen; False when it found no target."""
        target = self._how(planned.kind)(planned.pick)
        if target is None:
            self.missed.append(planned)
            return False
        self.done.append(Injected(planned.kind, target, time.monotonic()))
        return True

    def settle(self) -> None:
        """Wait until all that lasts is over."""
        for thread in self._lasting:
            thread.join()

    def _how(self, kind: Kind) -> Callable[[float], str | None]:
        match kind:
            case Kind.WORKER_DELETED:
                return lambda pick: self._delete("work", pick)
            case Kind.WORKER_GONE:
                return lambda pick: self._delete("work", pick, "--grace-period=0", "--force")
            case Kind.WORKER_KILLED:
                return lambda pick: self._kill("work", pick)
            case Kind.PLANNER_KILLED:
                return lambda pick: self._kill("plan", pick)
            case Kind.REDUCER_KILLED:
                return lambda pick: self._kill("reduce", pick)
            case Kind.WORKER_OUT_OF_MEMORY:
                return self._use_up_memory
            case Kind.WORKERS_PREEMPTED:
                return self._preempt
            case Kind.DISK_FULL:
                return self._fill_disk
            case Kind.NODE_DIES:
                return self._fail_node
            case Kind.OPERATOR_GONE:
                return self._kill_operator
            case Kind.SECOND_OPERATOR:
                return self._add_operator
            case Kind.API_SERVER_RESTARTED:
                return self._restart_api_server
            case Kind.STORE_AWAY:
                return lambda _: self._store(Fault.DROP_BEFORE, _AWAY)
            case Kind.STORE_SLOW:
                return lambda _: self._store(Fault.SLOW_AFTER, _BUSY)
            case Kind.STORE_BUSY:
                return lambda _: self._store(Fault.SLOW_DOWN, _BUSY)

    # --- pods

    def _delete(self, step: str, pick: float, *how: str) -> str | None:
        pod = self._await_pod(step, pick)
        if pod is None:
            return None
        name = pod["metadata"]["name"]
        arguments = ("delete", "pod", name, "-n", self.namespace, "--wait=false", *how)
        return name if self.lab.cluster.kubectl(*arguments, check=False).returncode == 0 else None

    def _kill(self, step: str, pick: float) -> str | None:
        return self._with_process(step, pick, lambda pid: os.kill(pid, signal.SIGKILL))

    def _use_up_memory(self, pick: float) -> str | None:
        """Something else in the container takes all of its memory, and the kernel chooses the worker."""

        def hog(pid: int) -> None:
            Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
            group = next(
                line.partition(":memory:")[2] or line.partition("0::")[2]
                for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
                if ":memory:" in line or line.startswith("0::/kubepods")
            )
            root = Path("/sys/fs/cgroup/memory")
            procs = (root if root.is_dir() else root.parent) / group.lstrip("/") / "cgroup.procs"

            def join() -> None:
                procs.write_text(str(os.getpid()))

            hogging = subprocess.Popen([sys.executable, "-c", _HOG], preexec_fn=join, stderr=subprocess.DEVNULL)

            def leave() -> None:
                hogging.wait(60)

            self._last(leave)

        return self._with_process("work", pick, hog)

    def _fill_disk(self, pick: float) -> str | None:
        """A full file system takes the place of the container's writable folder."""

        def fill(pid: int) -> None:
            inside = ("nsenter", "--target", str(pid), "--mount")
            run(*inside, "mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "full", "/tmp")
            run(*inside, "sh", "-c", "head -c 4096 /dev/zero > /tmp/full || true")

            def empty() -> None:
                time.sleep(_FULL)
                # The container may have ended, and its mounts with it.
                run(*inside, "umount", "--lazy", "/tmp", check=False)

            self._last(empty)

        return self._with_process("work", pick, fill)

    def _with_process(self, step: str, pick: float, act: Callable[[int], None]) -> str | None:
        pod = self._await_pod(step, pick)
        if pod is None or (pid := main_process(pod["metadata"]["uid"])) is None:
            return None
        try:
            act(pid)
        except (ProcessLookupError, FileNotFoundError, AssertionError, StopIteration, subprocess.SubprocessError):
            # It had just ended.
            return None
        return str(pod["metadata"]["name"])

    def _await_pod(self, step: str, pick: float) -> dict[str, Any] | None:
        """One of the pods of the step that run, as soon as there is one."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            running = [pod for pod in self._pods(step) if is_running(pod)]
            if running:
                return running[int(pick * len(running))]
            self.meanwhile(step)
            time.sleep(0.1)
        return None

    def _pods(self, step: str) -> list[dict[str, Any]]:
        try:
            return self.lab.pods(self.namespace, step)
        except AssertionError:
            # The API server is away for a moment.
            return []

    # --- nodes

    def _preempt(self, pick: float) -> str | None:
        """Pods that want all GPUs of a node, and matter more."""
        cluster = self.lab.cluster
        pod = self._await_pod("work", pick)
        if pod is None:
            return None
        node = pod["spec"]["nodeName"]
        name = f"important-{time.monotonic_ns()}"
        wanted = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"important": "yes"}},
            "spec": {
                "priorityClassName": _PRIORITY,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 0,
                "containers": [_pause({"nvidia.com/gpu": 8})],
            },
        }
        made = cluster.kubectl(
            "create", "-n", self.namespace, "-f", "-", input=json.dumps(wanted), check=False
        ).returncode
        if made != 0:
            return None

        def leave() -> None:
            time.sleep(8)
            for _ in range(20):
                arguments = ("delete", "pod", name, "-n", self.namespace, "--wait=false", "--ignore-not-found")
                if cluster.kubectl(*arguments, check=False).returncode == 0:
                    return
                time.sleep(1)
            self.failed.append(f"pod {name} could not be deleted")

        self._last(leave)
        return str(node)

    def _fail_node(self, _: float) -> str | None:
        if self._node_is_away.is_set():
            return None
        self._node_is_away.set()
        self.lab.cluster.fail_node(2)

        def return_() -> None:
            time.sleep(_NODE_AWAY)
            self.lab.cluster.start_node(2)
            self._node_is_away.clear()

        self._last(return_)
        return "node 2"

    # --- control plane

    def _kill_operator(self, _: float) -> str | None:
        arguments = ("delete", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=operator")
        done = self.lab.cluster.kubectl(*arguments, "--grace-period=0", "--force", "--wait=false", check=False)
        return "the operator" if done.returncode == 0 and done.stdout else None

    def _add_operator(self, _: float) -> str | None:
        ports = {"ASSAY_HEALTH_PORT": str(free_port()), "ASSAY_METRICS_PORT": str(free_port())}
        own = {"ASSAY_LEASE_NAME": "assay-another", "POD_NAME": f"another-{time.monotonic_ns()}", **ports}
        command = [sys.executable, "-m", "assay_operator.main"]
        env = self.lab.cluster.env | own
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def leave() -> None:
            time.sleep(_SECOND)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                self.failed.append("the second operator did not end in 30 s")

        self._last(leave)
        return "a second operator"

    def _restart_api_server(self, _: float) -> str | None:
        assert self.lab.cluster.script is not None
        run(self.lab.cluster.script, "restart", "apiserver", env=self.lab.cluster.env, timeout=120)
        return "the API server"

    # --- storage

    def _store(self, fault: Fault, seconds: float) -> str | None:
        def script(request: object) -> Fault:
            return fault

        def recover() -> None:
            time.sleep(seconds)
            # A later fault of the storage may have taken its place.
            if self.store.script is script:
                self.store.script = lambda request: None

        self.store.script = script
        self._last(recover)
        return "the storage"

    def _last(self, what: Callable[[], None]) -> None:
        def to_the_end() -> None:
            try:
                what()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                self.failed.append(f"the end of a fault failed: {error}")

        thread = threading.Thread(target=to_the_end)
        thread.start()
        self._lasting.append(thread)


def is_running(pod: dict[str, Any]) -> bool:
    """Whether the pod runs and is not about to end."""
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]


def main_process(pod_uid: str) -> int | None:
    """On this machine, the first process of the pod's container; None when it has just ended."""
    names = (pod_uid, pod_uid.replace("-", "_"))
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            in_pod = any(name in (entry / "cgroup").read_text() for name in names)
            if in_pod and not (entry / "cmdline").read_bytes().startswith(b"/pause"):
                found.append(int(entry.name))
    return min(found, default=None)


@contextmanager
def priority(lab: Lab) -> Iterator[None]:
    """The priority class of what preempts."""
    wanted = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": _PRIORITY},
        "value": 1000,
    }
    lab.apply(wanted)
    try:
        yield
    finally:
        lab.cluster.kubectl("delete", "priorityclass", _PRIORITY, "--ignore-not-found", check=False)


def _pause(limits: dict[str, int]) -> dict[str, Any]:
    contained = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "name": "pause",
        "image": "localhost/pause:1",
        "resources": {"limits": limits},
        "securityContext": contained,
    }
