"""`TaskConfig`: everything a task file may say, a superset of lmms-eval's and lm-evaluation-harness's fields.

A field that this version cannot honour is refused by name whenever leaving it out would change a number. Fields that only
concern how upstream runs (decontamination hooks, names for tables) are accepted and have no effect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay_api.errors import SpecError, from_validation
from assay_runner.tasks.yaml import FunctionRef

OutputType = Literal["generate_until", "multiple_choice", "loglikelihood"]

OWN = "assay_runner."
"""Functions below this module are Assay's own: no task file travels for them."""

_REFUSED = {
    "class": "write the task as YAML",
    "gen_prefix": "put the text at the end of doc_to_text",
    "custom_dataset": "name the data with dataset_path",
    "doc_to_image": "use doc_to_visual",
    "doc_to_audio": "use doc_to_visual",
    "unsafe_code": "tasks that run code which the model wrote do not run here",
}


class TaskConfig(BaseModel):
    """One task, includes merged. What a field means is said in docs/tasks.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, coerce_numbers_to_str=True)

    task: str
    task_alias: str | None = None
    tag: str | list[str] | None = None
    group: str | list[str] | None = None
    group_alias: str | list[str] | None = None
    dataset_path: str
    dataset_name: str | None = None
    dataset_kwargs: dict[str, Any] | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    process_docs: FunctionRef | None = None
    media: dict[str, str] | None = None
    """Column → template of a path relative to the dataset, or of an address: a column with the medium that lies there."""
    media_from: tuple[str, ...] = ()
    """What addresses of media that stand in the data must begin with."""
    doc_to_visual: FunctionRef | str | list[str] | None = None
    doc_to_text: FunctionRef | str | None = None
    doc_to_target: FunctionRef | str | int | list[Any] | None = None
    doc_to_choice: FunctionRef | str | list[str] | dict[str, str] | None = None
    doc_to_messages: FunctionRef | list[dict[str, Any]] | None = None
    process_results: FunctionRef | None = None
    process_results_use_image: bool = False
    full_docs: bool = False
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    fewshot_config: dict[str, Any] | None = None
    num_fewshot: int | None = Field(default=None, ge=0)
    metric_list: list[dict[str, Any]] | None = None
    output_type: OutputType = "generate_until"
    generation_kwargs: dict[str, Any] | None = None
    repeats: int = Field(default=1, ge=1)
    filter_list: list[dict[str, Any]] | None = None
    cluster_key: str | None = None
    """Column that names the cluster of a document, for clustered standard errors."""
    id_key: str | None = None
    """Column that identifies a document; its values must be unique."""
    score_key: str = "score"
    reasoning_tags: list[list[str]] | str | Literal[False] | None = None
    auto_strip_thinking: bool = False
    lmms_eval_specific_kwargs: dict[str, Any] | None = None
    model_specific_generation_kwargs: dict[str, Any] | None = None
    model_specific_target_kwargs: dict[str, Any] | None = None
    should_decontaminate: bool = False
    doc_to_decontamination_query: FunctionRef | str | None = None
    metadata: Any = None
    use_prompt: None = None

    @property
    def evaluated_split(self) -> str:
        """The split whose documents are evaluated: test, else validation, else training."""
        return self.test_split or self.validation_split or self.training_split or "test"

    @property
    def uses_code(self) -> bool:
        """Whether the task refers to Python of its own."""
        return bool(self.folders)

    @property
    def folders(self) -> list[str]:
        """Folders that its functions are meant from, each once, in the order of the fields: what its bundle holds."""
        return list(dict.fromkeys(one.folder for one in functions(self.__dict__) if not one.name.startswith(OWN)))

    def with_overrides(
        self, *, num_fewshot: int | None, repeats: int | None, generation: Mapping[str, Any] | None
    ) -> Self:
        """The task with what a job's manifest says about it."""
        changes: dict[str, Any] = {}
        if num_fewshot is not None:
            changes["num_fewshot"] = num_fewshot
        if repeats is not None:
            changes["repeats"] = repeats
        if generation:
            greedy = {"do_sample": generation["temperature"] > 0} if "temperature" in generation else {}
            replaced = greedy.keys() | generation.keys()
            own = self.generation_kwargs or {}
            kept = {key: value for key, value in own.items() if SYNONYMS.get(key, key) not in generation}
            changes["generation_kwargs"] = {**kept, **greedy, **generation}
            if self.model_specific_generation_kwargs:
                changes["model_specific_generation_kwargs"] = {
                    model: {key: value for key, value in (said or {}).items() if SYNONYMS.get(key, key) not in replaced}
                    for model, said in self.model_specific_generation_kwargs.items()
                }
        return self.model_copy(update=changes)

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON data for the plan: what the task says, with functions as {"!function": "module.name"}; those from
        further folders carry the folder's place in the bundle. Names no place of this machine."""
        places = {folder: str(place) for place, folder in enumerate(self.folders)}
        said = {name: value for name, value in self.__dict__.items() if name in self.model_fields_set}
        return {name: _plain(value, places) for name, value in said.items()}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""
        return cls.model_validate({name: _unplain(value) for name, value in data.items()})

    @classmethod
    def parse(cls, data: Mapping[str, Any], file: str) -> Self:
        """Check a merged task file; `file` names it in errors.

        Raises:
            SpecError: a field is unknown, wrong, or cannot be honoured by this version.
        """
        name = str(data.get("task", ""))
        for field, remedy in _REFUSED.items():
            if data.get(field):
                raise SpecError(file, f"{name}.{field}", "it is not in this version", remedy)
        # A null takes back what an included file says.
        data = {field: value for field, value in data.items() if field not in _REFUSED and value is not None}
        output = data.get("output_type", "generate_until")
        if isinstance(output, str) and output.startswith(("generate_until_", "generate_visual", "loglikelihood_r")):
            raise SpecError(
                file,
                f"{name}.output_type",
                f"{output} is not supported",
                "use generate_until, multiple_choice or loglikelihood",
            )
        try:
            config = cls.model_validate(data)
        except ValidationError as error:
            raise _explain(error, file, name, cls) from error
        if config.doc_to_messages is None and config.doc_to_text is None:
            raise SpecError(file, name, "the task asks nothing", "add doc_to_messages or doc_to_text")
        if config.output_type == "multiple_choice" and config.doc_to_choice is None:
            raise SpecError(file, name, "a multiple_choice task has no choices", "add doc_to_choice")
        return config


