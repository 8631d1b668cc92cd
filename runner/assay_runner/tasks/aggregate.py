"""Aggregations that a task brings itself: functions of all its items, run in the reducer on fresh modules.

Fresh, so that what a module accumulated while documents were scored cannot leak into the value.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks.functions import names_of
from assay_runner.tasks.hooks import Code
from assay_runner.tasks.yaml import FunctionRef


def own_aggregation(code: Code, reference: FunctionRef, task: str) -> tuple[Callable[[list[Any]], Any], bool]:
    """The function as one of the items alone, and whether it may be called many times.

    Functions that take `args` get what they read of it upstream; they may write files (into a folder that does not
    outlive the call) or ask a judge, and are called once.

    Raises:
        SpecError: there is no such function.
    """
    wants_args = "args" in names_of(code.find(reference))
    seed = derive_seed(0, task, "aggregation", reference.name)

    def aggregate(items: list[Any]) -> Any:
        folder = code.fresh(reference)
        function = folder.find(reference.name)
        label = f"aggregation {reference.name}"
        if not wants_args:
            return folder.call(label, function, [items], seed)
        with tempfile.TemporaryDirectory(prefix="assay-submission-") as output:
            args = Namespace(output_path=output, tasks=task, model="assay", log_samples_suffix="")
            return folder.call(label, function, [items, args], seed)

    return aggregate, not wants_args
