"""What the pipeline and the backends say to each other.

A backend answers a stream of batches with a stream of responses, in any order. Batches are formed by the pipeline, inside
one chunk and in planned order, so a backend whose output depends on what shares a batch still gives the same answers
however many workers run. A backend keeps as many batches in flight as `capacity` says and never holds the dataset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from assay_api.errors import Failed, SpecError
from assay_runner.media import Media
from assay_runner.models.cache import ModelCache

__all__ = [
    "Backend",
    "BackendFailed",
    "Batch",
    "Description",
    "Generation",
    "Message",
    "ModelContext",
    "Part",
    "Request",
    "Response",
    "ResponseError",
    "SpecError",
    "Text",
]


class BackendFailed(Failed):
    """The engine or endpoint is gone or refuses everything; open chunks are left to others, nothing is committed for them."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text inside a message."""

    text: str


Part = Text | Media


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """Sampling settings of one request, resolved. What a backend cannot honour it refuses by name when it is planned."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    `messages` is the conversation. `prompt` is the same as raw text, for models without a chat template and for
    log-likelihoods; None when the conversation holds media. `continuation` (loglikelihood only) is the text to be scored
    after the prompt, with its leading delimiter.
    """

    key: str
    """Unique in the run: `<sample id>#<n>`."""
    kind: Literal["generate", "loglikelihood"]
    messages: tuple[Message, ...]
    prompt: str | None
    continuation: str | None
    generation: Generation
    seed: int
    """Derived from (spec.seed, sample id) alone."""


Batch = tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class ResponseError:
    """Why a request has no answer. `kind` is a short class name, such as Timeout, HTTP500, ContextTooLong, MediaError."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model asked to be called; `arguments` is JSON text as the model wrote it, right or wrong."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Natural log-probabilities of all generated tokens, those of reasoning included, to four decimals."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    """As many."""
    top: tuple[tuple[tuple[str, float], ...], ...]
    """For each token the likeliest ones; empty when none were asked for."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request, or why there is none. Times are in seconds. `text` holds nothing but what is scored:
    what a backend tells apart as `reasoning` or `tool_calls` is not in it."""

    key: str
    text: str | None = None
    logprob: float | None = None
    greedy: bool | None = None
    tokens: int | None = None
    finish_reason: str | None = None
    reasoning: str | None = None
    error: ResponseError | None = None
    attempts: int = 1
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency: float | None = None
    """From sending the request, or handing it to the engine, to the complete answer, retries left out."""
    first_token: float | None = None
    tokens_reasoning: int | None = None
    """Of `tokens_out`."""
    decoding: float | None = None
    """Spent on making what the model reads of encoded media."""
    encoding: float | None = None
    """Spent on making the request's body, or its tokens."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: TokenLogprobs | None = None
    frames: tuple[tuple[int, ...], ...] = ()
    """Of each video that was decoded for the request, the places of the frames that were shown."""


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What a backend is opened with: the plan's model, and what is this worker's own (never part of a number)."""

    name: str
    revision: str | None
    args: Mapping[str, Any]
    pins: Mapping[str, Any]
    retries: int
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 64
    """This worker's share of the requests in flight, when it starts."""
    share: Callable[[], int] | None = field(default=None, repr=False)
    """The same at any later time: it falls while there are more workers than planned."""
    timeout: float = 600.0
    hedge: bool = False
    """Whether an endpoint may be asked a second time while it is late with an answer."""
    ready_path: str | None = None
    """For a server that is started beside this worker: what it answers with HTTP 200 once it is ready."""
    ready_seconds: float = 0.0
    """How long that may take."""
    batch_size: int = 1
    cores: int = 1
    """CPU cores this process may use, from the cgroup."""
    cache: ModelCache | None = None
    """Where models are kept that are brought here from elsewhere."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a backend says of a model when it is planned, without loading it."""

    pins: dict[str, Any]
    batch_size: int
    determinism: Literal["exact", "best-effort"]
    loglikelihood: bool
    """Whether it can score continuations."""
    media: frozenset[str]
    """Kinds of media it takes: image, audio, video."""
    loglikelihood_media: bool = False
    """Whether it can score continuations of prompts with media."""
    samples: bool = True
    """Whether its answers can be sampled."""


class Backend(Protocol):
    """An engine that answers requests."""

    @property
    def capacity(self) -> int:
        """Batches in flight that keep it busy."""
        ...

    @property
    def trouble(self) -> str:
        """What keeps it from answering just now, for those who watch the run; empty when nothing does."""
        ...

    async def start(self) -> None:
        """Load the model or warm the connections.

        Raises:
            SpecError: the plan's pins cannot be honoured here (wrong engine version, device, weights).
            BackendFailed: the engine does not start or the endpoint does not answer.
        """
        ...

    def stream(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Response]:
        """Answer every request of every batch exactly once, in any order; errors of one request are its response.

        Raises:
            BackendFailed: nothing can be answered any more.
        """
        ...

    async def close(self) -> None:
        """Release what `start` took; safe to call twice."""
        ...
