"""The CustomResourceDefinitions of EvalJob, EvalSchedule and ClusterEvalRuntime, made from the models.

`crds/*.yaml` holds what this module renders: `assay crd --write crds` writes it, and a test compares.
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel

from assay_api.crd_schema import structural_schema
from assay_api.evaljob import GROUP, VERSION, EvalJob
from assay_api.evalschedule import EvalSchedule
from assay_api.runtime import ClusterEvalRuntime

_HEADER = "# Generated from crds/assay_api by `assay crd --write crds`: change the models, not this file.\n"
_EVALJOB_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Model", "string", ".spec.model.name", 0),
    ("Tasks", "string", ".status.summary.tasks", 0),
    ("Done", "string", ".status.summary.done", 0),
    ("Workers", "string", ".status.summary.workers", 0),
    ("Score", "string", ".status.summary.score", 0),
    ("Errors", "integer", ".status.progress.errors", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Note", "string", ".status.summary.note", 0),
    ("Queue", "string", ".spec.queueName", 1),
    ("Results", "string", ".status.resultsUri", 1),
)
_SCHEDULE_COLUMNS = (
    ("Cron", "string", ".spec.cron.schedule", 0),
    ("Watch", "string", ".spec.watch.uri", 0),
    ("Suspend", "boolean", ".spec.suspend", 0),
    ("Active", "integer", ".status.activeCount", 0),
    ("Found", "integer", ".status.watch.found", 0),
    ("Last", "date", ".status.lastScheduleTime", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Note", "string", ".status.note", 0),
    ("Time zone", "string", ".spec.cron.timeZone", 1),
    ("Policy", "string", ".spec.concurrencyPolicy", 1),
    ("Checkpoint", "string", ".status.watch.lastCheckpoint", 1),
)
_RUNTIME_COLUMNS = (
    ("Image", "string", ".spec.images.default", 0),
    ("Backends", "string", ".spec.backends", 0),
    ("Max replicas", "integer", ".spec.caps.maxReplicas", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)
_SELECTABLE = (".spec.model.backend", ".spec.model.name", ".spec.runtimeRef.name", ".status.phase")
_ROOT: dict[str, Any] = {
    "apiVersion": {"type": "string", "description": f"Version of this object's form: {GROUP}/{VERSION}."},
    "kind": {"type": "string", "description": "Kind of this object."},
    "metadata": {"type": "object"},
}
"""What the API server checks by itself, and says may not be described in more detail here."""


def definitions() -> dict[str, dict[str, Any]]:
    """File name → CustomResourceDefinition."""
    evaljob = _definition(EvalJob, "evaljobs", "ej", "Namespaced", _EVALJOB_COLUMNS)
    evaljob["spec"]["versions"][0] |= {
        "selectableFields": [{"jsonPath": path} for path in _SELECTABLE],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.workers.active",
                "labelSelectorPath": ".status.selector",
            },
        },
    }
    schedule = _definition(EvalSchedule, "evalschedules", "es", "Namespaced", _SCHEDULE_COLUMNS)
    schedule["spec"]["versions"][0]["subresources"] = {"status": {}}
    runtime = _definition(ClusterEvalRuntime, "clusterevalruntimes", "cer", "Cluster", _RUNTIME_COLUMNS)
    return {f"{definition['metadata']['name']}.yaml": definition for definition in (evaljob, schedule, runtime)}


def files() -> dict[str, str]:
    """File name → its text, the same on every machine."""
    return {name: _HEADER + _render(definition) for name, definition in definitions().items()}


def _definition(
    model: type[BaseModel], plural: str, short: str, scope: str, columns: tuple[tuple[str, str, str, int], ...]
) -> dict[str, Any]:
    schema = structural_schema(model, without=_ROOT)
    schema["properties"] = _ROOT | schema["properties"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": model.__name__,
                "listKind": f"{model.__name__}List",
                "plural": plural,
                "singular": model.__name__.lower(),
                "shortNames": [short],
                "categories": ["assay"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(*column) for column in columns],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Every place says what it means; a schema used twice is written twice."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Quotes y and n: kubectl reads YAML 1.1, where they are true and false."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if text in ("y", "n", "Y", "N") else None)


_Plain.add_representer(str, _Plain.represent_text)


def _render(value: dict[str, Any]) -> str:
    text: str = yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return text
