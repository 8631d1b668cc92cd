"""Jinja templates of task files, in a sandbox, with undefined names as errors.

A text that is exactly one expression (`{{ choices.text }}`) can also be asked for its value instead of its rendering,
so that lists need no round trip through text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay_api.errors import SpecError
from assay_runner.media import Media
from assay_runner.tasks.errors import TaskError

_EXPRESSION = re.compile(r"^\s*\{\{(?P<inside>(?:(?!\}\}|\{\{).)*)\}\}\s*$", re.DOTALL)


def _printable(value: Any) -> Any:
    if isinstance(value, Media):
        raise TemplateError(f"a column with {value.kind} cannot be written as text")
    return value


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_printable
    )
    environment.filters["regex_replace"] = _regex_replace
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
            return str(self._run(lambda _: _printable(doc[self.source]), {}))
        return str(self._run(self._render, doc))

    def listed(self, doc: Mapping[str, Any]) -> Any:
        """The value of the column, or the text for a document, or the list that this text spells.

        Raises:
            TaskError: the template needs what the document does not have.
        """
        if self.source in doc:
            return doc[self.source]
        text = self.text(doc)
        if text.startswith("[") and text.endswith("]"):
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError):
                return text
        return text

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
            return function(doc)
        # Expressions run the methods of plain values, which raise whatever they raise.
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, re.error) as error:
            has = f"; the document has {', '.join(doc)}" if isinstance(error, UndefinedError) and doc else ""
            raise TaskError("TemplateError", f"{self._field} of task {self._task}: {error}{has}") from error


@lru_cache(maxsize=4096)
def _compiled(source: str, task: str, field: str) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    try:
        template = _ENVIRONMENT.from_string(source)
        expression = _EXPRESSION.match(source)
        inside = expression["inside"] if expression else None
        evaluate = _ENVIRONMENT.compile_expression(inside, undefined_to_none=False) if inside else None
    except TemplateSyntaxError as error:
        raise SpecError(
            f"task {task}", field, f"the template cannot be parsed ({error.message})", "correct the Jinja template"
        ) from error
    return template.render, _strict(evaluate) if evaluate else None


def _strict(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def strictly(values: Mapping[str, Any]) -> Any:
        found = evaluate(values)
        if isinstance(found, StrictUndefined):
            str(found)
        return found

    return strictly
