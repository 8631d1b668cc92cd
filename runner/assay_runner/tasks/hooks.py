"""Answers the questions that a task file answers for a document: its text, target, choices, visuals, score.

Every hook may be a column, a template or a function of the task's Python; this module hides the difference. Functions are
handed copies of their own and are seeded by (spec.seed, task, document, hook), so no call can touch another's result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import Response
from assay_runner.media import Media
from assay_runner.statistics.seeds import derive_seed
from assay_runner.tasks.answer import answer_of
from assay_runner.tasks.config import TaskConfig, functions
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.functions import TaskCode, generators_kept, keywords_of, names_of, requires, takes
from assay_runner.tasks.media_values import Handed
from assay_runner.tasks.templates import Text
from assay_runner.tasks.yaml import FunctionRef


class Code:
    """The Python of all folders that a task refers to; functions are looked up once."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._folders: dict[str, TaskCode] = {}
        self._found: dict[FunctionRef, Any] = {}

    @contextmanager
    def in_a_row(self) -> Iterator[None]:
        """While this is open, calls of functions share what each would otherwise set up and put back by itself."""
        with ExitStack() as shared:
            if self._root is not None:
                shared.enter_context(generators_kept())
            if len(self._folders) == 1:
                shared.enter_context(next(iter(self._folders.values())).active())
            yield

    def folder(self, reference: FunctionRef) -> TaskCode:
        """The code of the folder that the reference is meant from."""
        if reference.folder not in self._folders:
            self._folders[reference.folder] = self.fresh(reference)
        return self._folders[reference.folder]

    def fresh(self, reference: FunctionRef) -> TaskCode:
        """The code of the folder, nothing of it loaded yet."""
        if self._root is None:
            raise SpecError(reference.name, "", "the task refers to Python that was not planned", "plan the run anew")
        return TaskCode(self._root / reference.folder)

    def find(self, reference: FunctionRef) -> Any:
        """The function or class.

        Raises:
            SpecError: there is none, or its module cannot be loaded.
        """
        if reference not in self._found:
            self._found[reference] = self.folder(reference).find(reference.name)
        return self._found[reference]


