import pytest

from support.gated_runs import Lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)
