"""A task's `generation_kwargs` as the settings of a request; what cannot be honoured is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import Generation
from assay_runner.tasks.config import TaskConfig

_WITHOUT_EFFECT = frozenset({"image_aspect_ratio", "use_cache", "pad_token_id", "eos_token_id"})


def generation_of(config: TaskConfig, model_name: str) -> Generation:
    """The settings of the task for the model.

    Raises:
        SpecError: a setting is unknown, has a wrong value, or asks for what no backend does.
    """
    own: Mapping[str, Any] = config.generation_kwargs or {}
    wanted = {**own, **((config.model_specific_generation_kwargs or {}).get(model_name) or {})}
    where = f"task {config.task}"
    for name in _WITHOUT_EFFECT:
        wanted.pop(name, None)
    beams = wanted.pop("num_beams", 1)
    if beams not in (1, None):
        raise SpecError(where, "generation_kwargs.num_beams", f"beam search ({beams} beams) is not done", "set it to 1")
    stops = _stops(wanted, config, where)
    sampled = wanted.pop("do_sample", None)
    temperature = wanted.pop("temperature", None)
    if temperature is None:
        temperature = 1.0 if sampled else 0.0
    longest = [wanted.pop(name) for name in ("max_new_tokens", "max_gen_toks", "max_tokens", "max_length") if name in wanted]
    settings: dict[str, Any] = {"temperature": 0.0 if sampled is False else float(temperature), "stop": stops}
    if longest:
        settings["max_new_tokens"] = int(longest[0])
    for name, kind in (("top_p", float), ("top_k", int), ("repetition_penalty", float)):
        value = wanted.pop(name, None)
        if value is not None and not (name == "top_k" and value <= 0):
            settings[name] = kind(value)
    if wanted:
        raise SpecError(
            where, f"generation_kwargs.{min(wanted)}", "there is no such setting",
            "known ones are: max_new_tokens, temperature, do_sample, top_p, top_k, repetition_penalty, until, num_beams",
        )
    return Generation(**settings)


def _stops(wanted: dict[str, Any], config: TaskConfig, where: str) -> tuple[str, ...]:
    given = [wanted.pop(name) for name in ("until", "stop_sequences", "stop") if name in wanted]
    if not given:
        return (config.fewshot_delimiter,) if config.generation_kwargs is None and config.fewshot_delimiter else ()
    stops = given[0]
    stops = [stops] if isinstance(stops, str) else list(stops or ())
    if not all(isinstance(stop, str) for stop in stops):
        raise SpecError(where, "generation_kwargs.until", f"{stops!r} are no strings", "list strings that end an answer")
    return tuple(stop for stop in stops if stop)
