"""Lets the test endpoint answer with a real model, through the transformers backend that Assay itself uses."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from aiohttp import web

from assay_api.evaljob import Model
from assay_runner.backends.base import Batch, Generation, Message, ModelContext, Request, Response, Text
from assay_runner.backends.registry import describe, open_backend
from assay_runner.media import from_bytes
from support.endpoint import reply


def local_context(folder: str, args: dict[str, Any] | None = None, backend: str = "transformers") -> ModelContext:
    """What a backend that runs models here is opened with for a model folder."""
    model = Model.model_validate({"backend": backend, "name": folder, "args": args or {}})
    description = describe(model, 2)
    return ModelContext(
        name=folder, revision=None, args=model.args, pins=description.pins, retries=0, batch_size=description.batch_size
    )


class EngineAnswers:
    """Answers chat and completion bodies; the model is loaded at the first."""

    def __init__(self, folder: str) -> None:
        self._context = local_context(folder, {"device": "cpu"})
        self._keys = count()
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._queue: asyncio.Queue[Batch] = asyncio.Queue()
        self._starting = asyncio.Lock()
        self._backend: Any = None

    async def __call__(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One document for one body."""
        async with self._starting:
            if self._backend is None:
                await self._start()
        if path == "completions" and body.get("echo"):
            return await asyncio.to_thread(self._echo, body)
        key = str(next(self._keys))
        answered = self._waiting[key] = asyncio.get_running_loop().create_future()
        await self._queue.put((_request(key, path, body),))
        await asyncio.wait({answered, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            self._task.result()  # says why the engine has ended
        response = answered.result()
        if response.error is not None:
            refusal = {
                "error": {"message": f"This model's maximum context length is exceeded: {response.error.message}"}
            }
            raise web.HTTPBadRequest(text=json.dumps(refusal), content_type="application/json")
        return reply(
            path, response.text or "", response.finish_reason or "", response.tokens_in or 0, response.tokens_out or 0
        )

    async def close(self) -> None:
        """Stop the engine."""
        if self._backend is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._backend.close()

    async def _start(self) -> None:
        self._backend = open_backend("transformers", self._context)
        await self._backend.start()
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        async for response in self._backend.stream(self._batches()):
            self._waiting.pop(response.key).set_result(response)

    async def _batches(self) -> AsyncIterator[Batch]:
        while True:
            yield await self._queue.get()

    def _echo(self, body: dict[str, Any]) -> dict[str, Any]:
        """Log-probabilities of the prompt's tokens, computed with nothing but torch and the model."""
        import torch

        loaded = self._backend._loaded
        ids = loaded.decoder.encode(body["prompt"])
        with torch.inference_mode():
            likely = torch.log_softmax(loaded.model(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1)
        ids.append(int(likely[-1].argmax()))
        pieces = [loaded.decoder.decode([token]) for token in ids]
        values = [None] + [float(likely[place, token]) for place, token in enumerate(ids[1:])]
        best = [None] + [{"likeliest": float(row.max())} for row in likely]
        found = reply("completions", "".join(pieces), "length", len(ids) - 1, 1)
        offsets = [sum(map(len, pieces[:place])) for place in range(len(pieces))]
        found["choices"][0]["logprobs"] = {
            "tokens": pieces,
            "token_logprobs": values,
            "top_logprobs": best,
            "text_offset": offsets,
        }
        return found


def _request(key: str, path: str, body: dict[str, Any]) -> Request:
    generation = Generation(
        max_new_tokens=body.get("max_tokens", 16),
        temperature=body.get("temperature", 0.0),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        repetition_penalty=body.get("repetition_penalty"),
        stop=tuple(body.get("stop", ())),
    )
    messages = () if path == "completions" else tuple(_message(message) for message in body["messages"])
    prompt = body.get("prompt") or "".join(
        part.text for message in messages for part in message.parts if isinstance(part, Text)
    )
    return Request(key, "generate", messages, prompt, None, generation, body.get("seed", 0))


def _message(message: dict[str, Any]) -> Message:
    content = message["content"]
    if isinstance(content, str):
        return Message(message["role"], (Text(content),))
    return Message(message["role"], tuple(_part(part) for part in content))


def _part(part: dict[str, Any]) -> Any:
    if part["type"] == "text":
        return Text(part["text"])
    return from_bytes(base64.b64decode(part[part["type"]]["url"].partition(",")[2]))
