"""Addresses that people write open the store they mean, or are refused in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from assay_api.errors import SpecError
from assay_api.evaljob import Storage
from assay_runner.store.file import FileStore
from assay_runner.store.open import open_store
from assay_runner.store.prefixed import Prefixed
from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client


@pytest.mark.parametrize("name", ("plain", "with space", "hundred%20%", "que?ry#1"))
def test_a_folder_and_its_own_uri_are_the_same_store(tmp_path, name):
    folder = tmp_path / name
    by_path = open_store(str(folder), None)
    by_path.put("object", b"x")
    assert (folder / "object").read_bytes() == b"x"
    assert by_path.uri == f"file://{folder}"
    assert open_store(by_path.uri, None).get("object") == b"x"


def test_relative_and_home_folders_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_store("runs", None).uri == f"file://{tmp_path}/runs"
    assert open_store("~/runs", None).uri == f"file://{tmp_path}/home/runs"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "it is empty; use s3://bucket/prefix, file:///folder or a folder"),
        ("gs://bucket/x", "storage of the kind 'gs://' is not known; use s3://"),
        ("https://host/x", "is not known"),
        ("S3://bucket", "is not known"),
        ("file://folder", "write file:///folder"),
        ("file:folder", "write file:///folder"),
        ("s3:/bucket/x", "is not known"),
        ("s3://", "'' is no name of a bucket"),
        ("s3:///x", "is no name of a bucket"),
        ("s3://bu cket/x", "is no name of a bucket"),
        ("s3://bucket//x", "empty part"),
        ("s3://bucket/../x", "'..'"),
    ],
)
def test_an_address_of_no_known_kind_is_refused_before_anything_is_asked(uri, words):
    with pytest.raises(SpecError) as caught:
        open_store(uri, None)
    assert words in str(caught.value)


@pytest.mark.parametrize("uri", ("s3://bucket", "s3://bucket/", "s3://bucket/pre/fix", "s3://bucket/pre/fix/"))
def test_a_bucket_opens_below_its_prefix(credentials, uri):
    store = open_store(uri, Storage(uri=uri, endpointUrl="http://127.0.0.1:9"))
    assert isinstance(store, S3Store)
    assert store.uri == uri.rstrip("/")
    assert store.location("a/b") == uri.rstrip("/") + "/a/b"


@pytest.mark.parametrize("uri", ("s3://bucket", "s3://bucket/pre/fix"))
def test_a_run_has_an_address_that_ends_in_its_prefix(credentials, uri):
    run = Prefixed(open_store(uri, Storage(uri=uri, endpointUrl="http://127.0.0.1:9")), "ns/name/uid/")
    assert run.uri == f"{uri}/ns/name/uid"
    assert run.location("plan.json") == f"{uri}/ns/name/uid/plan.json"


def test_the_file_system_root_keeps_its_slashes():
    assert Prefixed(FileStore(Path("/")), "ns/name/uid/").uri == "file:///ns/name/uid"


def test_settings_win_over_the_environment_which_wins_over_defaults(credentials):
    environ = {"AWS_ENDPOINT_URL_S3": "http://env:1", "AWS_ENDPOINT_URL": "http://all:1", "AWS_REGION": "eu-west-1"}
    given = make_client("http://given:1", "eu-north-1", environ).meta
    assert (given.endpoint_url, given.region_name) == ("http://given:1", "eu-north-1")
    found = make_client(None, None, environ).meta
    assert (found.endpoint_url, found.region_name) == ("http://env:1", "eu-west-1")
    assert make_client(None, None, {"AWS_ENDPOINT_URL": "http://all:1"}).meta.region_name == "us-east-1"
    assert "amazonaws.com" in make_client(None, "eu-west-1", {}).meta.endpoint_url


@pytest.mark.parametrize("endpoint", ("localhost:9000", "ftp://host", "http://", "http://[half"))
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(SpecError, match="endpointUrl"):
        make_client(None, None, {"AWS_ENDPOINT_URL_S3": endpoint})


def test_a_run_in_a_folder_never_loads_boto3():
    code = """
import sys
from assay_runner.store.open import open_store
open_store("x", None)
sys.exit("boto3" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
