"""The stub endpoint as a process of its own, and the jobs that are run against it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType

from assay_api.base import canonical

LATENCY, IN_FLIGHT = 0.02, 64


class Stub:
    """A running stub: `with Stub() as stub: stub.url`."""

    def __init__(self, latency: float = LATENCY) -> None:
        self._latency = latency

    def __enter__(self) -> Stub:
        command = [sys.executable, "-m", "benchmarks.stub_endpoint", str(self._latency)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = self._process.stdout.readline().strip()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def stats(self) -> dict[str, float]:
        """What it was asked since the last time; times are of the system's monotonic clock."""
        return self._asked("reset")

    def busy(self) -> bool:
        """Whether it has been asked anything since then."""
        return self._asked("stats")["requests"] > 0

    def _asked(self, what: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}") as answer:
            found: dict[str, float] = json.load(answer)
        return found


def job(
    folder: Path, url: str, task: dict[str, object], *, sources: str | None = None, in_flight: int = IN_FLIGHT
) -> str:
    """Write a manifest that asks the stub; its path."""
    model = {"backend": "openai", "name": "stub", "endpoint": {"url": url, "maxConcurrency": in_flight}}
    spec: dict[str, object] = {"model": model, "tasks": [task]}
    if sources:
        spec["taskSources"] = [{"uri": sources}]
    manifest = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "EvalJob",
        "metadata": {"name": "bench"},
        "spec": spec,
    }
    path = folder / "job.yaml"
    path.write_bytes(canonical(manifest))
    return str(path)
