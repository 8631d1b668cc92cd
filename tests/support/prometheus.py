"""Prometheus and promtool, of Debian's package `prometheus`: rules as the chart renders them, and a server that scrapes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.s3 import free_port

ROOT = Path(__file__).parents[2]
NAMESPACE, SERVICE = "assay-system", "assay-operator"
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs prometheus and promtool: apt-get install --no-install-recommends prometheus",
)


def rules() -> str:
    """The alerts as the chart renders them for a release `assay` in `assay-system`."""
    text = (ROOT / "charts" / "assay" / "files" / "alerts.yaml").read_text()
    matchers = f'{{namespace="{NAMESPACE}",service="{SERVICE}"'
    return text.replace("{%", matchers).replace("{runbooks}", "docs/runbooks")


def alerts() -> dict[str, dict[str, Any]]:
    """Name → alert."""
    return {rule["alert"]: rule for group in yaml.safe_load(rules())["groups"] for rule in group["rules"]}


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query finds, as the API gives it.

        Raises:
            AssertionError: the expression is wrong.
        """
        return self._get("query", query=expression)["result"]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """What a query over a span of time finds."""
        return self._get("query_range", query=expression, start=start, end=end, step=step)["result"]

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped."""
        return self._get("targets")["activeTargets"]

    def _get(self, place: str, **parameters: Any) -> Any:
        address = f"{self._url}/api/v1/{place}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None


@contextmanager
def running(folder: Path, scrape_configs: list[Mapping[str, Any]]) -> Iterator[Prometheus]:
    """A server that scrapes every second and evaluates the chart's rules; its data lies in `folder`."""
    (folder / "rules.yaml").write_text(rules())
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": scrape_configs,
    }
    (folder / "prometheus.yaml").write_text(json.dumps(settings))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(f"http://127.0.0.1:{port}/-/ready", folder / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)


def _await(address: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
