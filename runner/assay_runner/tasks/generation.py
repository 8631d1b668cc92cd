"""A task's `generation_kwargs` as the settings of a request; what cannot be honoured is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.base import Generation
from assay_runner.tasks.config import SYNONYMS, TaskConfig

_WITHOUT_EFFECT = frozenset({"image_aspect_ratio", "use_cache", "pad_token_id", "eos_token_id"})
_KNOWN = ("max_new_tokens", "temperature", "do_sample", "top_p", "top_k", "repetition_penalty", "until", "num_beams")


def generation_of(config: TaskConfig, model_name: str) -> Generation:
    """The settings of the task for the model. Defaults are upstream's: greedy, ending at the few-shot delimiter.

    Raises:
        SpecError: a setting is unknown, has a wrong value, or asks for what no backend does.
    """
    wanted = _merged(config, model_name)
    where = f"task {config.task}"
    unknown = sorted(wanted.keys() - _WITHOUT_EFFECT - set(_KNOWN))
    if unknown:
        raise SpecError(
            where, f"generation_kwargs.{unknown[0]}", "there is no such setting", f"known ones are: {', '.join(_KNOWN)}"
        )
    beams = wanted.get("num_beams", 1)
    if beams not in (1, None):
        raise SpecError(where, "generation_kwargs.num_beams", f"beam search ({beams} beams) is not done", "set it to 1")
    sampled = wanted.get("do_sample")
    temperature = _number(wanted, "temperature", where, low=0)
    if temperature is None:
        temperature = 1.0 if sampled else 0.0
    longest = _number(wanted, "max_new_tokens", where, low=1)
    top_k = _number(wanted, "top_k", where, low=-1)
    return Generation(
        max_new_tokens=Generation().max_new_tokens if longest is None else int(longest),
        temperature=0.0 if sampled is False else temperature,
        top_p=_number(wanted, "top_p", where, low=0),
        top_k=int(top_k) if top_k is not None and top_k > 0 else None,
        repetition_penalty=_number(wanted, "repetition_penalty", where, low=0),
        stop=_stops(wanted, config, where),
    )


def _merged(config: TaskConfig, model_name: str) -> dict[str, Any]:
    special = config.model_specific_generation_kwargs or {}
    named: Mapping[str, Any] = special.get(model_name) or special.get(model_name.rstrip("/").rpartition("/")[2]) or {}
    merged: dict[str, Any] = {}
    for settings in (config.generation_kwargs or {}, named):
        merged |= {SYNONYMS.get(name, name): value for name, value in settings.items()}
    return merged


def _number(wanted: Mapping[str, Any], name: str, where: str, *, low: float) -> float | None:
    value = wanted.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number >= low:
        raise SpecError(where, f"generation_kwargs.{name}", f"{value!r} is no such value", f"a number from {low:g} is")
    return number


def _stops(wanted: Mapping[str, Any], config: TaskConfig, where: str) -> tuple[str, ...]:
    if "until" not in wanted:
        return (config.fewshot_delimiter,) if config.fewshot_delimiter else ()
    stops = wanted["until"]
    stops = [stops] if isinstance(stops, str) else list(stops or ())
    if not all(isinstance(stop, str) for stop in stops):
        raise SpecError(where, "generation_kwargs.until", f"{stops!r} are no texts", "list texts that end an answer")
    return tuple(stop for stop in stops if stop)
