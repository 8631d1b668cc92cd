"""How many accelerators a worker holds is what the plan pins."""

import pytest

from assay_api.plan import ModelPlan
from assay_runner.work.accelerators import accelerators


@pytest.mark.parametrize(
    ("pins", "args", "held"),
    [
        ({"api": "chat"}, {}, 0),
        ({"device": "cpu"}, {"tensor_parallel_size": 2}, 0),
        ({"device": "cuda"}, {}, 1),
        ({"device": "cuda"}, {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, 8),
        ({"device": "cuda"}, {"tp_size": 2}, 2),
    ],
)
def test_an_engine_holds_one_for_each_of_its_parts(pins, args, held):
    model = ModelPlan(backend="transformers", name="m", args=args, pins=pins)
    assert accelerators(model) == held
