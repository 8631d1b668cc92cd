"""An S3 server that both this machine and the cluster's pods reach: one on this machine, or the one of
examples/kind/s3.yaml, which this machine reaches through a forwarded port."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from support.kube import Cluster
from support.s3 import S3Server, free_port, server_at, start_s3

SECRET = "store"


@dataclass(frozen=True)
class Store:
    """The server as tests and pods see it."""

    cluster: Cluster
    server: S3Server
    """As this machine reaches it."""
    endpoint: str
    """As pods reach it."""

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        return self.server.new_bucket()

    def secret(self, ns: str, name: str = SECRET, **changed: str) -> None:
        """Put the credentials into a Secret of the namespace."""
        data = {name: self.server.env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")} | changed
        metadata = {"name": name, "namespace": ns}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(secret))

    def storage(self, bucket: str, secret: str = SECRET) -> dict[str, object]:
        """`spec.storage` of an EvalJob."""
        return {
            "uri": f"s3://{bucket}/runs",
            "endpointUrl": self.endpoint,
            "region": self.server.env["AWS_REGION"],
            "credentialsSecretRef": {"name": secret},
        }

    def read(self, uri: str) -> bytes:
        """The object at an s3:// address."""
        parts = urlsplit(uri)
        return self.server.client().get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()

    def keys(self, uri: str) -> list[str]:
        """Keys of all objects below an s3:// address, relative to it."""
        parts = urlsplit(uri.rstrip("/") + "/")
        prefix = parts.path.lstrip("/")
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=parts.netloc, Prefix=prefix)
        return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", ())]


@contextmanager
def opened_store(cluster: Cluster) -> Iterator[Store]:
    """The server, for as long as the context lasts."""
    if cluster.script:
        server = start_s3(cluster.host)
        yield Store(cluster, server, f"http://{cluster.host}:{urlsplit(server.endpoint).port}")
        return
    cluster.kubectl("rollout", "status", "deployment/s3", "-n", "s3", "--timeout=120s", timeout=130)
    port = free_port()
    command = ["kubectl", "port-forward", "-n", "s3", "service/s3", f"{port}:7070"]
    forward = subprocess.Popen(command, env=cluster.env, stdout=subprocess.DEVNULL)
    try:
        _await(port)
        yield Store(cluster, server_at(f"http://127.0.0.1:{port}", "assay", "assay-secret"), "http://s3.s3.svc:7070")
    finally:
        forward.terminate()
        forward.wait(10)


def _await(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "kubectl port-forward to the S3 server did not open in 20 s"
            time.sleep(0.1)
