"""How many accelerators a worker holds, by what the plan pins: for the account of a run, no number of the results."""

from __future__ import annotations

import math

from assay_api.plan import ModelPlan

_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "tp_size", "pp_size", "dp_size")


def accelerators(model: ModelPlan) -> int:
    """None on a CPU, and none for an endpoint, whose server holds them; else one for each part of the engine."""
    if model.pins.get("device", "cpu") == "cpu":
        return 0
    sizes = [model.args.get(name, 1) for name in _SIZES]
    return math.prod(size for size in sizes if isinstance(size, int))
