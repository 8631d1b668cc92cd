"""Which of several errors to tell: stages that run side by side fail side by side."""

from __future__ import annotations

from assay_api.errors import AssayError


def foremost(group: BaseExceptionGroup) -> BaseException:
    """The error to tell: what Assay foresaw comes before what followed from it."""
    leaves: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                collect(inner)
        else:
            leaves.append(error)

    collect(group)
    foreseen = [error for error in leaves if isinstance(error, AssayError)]
    return (foreseen or leaves)[0]
