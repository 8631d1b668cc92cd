"""`TaskError`: one document cannot be built or scored; it becomes that document's error row and stops nothing else."""

from __future__ import annotations


class TaskError(Exception):
    """Why a document has no score; `kind` is the class under which errors are counted."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind, self.message = kind, message
        super().__init__(message)
