"""Whether a worker has the server beside it that its run was planned with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay_api.errors import SpecError, Unfit
from assay_api.plan import Plan
from assay_api.sidecar import VARIABLE, Sidecar

SERVER = "server"
"""Pin of the server's identity."""


def planned_server(plan: Plan, environ: Mapping[str, str]) -> Sidecar | None:
    """The server beside this worker; None when the run was planned without one.

    Raises:
        Unfit: the run was planned with one, and there is none here.
        SpecError: the one here is not the one of the plan.
    """
    pinned = plan.model.pins.get(SERVER)
    if pinned is None:
        return None
    here = Sidecar.read(environ)
    if here is None:
        raise Unfit(
            f"The run was planned with server {pinned['name']} beside each worker, and there is none here ({VARIABLE} is not "
            "set); work on it in pods of its EvalJob."
        )
    if here.identity != pinned:
        raise SpecError(
            "runtime",
            f"spec.servers.{here.name}",
            f"the server is not the one that the run was planned with ({difference(pinned, here.identity)})",
            "change it back, or apply the job under another name",
        )
    return here


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In what two servers differ, in words."""
    return ", ".join(
        f"{field} {_shown(one.get(field))} against {_shown(other.get(field))}"
        for field in ("name", "image", "command", "args", "env")
        if one.get(field) != other.get(field)
    )


def _shown(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list | tuple) else str(value or "")
    return text or "nothing"
