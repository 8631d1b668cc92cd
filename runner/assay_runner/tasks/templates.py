"""Jinja templates of task files, in a sandbox, with undefined names as errors.

A text that is exactly one expression (`{{ choices.text }}`) can also be asked for its value instead of its rendering, so
that lists and numbers need no round trip through text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay_api.errors import SpecError
from assay_runner.tasks.errors import TaskError

_EXPRESSION = re.compile(r"^\s*\{\{(?P<inside>(?:(?!\}\}|\{\{).)*)\}\}\s*$", re.DOTALL)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["regex_replace"] = lambda text, pattern, replacement: re.sub(pattern, replacement, text)
    return environment


_ENVIRONMENT = _environment()


class Text:
    """One text of a task file: a column's name, a template, or plain text."""

    def __init__(self, source: str, task: str, field: str) -> None:
        """
        Raises:
            SpecError: the template cannot be parsed.
        """
        self.source, self._task, self._field = source, task, field
        self._render, self._evaluate = _compiled(source, task, field)

    def text(self, doc: Mapping[str, Any]) -> str:
        """The text for a document.

        Raises:
            TaskError: the template needs what the document does not have.
        """
        if self.source in doc:
            return str(doc[self.source])
        return str(self._run(self._render, doc))

    def value(self, doc: Mapping[str, Any]) -> Any:
        """The value for a document: of the column, of the expression, or the literal that the rendered text spells.

        Raises:
            TaskError: the template needs what the document does not have.
        """
        if self.source in doc:
            return doc[self.source]
        if self._evaluate is not None:
            return self._run(self._evaluate, doc)
        rendered = str(self._run(self._render, doc))
        try:
            return ast.literal_eval(rendered)
        except (ValueError, SyntaxError):
            return rendered

    def _run(self, function: Callable[..., Any], doc: Mapping[str, Any]) -> Any:
        try:
            return function(**{name: value for name, value in doc.items() if name.isidentifier()})
        # Expressions run the methods of plain values, which raise whatever they raise.
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise TaskError("TemplateError", f"{self._field} of task {self._task}: {error}") from error


@lru_cache(maxsize=4096)
def _compiled(source: str, task: str, field: str) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    try:
        template = _ENVIRONMENT.from_string(source)
        expression = _EXPRESSION.match(source)
        evaluate = _ENVIRONMENT.compile_expression(expression["inside"], undefined_to_none=False) if expression else None
    except TemplateSyntaxError as error:
        raise SpecError(
            f"task {task}", field, f"the template cannot be parsed ({error.message})", "correct the Jinja template"
        ) from error
    return template.render, _strict(evaluate) if evaluate else None


def _strict(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def strictly(**values: Any) -> Any:
        found = evaluate(**values)
        if isinstance(found, StrictUndefined):
            str(found)
        return found

    return strictly
