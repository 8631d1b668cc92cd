"""results.json is fetched from where the job's pods wrote it, and believed only when its digest is the status's."""

import hashlib

import pytest

from assay_api.errors import Corrupt, Failed
from assay_runner.cluster import fetch
from assay_runner.cluster.answers import ApiRefused
from assay_runner.cluster.job import Job
from support.evaljobs import UID, complete, evaljob

DATA = b'{"schema": "assay/results/v1"}\n'


class Runtimes:
    """A cluster that knows one runtime, or answers with an error."""

    def __init__(self, answer=None):
        self.answer = answer

    def runtime(self, name):
        assert name == "default"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def finished(folder, digest):
    uri = f"file://{folder}/research/easy-vqa/{UID}/results.json"
    return Job.of(evaljob(complete(resultsUri=uri, resultsDigest=digest)))


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "research" / "easy-vqa" / UID
    run.mkdir(parents=True)
    (run / "results.json").write_bytes(DATA)
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_the_bytes_are_those_of_the_store(folder, prefix):
    job = finished(folder, prefix + hashlib.sha256(DATA).hexdigest())
    assert fetch.fetch_results(Runtimes(), job) == DATA


def test_other_bytes_than_the_job_ended_with_are_refused(folder):
    with pytest.raises(Corrupt, match=r"SHA-256 differs from status\.resultsDigest"):
        fetch.fetch_results(Runtimes(), finished(folder, 64 * "0"))


def test_a_volume_of_the_cluster_is_named_as_such(tmp_path):
    with pytest.raises(Failed, match="lies on a volume of the cluster that this machine does not see"):
        fetch.fetch_results(Runtimes(), finished(tmp_path / "elsewhere", 64 * "0"))


def settings(data, environ, answer=None):
    found = fetch.storage_settings(Runtimes(answer), Job.of(data), "s3://evals/runs", environ)
    return found.endpoint_url, found.region


def test_endpoint_and_region_are_the_jobs_else_the_runtimes_else_the_environments():
    runtime = {"spec": {"storage": {"uri": "s3://evals", "endpointUrl": "http://runtime:1", "region": "eu-1"}}}
    own, without = evaljob(complete()), evaljob(complete())
    del without["spec"]["storage"]
    assert settings(own, {}, runtime) == ("http://10.0.0.9:7070", "us-east-1")
    assert settings(without, {}, runtime) == ("http://runtime:1", "eu-1")
    assert settings(without, {}, ApiRefused("forbidden.", 403, {})) == settings(without, {}) == (None, None)


def test_an_endpoint_of_the_users_environment_wins_over_one_that_only_pods_may_reach():
    environ = {"AWS_ENDPOINT_URL_S3": "http://localhost:9000"}
    assert settings(evaljob(complete()), environ) == (None, "us-east-1")
