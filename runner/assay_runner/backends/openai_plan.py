"""What can be known of an endpoint before anything runs: whether its arguments make sense, whether it is there, takes
the key, serves the model, and scores continuations when the job needs that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from assay_api.errors import Failed, SpecError
from assay_runner.backends.arguments import MANIFEST, Argument, check, is_switch, one_of
from assay_runner.backends.base import Description, Generation, Request
from assay_runner.backends.http_client import ExchangeError, HttpClient, Reply, UnreachableError, UntrustedError
from assay_runner.backends.http_faults import excerpt
from assay_runner.backends.media_arguments import VIDEO, video_pins
from assay_runner.backends.openai import BATCH
from assay_runner.backends.openai_replies import BadResponseError
from assay_runner.backends.openai_scoring import NoTokenBoundaryError, decode_scoring
from assay_runner.backends.openai_wire import RESERVED, encode_scoring

if TYPE_CHECKING:
    from assay_api.evaljob import Model

_SECONDS = 15.0
_SHOWN = 20


class _Fields(NamedTuple):
    """Where a person can mend what is wrong with a server."""

    address: str
    key: str
    right_key: str


_ENDPOINT = _Fields(
    "spec.model.endpoint.url",
    "spec.model.endpoint.apiKeySecretRef",
    "set OPENAI_API_KEY, or on a cluster apiKeySecretRef, to a key it takes",
)
_SERVER = _Fields(
    "spec.model.server.name", "spec.model.server.name", "the runtime's server must be started without a key"
)


def _is_body(value: Any) -> bool:
    if not isinstance(value, dict) or RESERVED & value.keys():
        return False
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _is_alternatives(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 20


KNOWN = {
    "api": one_of("chat", "completions"),
    "loglikelihood": Argument("true or false", is_switch),
    "stream": Argument("true or false", is_switch),
    "logprobs": Argument("a whole number from 0 to 20", _is_alternatives),
    "reasoning": one_of("field", "tags"),
    "dialect": one_of("vllm", "llama.cpp"),
    "token_limit": one_of("max_tokens", "max_completion_tokens"),
    "video": one_of("encoded", "frames"),
    **VIDEO,
    "extra_body": Argument(
        f"a mapping of further body fields, none of which a request decides itself ({', '.join(sorted(RESERVED))})",
        _is_body,
    ),
}


def describe(model: Model) -> Description:
    """What is pinned of an endpoint: the API, nothing about its address.

    Raises:
        SpecError: an argument is wrong, or the address holds credentials.
    """
    check("openai", model.args, KNOWN)
    if model.endpoint is not None:
        HttpClient(model.endpoint.url, None, _SECONDS)
    api = model.args.get("api", "chat")
    return Description(
        pins={"api": api, "model": model.name, **_video(model.args)},
        batch_size=BATCH,
        determinism="best-effort",
        loglikelihood=bool(model.args.get("loglikelihood", False)),
        media=frozenset({"image", "audio", "video"}) if api == "chat" else frozenset(),
    )


def _video(args: Mapping[str, Any]) -> dict[str, Any]:
    if args.get("video", "encoded") == "frames":
        return video_pins(args)
    for name in VIDEO.keys() & args.keys():
        raise SpecError(
            MANIFEST, f"spec.model.args.{name}", "videos are sent as they are", "add video: frames, or remove it"
        )
    return {}


def preflight(model: Model, api_key: str | None) -> None:
    """Ask the endpoint whether this job can work.

    Raises:
        SpecError: the key is refused, the model is not served, or log-likelihoods are wanted and not given.
        Failed: the endpoint cannot be reached.
    """
    assert model.endpoint is not None, "the manifest demands an endpoint of backend openai"
    asyncio.run(_preflight(model, HttpClient(model.endpoint.url, api_key, _SECONDS)))


async def _preflight(model: Model, client: HttpClient) -> None:
    try:
        await _check(model.name, model.args, client, _ENDPOINT)
    finally:
        await client.close()


async def check_server(name: str, args: Mapping[str, Any], client: HttpClient) -> None:
    """Ask a server beside a worker, once it is ready, what an endpoint is asked at planning.

    Raises:
        SpecError: it wants a key, does not serve the model, or gives no log-likelihoods where they are wanted.
        Failed: it cannot be reached.
    """
    await _check(name, args, client, _SERVER)


async def _check(name: str, args: Mapping[str, Any], client: HttpClient, fields: _Fields) -> None:
    _check_models(name, client, await _exchange(client, "GET", "models", None), fields)
    if args.get("loglikelihood", False):
        await _check_scoring(name, args, client)


async def _exchange(client: HttpClient, method: str, path: str, body: bytes | None) -> Reply:
    try:
        return await client.exchange(method, path, body)
    except (UnreachableError, UntrustedError, ExchangeError) as error:
        raise Failed(f"The endpoint {client.shown} cannot be reached: {error}.") from error


def _check_models(name: str, client: HttpClient, reply: Reply, fields: _Fields) -> None:
    if reply.status in (401, 403):
        raise SpecError(
            MANIFEST,
            fields.key,
            f"{client.shown} refuses the key (HTTP {reply.status}: {excerpt(reply.body, client.secret)})",
            fields.right_key,
        )
    if 300 <= reply.status < 400:
        raise SpecError(MANIFEST, fields.address, f"{client.shown} redirects elsewhere", "give the final address")
    if reply.status >= 500:
        raise Failed(
            f"The endpoint {client.shown} is not well (HTTP {reply.status}: {excerpt(reply.body, client.secret)})."
        )
    served = _served(reply)
    if served and name not in served:
        shown = ", ".join(sorted(served)[:_SHOWN]) + (", …" if len(served) > _SHOWN else "")
        raise SpecError(MANIFEST, "spec.model.name", f"{client.shown} serves no model {name}", f"it serves: {shown}")


def _served(reply: Reply) -> set[str]:
    """Names a server gives for its models; empty when it gives no list."""
    try:
        document = json.loads(reply.body) if reply.status == 200 else {}
    except ValueError:
        return set()
    listed = document.get("data") if isinstance(document, dict) else None
    names = [item.get("id") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return {name for name in names if isinstance(name, str)}


async def _check_scoring(name: str, args: Mapping[str, Any], client: HttpClient) -> None:
    request = Request("preflight", "loglikelihood", (), "One two", " three", Generation(), 0)
    body = encode_scoring(name, request, args.get("extra_body", {}))
    reply = await _exchange(client, "POST", "completions", body)
    try:
        if reply.status != 200:
            raise BadResponseError(f"HTTP {reply.status}: {excerpt(reply.body, client.secret)}")
        decode_scoring(reply.body, "One two", " three")
    except (BadResponseError, NoTokenBoundaryError) as error:
        raise SpecError(
            MANIFEST,
            "spec.model.args.loglikelihood",
            f"{client.shown} gives no log-likelihoods of a prompt ({error})",
            "use a server that echoes them (vLLM does), or remove the argument",
        ) from error
