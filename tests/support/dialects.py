"""How servers of today differ from the plain one of `support.endpoint`: what they refuse, and how they answer."""

from __future__ import annotations

import json
from typing import Any

from support.endpoint import Fault, answer_by_hash, token_logprob

_OPENAI = frozenset(
    {"model", "messages", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream", "stream_options"}
    | {"logprobs", "top_logprobs", "tools", "tool_choice"}
)
CONTEXT = 40
"""Characters of a prompt that the llama.cpp-style server takes at most."""


def strict(body: dict[str, Any]) -> Fault | None:
    """OpenAI's own refusals: of every field that its specification lacks, and of `max_tokens`."""
    for name in body:
        if name not in _OPENAI:
            error = {
                "message": f"Unsupported parameter: '{name}' is not supported with this model.",
                "type": "invalid_request_error",
                "param": name,
                "code": "unsupported_parameter",
            }
            return Fault(400, json.dumps({"error": error}).encode())
    return None


def forbidding(body: dict[str, Any]) -> Fault | None:
    """A FastAPI server whose model of a body is closed."""
    extra = [name for name in body if name not in _OPENAI and name != "max_tokens"]
    faults = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in extra
    ]
    return Fault(422, json.dumps({"detail": faults}).encode()) if faults else None


def llama_cpp(body: dict[str, Any]) -> Fault | None:
    """llama.cpp's refusal of what its context does not hold."""
    text = body.get("prompt") or body["messages"][-1]["content"]
    if len(text) <= CONTEXT:
        return None
    error = {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": len(text),
        "n_ctx": CONTEXT,
    }
    return Fault(400, json.dumps({"error": error}).encode())


async def llama_cpp_answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """llama.cpp's answer: it echoes nothing, gives log-probabilities in the chat form everywhere, and a repetition penalty
    has an effect only under its own name for it."""
    body = {name: value for name, value in body.items() if name != "echo"}
    found = await answer_by_hash(path, body)
    choice = found["choices"][0]
    text = choice["text"] if path == "completions" else choice["message"]["content"]
    if body.get("repeat_penalty"):
        text = f"{text} penalised"
        choice |= {"text": text} if path == "completions" else {"message": {"role": "assistant", "content": text}}
    if body.get("logprobs") is not None:
        choice["logprobs"] = {
            "content": [
                {"token": one, "logprob": token_logprob("", one), "top_logprobs": [{"token": one, "logprob": -0.5}]}
                for one in text
            ]
        }
    return found
