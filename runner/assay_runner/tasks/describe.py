"""What `assay tasks` says about a task file, read off its fields without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay_runner.tasks.yaml import FunctionRef


def task_row(name: str, merged: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a task whose file, includes merged, says `merged`."""
    dataset = " ".join(str(merged[key]) for key in ("dataset_path", "dataset_name") if merged.get(key))
    return {
        "name": name,
        "kind": "task",
        "modality": modality(merged),
        "output": str(merged.get("output_type", "generate_until")),
        "dataset": dataset,
        "description": _about(merged),
    }


def group_row(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a group."""
    about = _about(data) or f"{len(data['task'])} members"
    return {"name": name, "kind": "group", "modality": "", "output": "", "dataset": "", "description": about}


def modality(merged: Mapping[str, Any]) -> str:
    """The kinds of content a task asks about: `text`, `image, text`, …; `media, text` where only its code knows which."""
    messages = merged.get("doc_to_messages")
    kinds = {"text"}
    if isinstance(messages, list):
        parts = [part for turn in messages if isinstance(turn, Mapping) for part in _parts(turn.get("content"))]
        kinds |= {str(part.get("type")) for part in parts}
    elif isinstance(messages, FunctionRef) or merged.get("doc_to_visual"):
        kinds.add("media")
    return ", ".join(sorted(kinds))


def _parts(content: Any) -> list[Mapping[str, Any]]:
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _about(merged: Mapping[str, Any]) -> str:
    metadata = merged.get("metadata")
    return str(metadata.get("description", "")) if isinstance(metadata, Mapping) else ""
