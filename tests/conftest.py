"""How tests are spread over processes: those of a file stay together, and all that use the cluster, of which there is one."""

from pathlib import Path

import pytest

_CLUSTER = Path(__file__).parent / "integration" / "kube"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of every test for `--dist loadgroup`, before that is read."""
    for item in items:
        group = "cluster" if _CLUSTER in item.path.parents else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
