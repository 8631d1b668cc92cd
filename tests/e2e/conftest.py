"""What end-to-end tests share: a cluster of two nodes, the images, a store, the operator, a model endpoint.

Run them with `make e2e` on kind. Plain `pytest` leaves this folder out.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.e2e import Lab, Operator, how_things_stand
from support.e2e_images import Images, built_and_loaded
from support.e2e_store import Store, opened_store
from support.endpoint import TestEndpoint
from support.kube import Cluster, cluster  # noqa: F401 - a fixture

HERE = Path(__file__).parent
_CLUSTER = pytest.StashKey[Cluster]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is one of these; its time does not count what the session sets up before it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("e2e")
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failure shows how things stood on the cluster."""
    report = yield
    known_cluster = item.config.stash.get(_CLUSTER, None)
    if report.failed and call.when in ("setup", "call") and known_cluster:
        known: dict[str, Any] = getattr(item, "funcargs", {})
        report.sections.append(("cluster", how_things_stand(known_cluster, known.get("ns"))))
    return report


@pytest.fixture(scope="session")
def cluster_nodes() -> int:
    return 2


@pytest.fixture(scope="session", autouse=True)
def _known_to_reports(cluster: Cluster, pytestconfig: pytest.Config) -> None:  # noqa: F811
    """Also when what is set up on it fails."""
    pytestconfig.stash[_CLUSTER] = cluster


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:  # noqa: F811
    return built_and_loaded(cluster)


@pytest.fixture(scope="session")
def s3(cluster: Cluster) -> Iterator[Store]:  # noqa: F811
    with opened_store(cluster) as store:
        yield store


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: Images) -> Iterator[Operator]:  # noqa: F811
    """The chart, installed with its defaults and a runtime that takes what the cluster's nodes have."""
    release = Operator(cluster, images)
    try:
        release.install()
        yield release
    finally:
        release.uninstall()


@pytest.fixture
def lab(cluster: Cluster) -> Lab:  # noqa: F811
    return Lab(cluster)


@pytest.fixture
def ns(cluster: Cluster) -> Iterator[str]:  # noqa: F811
    """A fresh namespace in which only restricted pods run."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def storage(s3: Store, ns: str) -> dict[str, object]:
    """`spec.storage` of a fresh bucket, with its Secret in the test's namespace."""
    s3.secret(ns)
    return s3.storage(s3.new_bucket())


@pytest.fixture
def stub(cluster: Cluster) -> Iterator[Callable[..., TestEndpoint]]:  # noqa: F811
    """Start a model endpoint that pods reach; `latency` and `faults` may be changed while it runs."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(TestEndpoint(host=cluster.host, **settings))
