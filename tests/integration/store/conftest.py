"""The session's S3 server, and stores in fresh buckets of it."""

import os

import pytest

from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
from assay_runner.store.s3_tries import Tries
from support.faulty_s3 import FaultyS3, Forward
from support.s3 import s3_server, s3_store

__all__ = ["s3_server", "s3_store"]


@pytest.fixture(scope="session")
def _faulty(s3_server):
    with FaultyS3(Forward(s3_server)) as running:
        yield running


@pytest.fixture(scope="session")
def _clients(s3_server, _faulty):
    """Clients of the server itself and of the one that loses answers in front of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.env.items():
            patch.setenv(name, value)
        yield (
            make_client(s3_server.endpoint, None, os.environ),
            make_client(_faulty.endpoint, None, os.environ, read_seconds=0.5),
        )


@pytest.fixture
def faulty(_faulty):
    _faulty.plan()
    _faulty.requests.clear()
    return _faulty


@pytest.fixture
def bucket(s3_server):
    return s3_server.new_bucket()


@pytest.fixture
def store(_clients, bucket):
    return S3Store(bucket, "runs", _clients[0])


@pytest.fixture
def store_behind_faults(_clients, faulty, bucket):
    """The same objects as `store`, over connections that fail as told."""
    return S3Store(bucket, "runs", _clients[1], tries=Tries(pause=lambda _: None))
