"""An operator that dies in the middle of what it does: a proxy before the API server kills it right after one of its calls.

The call takes effect and its answer is lost, as when a node dies between the two. Watches, listings by the watches and the Lease
are left alone: they are not what a reconciliation does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from support.kube import Cluster
from support.s3 import free_port

_HOP = frozenset({"host", "connection", "transfer-encoding", "content-length", "content-encoding", "accept-encoding"})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def is_reconciling(method: str, path: str, query: str) -> bool:
    """Whether a call belongs to a reconciliation: it writes, or reads one object or one EvalJob's pods."""
    if "/leases/" in path or path.endswith("/leases"):
        return False
    return method in WRITES or "job-uid" in query or path.count("/") >= 7


@dataclass(frozen=True)
class Call:
    """A kind of call, and in which phase of its EvalJob it was made."""

    phase: str
    what: str

    @classmethod
    def of(cls, phase: str, method: str, path: str) -> Call:
        """`GET evaljobs`, `PATCH evaljobs status`, `PATCH jobs plan`, `POST events` and so on."""
        kind, *rest = path.partition("/namespaces/")[2].split("/")[1:]
        # Of a Job's name the step; of other objects what lies below them.
        part = rest[0].rpartition("-")[2] if kind == "jobs" and rest else " ".join(rest[1:])
        return cls(phase, f"{method} {kind} {part}".strip())


class DoomedOperator:
    """Operators that live one after the other, each until it makes a call after which none has died in this phase."""

    def __init__(self, cluster: Cluster, folder: Path, *, writes: bool) -> None:
        """`writes` lets them survive their reads."""
        self._cluster, self._folder = cluster, folder
        self._methods = WRITES if writes else WRITES | {"GET"}
        self.calls: list[Call] = []
        """Calls after which an operator died."""
        self.phase = ""
        """Of the EvalJob that is there, as last written."""
        self._process: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> DoomedOperator:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def live(self) -> None:
        """Start an operator."""
        environment = {
            "KUBECONFIG": str(self._folder / "doomed.kubeconfig"),
            "ASSAY_LEASE_NAME": "assay-doomed",
            "POD_NAME": "doomed",
            "ASSAY_HEALTH_PORT": str(free_port()),
            "ASSAY_METRICS_PORT": str(free_port()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assay_operator.main"],
            env=self._cluster.env | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, seconds: float) -> bool:
        """Whether the operator has died within this time."""
        assert self._process is not None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        assert code == -signal.SIGKILL, f"the operator ended by itself, with {code}"
        return True

    def end(self) -> None:
        """End the one that lives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    async def _open(self) -> None:
        config = yaml.safe_load(Path(self._cluster.kubeconfig).read_text())
        self._upstream = config["clusters"][0]["cluster"]["server"]
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_trusting(config), limit=0), auto_decompress=False
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        named = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (self._folder / "doomed.kubeconfig").write_text(json.dumps(named))

    async def _close(self) -> None:
        await self._session.close()
        await self._runner.cleanup()
        # Watches that were still being passed on.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers=headers,
            data=body or None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if self._is_fatal(request) and self._process is not None:
                await answer.read()
                self._process.kill()
            if request.path.endswith("/status") and answer.status < 300:
                self.phase = json.loads(body)["status"]["phase"]
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            with suppress(ConnectionError):
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                await response.write_eof()
            return response

    def _is_fatal(self, request: web.Request) -> bool:
        if (
            not is_reconciling(request.method, request.path, request.query_string)
            or request.method not in self._methods
        ):
            return False
        call = Call.of(self.phase, request.method, request.path)
        if call in self.calls:
            return False
        self.calls.append(call)
        return True


def _trusting(config: dict[str, Any]) -> ssl.SSLContext:
    """What the kubeconfig's first user shows, and whom it trusts."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]

    def pem(part: dict[str, Any], name: str) -> str:
        if name in part:
            return Path(part[name]).read_text()
        return base64.b64decode(part[f"{name}-data"]).decode()

    context = ssl.create_default_context(cadata=pem(cluster, "certificate-authority"))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
        pair.write(pem(user, "client-certificate") + pem(user, "client-key"))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context
