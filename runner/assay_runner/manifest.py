"""Reads the manifest a person wrote: one EvalJob in a YAML file, with complaints that name file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from assay_api.errors import SpecError, from_validation
from assay_api.evaljob import EvalJob


def read_manifest(path: Path) -> EvalJob:
    """The EvalJob in `path`; other kinds in the same file are left alone.

    Raises:
        SpecError: the file cannot be read, is no YAML, or holds no valid EvalJob or several.
    """
    jobs = [document for document in _documents(path) if document.get("kind") == "EvalJob"]
    if len(jobs) != 1:
        found = "no EvalJob" if not jobs else f"{len(jobs)} EvalJobs"
        raise SpecError(
            str(path), "kind", f"the file holds {found}", "write exactly one object with kind: EvalJob in it"
        )
    return parse_job(jobs[0], str(path))


def parse_job(data: dict[str, Any], file: str) -> EvalJob:
    """Check plain data against the vocabulary; `file` names it in errors.

    Raises:
        SpecError: it is no valid EvalJob.
    """
    try:
        return EvalJob.model_validate(data)
    except ValidationError as error:
        raise from_validation(error, file, EvalJob) from error


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SpecError(
            str(path), "", f"the manifest cannot be read ({reason})", "name an existing YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(str(path), "", "the manifest is not UTF-8 text", "save it as UTF-8") from error
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise SpecError(str(path), place, f"this is no valid YAML ({problem})", "correct the syntax") from error
    for document in documents:
        if document is not None and not isinstance(document, dict):
            raise SpecError(str(path), "", "the manifest is no mapping", "start it with apiVersion: and kind: EvalJob")
    return [document for document in documents if document]
