"""What a job needs the platform team's leave for, read off its spec before anything runs."""

from __future__ import annotations

from assay_api.evaljob import EvalJobSpec

TASK_CODE = "taskCode"
REMOTE_CODE = "remoteCode"
_TRUST = "--trust-remote-code"
"""The option by which servers run Python that a model brings."""


def needed_switches(spec: EvalJobSpec) -> dict[str, str]:
    """Switch of `ClusterEvalRuntime.spec.allowed` → the field of the spec that needs it.

    Task files name Python functions, so any task source counts as code.
    """
    needed: dict[str, str] = {}
    if spec.task_sources:
        needed[TASK_CODE] = "spec.taskSources"
    if spec.model.args.get("trust_remote_code"):
        needed[REMOTE_CODE] = "spec.model.args.trust_remote_code"
    if spec.model.server and any(_option(argument) == _TRUST for argument in spec.model.server.args):
        needed[REMOTE_CODE] = "spec.model.server.args"
    return needed


def _option(argument: str) -> str:
    return argument.partition("=")[0].replace("_", "-")
