"""What an API server's refusal means for a person: one sentence each, in place of a Status object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from assay_api.errors import EXIT_SPEC, AssayError, Failed

_INVALID = "Invalid value: "
_SHOWN_VALUE = re.compile(r'^(?:"(?:[^"\\]|\\.)*"|-?[0-9.]+|null|true|false|[{\[].*?[}\]]): ', re.DOTALL)
_UNTYPED = "failed to create typed patch object"
"""What server-side apply answers, with 500, to a field that the schema does not have or that is of another type."""
_UNCHECKED = "some validation rules were not checked"


class ApiUnavailable(Failed):
    """The API server gave no sensible answer; it may give one a moment later."""


class ApiRefused(Failed):
    """The API server said no.

    Args:
        code: the HTTP status.
        answer: the server's Status object, or {} when it sent none.
    """

    def __init__(self, sentence: str, code: int, answer: Mapping[str, Any]) -> None:
        super().__init__(sentence)
        self.code, self.answer = code, answer


def refusal(code: int, body: bytes, server: str) -> Failed:
    """The error for an answer that is no success."""
    answer = _status(body)
    message = str(answer.get("message") or "").strip().rstrip(".")
    if code == 500 and message.startswith(_UNTYPED):
        return ApiRefused(f"{message.rpartition('): ')[2].lstrip('.')}.", 422, answer)
    if code >= 500 or code == 429:
        return ApiUnavailable(f"The API server {server} answered {code}{f' ({message})' if message else ''}.")
    kind, name = (answer.get("details", {}).get(field) for field in ("kind", "name"))
    if code == 404 and not kind:
        # A server that has just started does not serve its custom resources yet: this may pass.
        return ApiUnavailable(
            f"The cluster at {server} knows no EvalJobs; install Assay on it, or choose another --context."
        )
    if code == 401:
        sentence = (
            f"The cluster at {server} does not accept your credentials; log in again or choose another --context."
        )
    elif code == 404 and kind == "namespaces":
        sentence = f"There is no namespace {name}; create it or choose another --namespace."
    else:
        sentence = f"{message}." if message else f"The API server {server} answered {code}."
    return ApiRefused(sentence, code, answer)


def rejection(file: str, refused: ApiRefused) -> AssayError:
    """The error for a manifest that the API server will not take, a line for each thing that is wrong with it."""
    causes = [cause for cause in refused.answer.get("details", {}).get("causes", []) if "message" in cause]
    told = list(dict.fromkeys(_sentence(cause) for cause in causes if _UNCHECKED not in cause["message"]))
    error = AssayError("\n".join(f"{file}: {line}" for line in told or [str(refused)]))
    error.exit_code = EXIT_SPEC
    return error


def conflict(name: str, file: str, refused: ApiRefused) -> Failed:
    """The error for fields of the object that another tool has set and the file would change."""
    causes = refused.answer.get("details", {}).get("causes", [])
    fields = sorted({str(cause["field"]).lstrip(".") for cause in causes if cause.get("field")})
    if not fields:
        return refused
    return Failed(
        f"evaljob/{name}: {', '.join(fields)} {'was' if len(fields) == 1 else 'were'} set by another tool to another value; "
        f"make {file} agree, or take the fields over with kubectl apply --server-side --force-conflicts -f {file}."
    )


def _status(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _sentence(cause: Mapping[str, Any]) -> str:
    """`field: what is wrong`, without the server's classification and what it says twice."""
    field, text = str(cause.get("field") or "").removeprefix("<nil>"), str(cause["message"])
    if text.startswith(_INVALID):
        text = _SHOWN_VALUE.sub("", text.removeprefix(_INVALID), count=1)
    text = text.removeprefix(f"{field} in body ").rstrip(".")
    return f"{field}: {text}." if field else f"{text}."
