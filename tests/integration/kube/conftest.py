"""What these tests share: an API server that knows all kinds, and how it answers a manifest.

They are installed under a group of their own, so that no operator or chart on the same cluster has a hand in it.
"""

import json
import time

import pytest

from assay_api.crd import definitions
from support.kube import cluster, cluster_nodes  # noqa: F401

GROUP = "test.assay.dev"
VERSION = f"{GROUP}/v1alpha1"


def regrouped(definition):
    names = definition["spec"]["names"]
    return {
        **definition,
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {**definition["spec"], "group": GROUP},
    }


@pytest.fixture(scope="package")
def api(cluster):  # noqa: F811
    """The cluster with all definitions, for as long as these tests run."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*map(regrouped, definitions().values())]})
    cluster.kubectl("apply", "--server-side", "-f", "-", input=text)
    try:
        cluster.await_definitions("-f", "-", input=text)
        for kind in ("evaljobs", "evalschedules", "clusterevalruntimes"):
            until(
                lambda kind=kind: (
                    not cluster.kubectl("explain", kind, f"--api-version={VERSION}", check=False).returncode
                )
            )
        yield cluster
    finally:
        cluster.kubectl("delete", "-f", "-", input=text)


@pytest.fixture(scope="module")
def served(cluster):  # noqa: F811
    """The cluster with the real definitions, since the commands know no others; they go again unless they were there."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(definitions().values())})
    before = cluster.kubectl("get", "-f", "-", "--ignore-not-found", "-o", "name", input=text).stdout
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
    cluster.await_definitions("-f", "-", input=text)
    deadline = time.monotonic() + 30
    while cluster.kubectl("get", "evaljobs.assay.dev", check=False).returncode:
        assert time.monotonic() < deadline, "the API server does not serve EvalJobs"
        time.sleep(0.2)
    yield cluster
    if not before:
        cluster.kubectl("delete", "-f", "-", input=text)


@pytest.fixture(scope="package")
def namespace(api):
    with api.namespace() as name:
        yield name


@pytest.fixture(scope="package")
def kubectl(api, namespace):
    """Run kubectl in the tests' namespace; `ej`, `es` and `cer` are theirs."""
    kinds = {"ej": f"evaljobs.{GROUP}", "es": f"evalschedules.{GROUP}", "cer": f"clusterevalruntimes.{GROUP}"}

    def run(*arguments, **options):
        return api.kubectl(*(kinds.get(argument, argument) for argument in arguments), "-n", namespace, **options)

    return run


@pytest.fixture(scope="package")
def answer(kubectl):
    """What the API server makes of a manifest, without keeping it; a finished kubectl."""

    def dry_run(manifest):
        text = json.dumps({**manifest, "apiVersion": VERSION})
        return kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", input=text, check=False)

    return dry_run


@pytest.fixture
def stored(kubectl):
    """Make objects out of manifests and return them as the API server keeps them; they go when the test has ended."""
    made = []

    def create(manifest, *options):
        text = json.dumps({**manifest, "apiVersion": VERSION})
        kept = json.loads(kubectl("create", "-o", "json", *options, "-f", "-", input=text).stdout)
        made.append(text)
        return kept

    yield create
    for text in made:
        kubectl("delete", "-f", "-", input=text)


def until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)