class Hooks:
    """The hooks of one task."""

    def __init__(self, config: TaskConfig, code: Code, seed: int, model_name: str) -> None:
        """
        Raises:
            SpecError: a function does not exist, or a template cannot be parsed.
        """
        self._config, self._code, self._seed = config, code, seed
        self._special = _for_model(config.lmms_eval_specific_kwargs, model_name)
        self._target_special = _for_model(config.model_specific_target_kwargs, model_name)
        self._texts: dict[str, Text] = {}
        for name in ("doc_to_text", "doc_to_target", "doc_to_choice", "doc_to_visual"):
            value = getattr(config, name)
            if isinstance(value, str):
                self._texts[name] = Text(value, config.task, name)
        for reference in functions(config.__dict__):
            code.find(reference)

    def text(self, hook: str, number: int, doc: Mapping[str, Any]) -> str:
        """The text of `doc_to_text` for document `number`."""
        value = getattr(self._config, hook)
        if isinstance(value, str):
            self._require(hook, doc)
        found = (
            self._call(hook, value, number, doc)[0] if isinstance(value, FunctionRef) else self._texts[hook].text(doc)
        )
        if not isinstance(found, str):
            raise TaskError("TaskError", f"{hook} gave {type(found).__name__} where text is expected")
        return found

    def choices(self, number: int, doc: Mapping[str, Any]) -> Any:
        """The value of `doc_to_choice`."""
        value = self._config.doc_to_choice
        if isinstance(value, FunctionRef):
            return self._call("doc_to_choice", value, number, doc)[0]
        return self._texts["doc_to_choice"].value(doc) if isinstance(value, str) else value

    def target(self, number: int, doc: Mapping[str, Any]) -> Any:
        """The value of `doc_to_target`: of the column or function as it is; of a template its text, or the list that the
        text spells, as upstream reads it."""
        value = self._config.doc_to_target
        if isinstance(value, FunctionRef):
            return self._call("doc_to_target", value, number, doc)[0]
        if not isinstance(value, str):
            return value
        if self._config.process_results is None and value not in _literals(self._config.doc_to_choice):
            self._require("doc_to_target", doc)
        return self._texts["doc_to_target"].listed(doc)

    def with_media(self, hook: str, number: int, doc: Mapping[str, Any]) -> tuple[Any, Handed]:
        """What a function returned, with the means to turn its media back."""
        return self._call(hook, getattr(self._config, hook), number, doc)

    def visuals(self, number: int, doc: Mapping[str, Any]) -> Sequence[Media]:
        """The media that `doc_to_visual` names."""
        wanted = self._config.doc_to_visual
        if isinstance(wanted, FunctionRef):
            returned, handed = self._call("doc_to_visual", wanted, number, doc)
            if not isinstance(returned, list | tuple | None):
                raise TaskError("TaskError", f"doc_to_visual returned {type(returned).__name__}, not a list of media")
            return [handed.medium(value) for value in returned or []]
        names = [wanted] if isinstance(wanted, str) else list(wanted or [])
        found = [doc.get(name) for name in names]
        media = [one for value in found for one in (value if isinstance(value, list) else [value])]
        if not all(isinstance(one, Media) for one in media):
            raise TaskError(
                "TaskError", f"doc_to_visual names {', '.join(names)}, which hold no media in this document"
            )
        return [one for one in media if isinstance(one, Media)]

    def results(
        self, number: int, doc: Mapping[str, Any], results: list[Any], repeat: int, answers: Sequence[Response]
    ) -> Mapping[str, Any]:
        """What `process_results` returned for a document and its filtered answers; what it draws differs by repeat.

        Args:
            answers: what the model gave, unfiltered, for a function that has a keyword `responses`.
        """
        reference = self._config.process_results
        assert reference is not None
        function = self._code.find(reference)
        handed = Handed().document(doc, media=self._config.process_results_use_image)
        arguments: list[Any] = [handed, results]
        if "lmms_eval_specific_kwargs" in names_of(function):
            arguments.append(deepcopy(self._special))
        elif requires(function, 3):
            arguments.append(None)  # upstream's `full_docs`, which its evaluator never fills
        seed = self._seed_of(number, f"process_results {repeat}")
        folder = self._code.folder(reference)
        if "responses" in keywords_of(function):
            function = partial(function, responses=[answer_of(answer).model_dump(mode="json") for answer in answers])
        found = folder.call("process_results", function, arguments, seed)
        if not isinstance(found, Mapping):
            raise TaskError("TaskError", f"process_results returned {type(found).__name__}, not metrics by name")
        return found

    def filtered(
        self,
        name: str,
        reference: FunctionRef,
        apply: Callable[[list[Any], list[Any]], Any],
        resps: list[Any],
        number: int,
        doc: Mapping[str, Any],
    ) -> Any:
        """Run a filter of the task's Python as its code, on one document."""
        arguments = (resps, [Handed().document(doc, media=False)])
        label = f"filter {name}"
        return self._code.folder(reference).call(label, apply, arguments, self._seed_of(number, label))

    def _call(self, hook: str, reference: FunctionRef, number: int, doc: Mapping[str, Any]) -> tuple[Any, Handed]:
        function = self._code.find(reference)
        handed = Handed()
        arguments: list[Any] = [handed.document(doc)]
        special = self._target_special if hook == "doc_to_target" else self._special
        # Upstream's functions spell this argument in many ways: it is passed by position, to those that have a place.
        if hook != "doc_to_choice" and takes(function, 2) and (special or requires(function, 2)):
            arguments.append(deepcopy(special))
        seed = self._seed_of(number, hook)
        return self._code.folder(reference).call(hook, function, arguments, seed), handed

    def _require(self, hook: str, doc: Mapping[str, Any]) -> None:
        """A single word is a column's name: taken as text, a slip of the pen would be asked, or expected, everywhere."""
        source = self._texts[hook].source
        if source.isidentifier() and source not in doc:
            raise TaskError("TaskError", f"{hook} names the column {source!r}; the document has {', '.join(doc)}")

    def _seed_of(self, number: int, hook: str) -> int:
        return derive_seed(self._seed, self._config.task, str(number), hook)


def _literals(choices: Any) -> list[str]:
    return (
        list(choices.values() if isinstance(choices, Mapping) else choices) if isinstance(choices, list | dict) else []
    )


def _for_model(options: Mapping[str, Any] | None, model_name: str) -> dict[str, Any]:
    """Upstream's rule: the entry named like the model (or like the end of its path) over `dataset` over `default`; options
    without such entries are the default themselves."""
    if not options:
        return {}
    named = options.get(model_name) or options.get(model_name.rstrip("/").rpartition("/")[2])
    if "default" not in options and "dataset" not in options and named is None:
        return dict(options)
    return {**(options.get("default") or {}), **(options.get("dataset") or {}), **(named or {})}
