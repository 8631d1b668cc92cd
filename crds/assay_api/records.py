"""What workers leave in the store: records of samples, commit markers, progress, and the probe of the store.

A chunk's record file is zstd-compressed JSON lines: one `RecordsHeader`, then one `SampleRecord` per planned sample in
planned order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from assay_api.base import Record

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SampleError(Record):
    """Why a sample has no score."""

    kind: str
    """Class of the error, such as `Timeout`, `TaskError` or `MediaError`."""
    message: str


class Usage(Record):
    """Tokens and time of one sample; times in seconds. Results never depend on it."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    latency: float | None = None
    """From sending the request to the complete answer, retries left out: the longest of a sample's requests."""
    first_token: float | None = None
    tokens_reasoning: int | None = None
    """Of `tokens_out`."""
    queue: float | None = None
    """Waited in the worker, retries included, from when the request was built: the longest of a sample's requests."""
    decoding: float | None = None
    """Of media, over all requests."""
    encoding: float | None = None
    """Of bodies or tokens, over all requests."""
    scoring: float | None = None
    """The sample's part of the time in which its document was scored."""


class ToolCall(Record):
    """A function that the model asked to be called."""

    name: str
    arguments: str
    """JSON as the model wrote it, right or wrong."""


class TokenLogprobs(Record):
    """Natural log-probabilities of all generated tokens, those of reasoning included, to four decimals."""

    tokens: list[str]
    logprobs: list[float]
    top: list[list[tuple[str, float]]] = Field(default_factory=list)
    """For each token the likeliest ones; empty when none were asked for."""


class Answer(Record):
    """What the model gave for one request of a sample."""

    text: str | None = None
    logprob: float | None = None
    """Sum of the log-probabilities of the continuation's tokens, natural logarithm."""
    greedy: bool | None = None
    """Whether greedy decoding would have produced the continuation."""
    tokens: int | None = None
    """Tokens of the continuation that `logprob` sums over."""
    finish_reason: str | None = None
    reasoning: str | None = None
    """Text that was told apart as reasoning; nothing is scored on it."""
    tool_calls: list[ToolCall] = Field(default_factory=list)
    logprobs: TokenLogprobs | None = None
    frames: list[list[int]] = Field(default_factory=list)
    """Of each video of the question that was decoded here, the places of the frames that were shown."""


class SampleRecord(Record):
    """One sample: what was asked, what came back, what it scored."""

    id: str
    """`<task>/<document>/<repeat>`."""
    document: int = Field(ge=0)
    repeat: int = Field(ge=0)
    document_id: str | None = None
    cluster: str | None = None
    prompt: list[dict[str, Any]] = Field(default_factory=list)
    """Messages as sent; media by kind, mime and digest."""
    target: Any = None
    choices: list[str] | None = None
    answers: list[Answer] = Field(default_factory=list)
    filtered: dict[str, Any] = Field(default_factory=dict)
    """Filter name → what the filter kept of the answer."""
    items: dict[str, Any] = Field(default_factory=dict)
    """`metric` or `metric,filter` → item for the metric's aggregation, see `assay_runner.tasks.items`."""
    error: SampleError | None = None
    attempts: int = Field(default=1, ge=0)
    usage: Usage = Usage()


class ChunkWork(Record):
    """Who did a chunk, and when by that machine's clock; for the story of a run, no number of the results depends on it."""

    worker: str
    finished: float
    """When its last sample was scored, in seconds since 1970 (UTC)."""
    seconds: float = Field(ge=0)
    """From taking the chunk until then."""
    accelerators: int = Field(default=0, ge=0)
    """That the worker holds."""


class RecordsHeader(Record):
    """First line of a record file: which plan and which chunk it belongs to."""

    schema_: Literal["assay/records/v1"] = Field(default="assay/records/v1", alias="schema")
    plan: Digest
    task: str
    chunk: int = Field(ge=0)
    attempt: str
    work: ChunkWork | None = None


class Marker(Record):
    """A commit: `key` holds the records of this chunk, with this digest. Written once, after the data."""

    schema_: Literal["assay/commit/v1"] = Field(default="assay/commit/v1", alias="schema")
    plan: Digest
    task: str
    chunk: int = Field(ge=0)
    attempt: str
    key: str
    sha256: Digest
    n: int = Field(ge=0)
    errors: int = Field(ge=0)


class Progress(Record):
    """What one worker is doing; advisory, overwritten freely, trusted by nobody for a number."""

    schema_: Literal["assay/progress/v1"] = Field(default="assay/progress/v1", alias="schema")
    worker: str
    session: str
    """Random per process: two processes under one worker name are told apart by it."""
    index: int = Field(ge=0)
    beat: int = Field(ge=0)
    """Rises with every report; others judge liveness by its change on their own clock."""
    state: Literal["starting", "working", "waiting", "stopped", "done"]
    open: tuple[str, ...] = ()
    """Chunks under work, as `<task>/<nnnnnn>`."""
    samples: int = 0
    """Committed by this worker."""
    pending: int = 0
    """Scored, in chunks that are still open."""
    errors: int = 0
    chunks: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    retries: int = 0
    error_classes: dict[str, int] = Field(default_factory=dict)
    """Class → failed samples among those committed."""
    accelerator_seconds: float = 0.0
    """From the worker's start to its last commit, times the accelerators it holds."""
    busy_seconds: float = 0.0
    rate: float = 0.0
    """Samples per second of late."""
    message: str = ""


class StorageProbe(Record):
    """How the store behaved when several writers created one object at once, at the start of the run."""

    schema_: Literal["assay/storage/v1"] = Field(default="assay/storage/v1", alias="schema")
    mode: Literal["conditional", "fallback"]
    reason: str


class Placement(Record):
    """How a run is carried out: where it finds its model, how many share the work, how patient it is with failures.

    For workers that know nothing but the run's address. No number depends on it: what does is pinned in the plan, and
    every worker checks what it finds here against the pins. It may be changed while the run goes on.
    """

    schema_: Literal["assay/placement/v1"] = Field(default="assay/placement/v1", alias="schema")
    model: str | None = None
    """Folder of the model, when its name in the plan is relative to the manifest."""
    url: str | None = None
    max_concurrency: int = Field(default=64, ge=1)
    """Requests in flight of the whole run; of each worker where each has a server beside it."""
    timeout_seconds: float = Field(default=600, gt=0)
    hedge: bool = False
    """Whether late requests are asked a second time."""
    workers: int = Field(default=1, ge=1)
    """Workers that the documents and the requests in flight are shared out to."""
    retries: int = Field(default=3, ge=0)
    """Further tries of a sample after a passing fault."""
    max_error_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of failed samples above which the reducer writes no results."""
    baselines: dict[str, str] = Field(default_factory=dict)
    """Gate → address of its baseline, whose content the plan pins."""