def functions(value: Any) -> Iterator[FunctionRef]:
    """Every function that plain data refer to, at any depth."""
    if isinstance(value, FunctionRef):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from functions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from functions(inner)


SYNONYMS = {
    "max_gen_toks": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "stop_sequences": "until",
    "stop": "until",
}
"""Other names of keys in generation_kwargs."""


def _explain(error: ValidationError, file: str, name: str, model: type[BaseModel]) -> SpecError:
    wrong = from_validation(error, file, model)
    where = f"{name}: {wrong.field}" if name else wrong.field
    if error.errors(include_url=False)[0]["type"] == "extra_forbidden":
        close = difflib.get_close_matches(wrong.field, model.model_fields, 3, 0.6)
        remedy = f"did you mean {' or '.join(close)}? {wrong.remedy}" if close else wrong.remedy
        return SpecError(file, where, wrong.problem, remedy)
    return SpecError(file, where, wrong.problem, wrong.remedy)


def _plain(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, FunctionRef):
        place = places.get(value.folder, "0")
        return {"!function": value.name} | ({} if place == "0" else {"folder": place})
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, places) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, places) for inner in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _unplain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "!function" in value:
            return FunctionRef(str(value["!function"]), str(value.get("folder", "0")))
        return {key: _unplain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unplain(inner) for inner in value]
    return value
