"""The error documents of servers, in the forms in which they come, as one: OpenAI and vLLM (`error` with message, code, type
and param), older vLLM and SGLang (the same without `error`), llama.cpp, and FastAPI (`detail`, a text or a list of faults)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_READ = 65536
_MOST = 3
"""Faults of a list that are told."""
_TOO_LONG = re.compile(
    r"context.{0,12}(length|size|window)|maximum context|maximum (model|input) length|max_model_len|prompt is too long"
    r"|too many tokens|exceed_context|max_new_tokens` must be <=",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter|content_policy_violation|content management policy", re.IGNORECASE)
_UNKNOWN = (
    re.compile(r"unrecognized request arguments? supplied: ([\w.]+)", re.IGNORECASE),
    re.compile(
        r"(?:unknown|unsupported|unrecognized|unexpected) (?:parameter|argument|field|name|key):? [`'\"]([\w.]+)[`'\"]",
        re.IGNORECASE,
    ),
    re.compile(r"property [`'\"]([\w.]+)[`'\"] is unsupported", re.IGNORECASE),
    re.compile(r"'?\"?extra_forbidden.{0,40}?body'?\"?, ?'?\"?([\w.]+)", re.IGNORECASE),
)
_UNKNOWN_CODES = frozenset({"unknown_parameter", "unsupported_parameter"})


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a body says went wrong."""

    message: str
    """With code and type where there are any; the body's own text when it is no error document."""
    unknown: str | None
    """The field of the request that the server does not know; None when it is something else."""

    @property
    def kind(self) -> str | None:
        """Class of the error when it is one of those that are told apart."""
        if self.unknown is not None:
            return "UnknownField"
        if _TOO_LONG.search(self.message):
            return "ContextTooLong"
        return "ContentFilter" if _FILTERED.search(self.message) else None


def read_error(body: bytes) -> ServerError:
    """The error in a body, of whatever form; never fails."""
    text = body[:_READ].decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ServerError(text, None)
    error = document.get("error", document) if isinstance(document, dict) else document
    if not isinstance(error, dict):
        return ServerError(error if isinstance(error, str) else text, None)
    said = error.get("message") or error.get("detail")
    if isinstance(said, dict):  # some wrap FastAPI's form once more
        said = said.get("detail") or said.get("message") or said
    faults = _faults(said)
    parts = ["; ".join(told for told, _ in faults) if faults else said, error.get("code"), error.get("type")]
    message = " / ".join(part if isinstance(part, str) else json.dumps(part) for part in parts if part)
    unknown = next((place for _, place in faults if place), None) or _unknown(error, message)
    return ServerError(message or text, unknown)


def way_out(field: str) -> str:
    """How a job does without a field that the server does not know; a clause."""
    if field in _REMEDIES:
        return _REMEDIES[field]
    if field in _OF_TASKS:
        return f"remove {field} from the generation settings of the task and of the job, or use a server that takes it"
    return f"remove {field} from args.extra_body"


_OF_TASKS = frozenset({"top_p", "top_k", "repetition_penalty", "repeat_penalty", "stop", "temperature"})
_REMEDIES = {
    "max_tokens": "add args.token_limit: max_completion_tokens",
    "max_completion_tokens": "remove args.token_limit",
    "stream": "remove args.stream",
    "stream_options": "remove args.stream",
    "logprobs": "remove args.logprobs",
    "top_logprobs": "remove args.logprobs",
    "seed": "use a server that takes one: without it no answer could be given again",
}


def _faults(detail: Any) -> list[tuple[str, str | None]]:
    """Of a FastAPI list, each fault as text, with its field when that is not known."""
    if not isinstance(detail, list):
        return []
    found: list[tuple[str, str | None]] = []
    for fault in detail[:_MOST]:
        if not isinstance(fault, dict):
            continue
        place = fault.get("loc")
        path = ".".join(str(step) for step in place if step != "body") if isinstance(place, list) else ""
        extra = fault.get("type") in ("extra_forbidden", "value_error.extra") and bool(path)
        found.append(
            (f"{path}: {fault.get('msg', '')}" if path else str(fault.get("msg", "")), path if extra else None)
        )
    return found


def _unknown(error: dict[str, Any], message: str) -> str | None:
    named = error.get("param")
    if error.get("code") in _UNKNOWN_CODES and isinstance(named, str):
        return named
    matches = (pattern.search(message) for pattern in _UNKNOWN)
    return next((match.group(1) for match in matches if match), None)
