"""A store over the S3 in memory, behind a server that can be told to fail.

Server and client live for the whole session, since a boto3 client takes a third of a second to make; objects and faults
are each test's own.
"""

from datetime import timedelta

import pytest

from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
from assay_runner.store.s3_tries import Tries
from support.faulty_s3 import FaultyS3, MemoryS3


@pytest.fixture(scope="session")
def _running():
    with FaultyS3(MemoryS3()) as running:
        yield running


@pytest.fixture(scope="session")
def _client(_running):
    with pytest.MonkeyPatch.context() as patch:
        _set_credentials(patch)
        yield make_client(_running.endpoint, "us-east-1", {}, connect_seconds=2, read_seconds=0.5)


@pytest.fixture
def credentials(monkeypatch):
    _set_credentials(monkeypatch)


@pytest.fixture
def memory():
    return MemoryS3()


@pytest.fixture
def server(_running, memory):
    _running.upstream = memory
    _running.plan()
    _running.clock_ahead = timedelta()
    _running.requests.clear()
    return _running


@pytest.fixture
def pauses():
    """Seconds the store would have slept between tries."""
    return []


@pytest.fixture
def s3(server, _client, pauses):
    return S3Store("bucket", "runs", _client, tries=Tries(most=4, pause=pauses.append, jitter=lambda: 0.5))


def _set_credentials(patch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_REGION"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_CONFIG_FILE", "/dev/null")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
