"""Folders, S3, parts of stores and the fallback keep the same promises."""

import pytest

from assay_runner.store.fallback import CheckedStore
from assay_runner.store.file import FileStore
from assay_runner.store.prefixed import Prefixed
from support.store_contract import ExclusiveContract, StoreContract


class TestFileStore(StoreContract, ExclusiveContract):
    @pytest.fixture
    def store(self, tmp_path):
        return FileStore(tmp_path / "not" / "yet there")


class TestS3Store(StoreContract, ExclusiveContract):
    @pytest.fixture
    def store(self, s3):
        return s3

    @pytest.fixture(autouse=True)
    def small_pages(self, memory):
        memory.page = 3


class TestPrefixed(StoreContract, ExclusiveContract):
    @pytest.fixture
    def store(self, tmp_path):
        whole = FileStore(tmp_path)
        whole.put("ns/name/other", b"another run's")
        return Prefixed(Prefixed(whole, "ns/name/"), "uid/")


class TestCheckedStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return CheckedStore(FileStore(tmp_path))
