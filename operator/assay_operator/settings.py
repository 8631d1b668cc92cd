"""The operator's settings, from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay_api.errors import SpecError


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Times in seconds."""

    namespaces: tuple[str, ...] = ()
    """Namespaces that are watched; empty is all."""
    lease_namespace: str = "default"
    lease_name: str = "assay-operator"
    identity: str = "assay-operator"
    """Unique among the replicas."""
    health_port: int = 8080
    metrics_port: int = 9090
    log_level: str = "INFO"
    workers: int = 32
    """Jobs that are reconciled at a time."""
    resync: float = 300.0
    """Between two looks at everything, whatever was seen."""

    @classmethod
    def read(cls, environ: Mapping[str, str], identity: str) -> Settings:
        """Settings from environment variables; `identity` stands in for POD_NAME.

        Raises:
            SpecError: a variable has no sensible value.
        """
        return cls(
            namespaces=tuple(name.strip() for name in environ.get("ASSAY_NAMESPACES", "").split(",") if name.strip()),
            lease_namespace=environ.get("ASSAY_LEASE_NAMESPACE") or "default",
            lease_name=environ.get("ASSAY_LEASE_NAME") or "assay-operator",
            identity=environ.get("POD_NAME") or identity,
            health_port=_port(environ, "ASSAY_HEALTH_PORT", 8080),
            metrics_port=_port(environ, "ASSAY_METRICS_PORT", 9090),
            log_level=_level(environ),
        )


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise SpecError("environment", name, f"{text!r} is no port", "use a number from 1 to 65535")
    return int(text)


def _level(environ: Mapping[str, str]) -> str:
    level = (environ.get("ASSAY_LOG_LEVEL") or "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SpecError("environment", "ASSAY_LOG_LEVEL", f"{level!r} is no level", "use DEBUG, INFO, WARNING or ERROR")
    return level
