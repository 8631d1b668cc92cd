"""Model servers that run beside workers: what a runtime offers, and what a job says of the one it picks.

Image, command, volumes and permissions are the runtime's. A job names a server and adds such arguments as the runtime lets
it: the arguments of a server decide what its process reads and runs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from assay_api import exposition
from assay_api.base import Spec
from assay_api.pods import EnvVar, Image, Resources, VolumeMount
from assay_api.rules import Rule, checked, keyed, refuse_doubles
from assay_api.texts import Quantity

ServerName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63),
    Field(description="a server's name has at most 63 small letters, digits and -; correct the name"),
]
Argument = Annotated[str, StringConstraints(max_length=1024)]
AllowedArgument = Annotated[str, StringConstraints(pattern=r"^(\*|-[^=\s]+)$", min_length=1, max_length=128)]
HttpPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=256)]

CONTAINER = "server"
"""Name of a server's container in the pod."""
MODEL, REVISION, PORT = "MODEL", "REVISION", "PORT"
"""Variables of a server's container, for $(MODEL), $(REVISION) and $(PORT) in its command and arguments."""
ANY_ARGUMENT = "*"
_NEGATIVE = re.compile(r"-(\d+|\d*\.\d+)")
"""What parsers of command lines take for a value, though it begins with a dash."""

PORT_IS_FREE = Rule(
    f"!has(self.port) || self.port != {exposition.PORT}",
    f"port {exposition.PORT} is the worker's own, for metrics; use another port",
    ".port",
)
ARGUMENTS_START_WITH_AN_OPTION = Rule(
    "!has(self.args) || size(self.args) == 0 || self.args[0].startsWith('-')",
    "the arguments of a server begin with an option, such as --max-model-len; put the option in front of its value",
    ".args",
)


class ServerRef(Spec):
    """A server of the runtime, as a job wants it beside each of its workers."""

    model_config = Spec.model_config | {"json_schema_extra": checked(ARGUMENTS_START_WITH_AN_OPTION)}

    name: ServerName = Field(description="Name of one of the runtime's servers.")
    args: list[Argument] = Field(
        default_factory=list,
        max_length=32,
        description="Arguments after the runtime's own, options that it allows; they are taken as they are written.",
    )
    max_concurrency: int = Field(
        default=64, ge=1, le=65536, description="Requests in flight at a time at each worker's server."
    )
    timeout_seconds: float = Field(
        default=600, gt=0, le=86400, description="Seconds after which one request is given up."
    )

    @model_validator(mode="after")
    def _begins_with_an_option(self) -> Self:
        if self.args and not self.args[0].startswith("-"):
            raise ValueError(ARGUMENTS_START_WITH_AN_OPTION.sentence)
        return self


class Readiness(Spec):
    """When a server counts as ready."""

    path: HttpPath = Field(
        default="/health", description="Path that the server answers with HTTP 200 once the model is loaded."
    )
    timeout_seconds: int = Field(
        default=1800,
        ge=1,
        le=86400,
        description="Seconds that it may take to be ready, after its start or its death; then the worker ends.",
    )


class Server(Spec):
    """An OpenAI-compatible server that runs beside a worker, in its pod. It is asked at http://127.0.0.1:port/v1."""

    model_config = Spec.model_config | {"json_schema_extra": checked(PORT_IS_FREE)}

    image: Image = Field(description="Image of the server, as its makers publish it.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When nodes pull the image; default: as in Kubernetes, by the tag."
    )
    command: list[Argument] = Field(
        default_factory=list, max_length=16, description="What is run; default: the image's entrypoint."
    )
    args: list[Argument] = Field(
        default_factory=list,
        max_length=64,
        description="Arguments; $(MODEL), $(REVISION) and $(PORT) stand for the job's model, its revision and the port.",
    )
    allowed_args: list[AllowedArgument] = Field(
        default_factory=list,
        max_length=64,
        description="Options that jobs may add, such as --max-model-len; * is any. By default none.",
    )
    port: int = Field(default=8000, ge=1024, le=65535, description="Port that the server listens on.")
    readiness: Readiness = Field(default=Readiness(), description="When it counts as ready.")
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=64,
        description="Environment variables of the server, after those of the pod template.",
        json_schema_extra=keyed("name"),
    )
    resources: Resources | None = Field(
        default=None,
        description="Compute resources of the server; devices that it does not name it gets from the pod template.",
    )
    volume_mounts: list[VolumeMount] = Field(
        default_factory=list,
        max_length=8,
        description="Volumes of the pod template that it sees beside the cache.",
        json_schema_extra=keyed("mountPath"),
    )
    shared_memory: Quantity | None = Field(
        default=None, description="Most that /dev/shm holds; it counts as memory of the server. Default: no limit."
    )
    security_context: dict[str, Any] | None = Field(
        default=None, max_length=32, description="Security context of its container; default: restricted."
    )

    @field_validator("env")
    @classmethod
    def _variables_are_distinct(cls, env: list[EnvVar]) -> list[EnvVar]:
        refuse_doubles("variable", [variable.name for variable in env])
        return env

    @model_validator(mode="after")
    def _port_is_free(self) -> Self:
        refuse_doubles("mount", [mount["mountPath"] for mount in self.volume_mounts])
        if self.port == exposition.PORT:
            raise ValueError(PORT_IS_FREE.sentence)
        return self


def refused_argument(server: Server, args: list[str]) -> str | None:
    """The first option among a job's `args` that `server` does not allow; None when there is none."""
    if ANY_ARGUMENT in server.allowed_args:
        return None
    words = (argument for argument in args if argument.startswith("-") and not _NEGATIVE.fullmatch(argument))
    options = (word.partition("=")[0] for word in words)
    return next((option for option in options if option not in server.allowed_args), None)
