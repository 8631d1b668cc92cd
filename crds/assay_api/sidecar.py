"""What the operator tells planner and workers of the server beside each worker, in a variable of their pods.

The planner pins the server's identity, and each worker compares it with the server that it finds: a runtime that is changed
between the two gives no numbers under a plan that names another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from assay_api.base import Record, canonical, sha256
from assay_api.errors import SpecError
from assay_api.servers import Server, ServerRef

VARIABLE = "ASSAY_SERVER"


class Sidecar(Record):
    """The server beside each worker."""

    schema_: Literal["assay/server/v1"] = Field(default="assay/server/v1", alias="schema")
    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    """The runtime's, then the job's, before Kubernetes fills in model and port."""
    env: str | None = None
    """SHA-256 of the server's own variables that are not secret; None without any."""
    port: int
    ready_path: str
    ready_seconds: int

    @classmethod
    def of(cls, asked: ServerRef, offered: Server) -> Self:
        """The server of the runtime as the job wants it."""
        env = {item.name: item.value for item in offered.env if item.value is not None}
        return cls(
            name=asked.name,
            image=offered.image,
            command=tuple(offered.command),
            args=(*offered.args, *asked.args),
            env=sha256(canonical(env)) if env else None,
            port=offered.port,
            ready_path=offered.readiness.path,
            ready_seconds=offered.readiness.timeout_seconds,
        )

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self | None:
        """The server that the environment tells of; None when it tells of none.

        Raises:
            SpecError: another version of Assay wrote it.
        """
        text = environ.get(VARIABLE)
        if not text:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(
                "environment",
                VARIABLE,
                "it does not describe a server",
                "run operator and workers in the same version",
            ) from error

    @property
    def address(self) -> str:
        """Where the worker finds it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"{self.address}/v1"

    @property
    def identity(self) -> dict[str, Any]:
        """What of it can move a number, for the plan."""
        return self.model_dump(mode="json", include={"name", "image", "command", "args", "env"}, exclude_none=True)
