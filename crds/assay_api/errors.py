"""The errors a person sees, and the exit code each of them ends a command with.

Every failure that Assay foresees is an `AssayError` with one sentence that names the place, says what is wrong and what
would be right. Commands print that sentence and exit with `exit_code`; anything else is a defect and shows a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_GATE_FAILED = 3
"""The run is complete, and a gate failed."""
EXIT_CANNOT_TELL = 4
"""The run is complete, no gate failed, and of one it cannot be told."""
EXIT_SPEC = 64
EXIT_STOPPED = 75


class AssayError(Exception):
    """A foreseen failure: `str(error)` is the sentence for the person, `exit_code` ends the command."""

    exit_code: int = EXIT_FAILED


class SpecError(AssayError):
    """The manifest or a task is wrong: running again without a change cannot help.

    Args:
        file: the file (or object) that holds the mistake, as the user named it.
        field: the dotted path of the field in it, or "" when the whole file is meant.
        problem: what is wrong, without a full stop.
        remedy: what would be right, without a full stop.
    """

    exit_code = EXIT_SPEC

    def __init__(self, file: str, field: str, problem: str, remedy: str) -> None:
        self.file, self.field, self.problem, self.remedy = file, field, problem, remedy
        where = f"{file}: {field}" if field else file
        super().__init__(f"{where}: {problem}; {remedy}.")


class Failed(AssayError):
    """The run cannot go on for a reason outside the manifest (endpoint, storage, engine)."""


class Unfit(Failed):
    """This machine is not what the run was planned for. Another one may be, so it is no verdict on the job."""


class Stopped(AssayError):
    """The run was asked to stop and can be resumed."""

    exit_code = EXIT_STOPPED


class Refused(AssayError):
    """The reducer found something in the store it must not guess about; no results were written."""


class Incomplete(Refused):
    """Planned samples have no committed record yet."""


class Corrupt(Refused):
    """What is stored contradicts the plan, a marker or a digest."""


class TooManyErrors(Refused):
    """More samples failed than `spec.errorPolicy.maxErrorRate` tolerates."""


def from_validation(error: ValidationError, file: str, model: type[BaseModel]) -> SpecError:
    """Turn pydantic's first complaint about `file` into a `SpecError` that names the field and the way out."""
    first = error.errors(include_url=False)[0]
    path = _dotted(first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        known = sorted(_siblings(model, first["loc"]))
        return SpecError(
            file, path, "there is no such field", f"known fields here are: {', '.join(known)}" if known else "remove it"
        )
    if kind == "missing":
        return SpecError(file, path, "the field is required", "add it")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    if kind == "value_error":
        problem, _, remedy = message.partition("; ")
        return SpecError(file, path, problem, remedy or "see docs/manifest.md")
    shown = repr(first["input"])
    return SpecError(
        file, path, f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not allowed", f"it should be {message}"
    )


def _dotted(loc: Iterable[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _siblings(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in loc[:-1]:
        if isinstance(part, int) or current is None:
            continue
        fields = {(field.alias or name): field for name, field in current.model_fields.items()}
        current = _model_in(fields[part].annotation) if part in fields else None
    return [field.alias or name for name, field in current.model_fields.items()] if current else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found:
            return found
    return None
