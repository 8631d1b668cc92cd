"""A real S3 server for tests, one per session: versitygw where its start script is at hand, else moto.

`from support.s3 import s3_server, s3_store, s3_url` in a conftest or a test module makes the fixtures known there.
"""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay_api.evaljob import Storage

_SCRIPT = Path(os.environ.get("ASSAY_SHARED") or Path(__file__).parents[3] / "shared") / "kube" / "s3"


@dataclass(frozen=True)
class S3Server:
    """A running server; `env` is all that a process needs to reach it the way boto3 users expect."""

    endpoint: str
    env: dict[str, str]
    atomic: bool
    """Whether conditional writes are atomic among concurrent writers."""

    def client(self, **overrides):
        """A plain boto3 client of the server."""
        import boto3

        settings = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.env["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.env["AWS_REGION"],
        }
        return boto3.session.Session().client("s3", **(settings | overrides))

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"assay-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name


@functools.cache
def start_s3(*hosts: str) -> S3Server:
    """The session's server, started by the first call and stopped when the interpreter ends. On `hosts` it listens too."""
    if _SCRIPT.is_file() and shutil.which("xz"):
        return _versitygw(hosts)
    assert not hosts, "only versitygw listens on several addresses"
    return _moto()


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    return start_s3()


@pytest.fixture(scope="session")
def s3_url() -> tuple[str, dict[str, str]]:
    """(endpoint, environment) of the server."""
    server = start_s3()
    return server.endpoint, server.env


@pytest.fixture
def s3_store(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Storage]:
    """Each call gives the settings of a root in a fresh bucket; credentials are in this test's environment."""
    server = start_s3()
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)

    def fresh() -> Storage:
        return Storage(
            uri=f"s3://{server.new_bucket()}/runs", endpointUrl=server.endpoint, region=server.env["AWS_REGION"]
        )

    return fresh


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _versitygw(hosts: tuple[str, ...]) -> S3Server:
    folder = tempfile.mkdtemp(prefix="assay-s3-")
    env = os.environ | {"S3_DIR": folder}

    def stop() -> None:
        subprocess.run([_SCRIPT, "down", "--wipe"], env=env, check=False)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    port = free_port()
    addresses = [f"{host}:{port}" for host in ("127.0.0.1", *hosts)]
    subprocess.run([_SCRIPT, "up", *addresses], env=env, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return server_at(f"http://127.0.0.1:{port}", "test", "testsecret")


def _moto() -> S3Server:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return server_at(f"http://{host}:{port}", "test", "testsecret", atomic=False)


def server_at(endpoint: str, key: str, secret: str, *, atomic: bool = True) -> S3Server:
    """A server that runs already."""
    env = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return S3Server(endpoint, env, atomic)
