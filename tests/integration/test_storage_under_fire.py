"""A hundred whole runs against a real S3 server behind a proxy that fails at random, with workers that die at random: nothing
is lost, nothing doubled, and results.json has the same bytes.

A failure names its seed; `ASSAY_SEED=<seed>` runs that one alone. What befalls a request follows from the seed, the request,
and how often it was made.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from threading import Lock
from typing import Any

import pytest

from assay_api import layout
from assay_api.base import sha256
from assay_api.records import Marker, StorageProbe
from assay_runner.records import decode_records
from assay_runner.store.base import Store, StoreUnavailable
from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
from assay_runner.store.s3_tries import Tries
from assay_runner.work.board import plan_chunks
from support.faulty_s3 import Fault, FaultyS3, Forward, Reply, Request, error
from support.runs import PLAIN_TASK, AnsweringBackend, Run, planned, results_bytes, worker, write_task
from support.s3 import s3_server

__all__ = ["s3_server"]

RUNS = 100
DOCUMENTS, CHUNK = 12, 4
RATE, SLOW_RATE, CLOCK_RATE, DEATHS = 0.14, 0.006, 0.02, 0.45
PROBED = 4
"""Every so manieth run finds out about the server under fire too; the others know already, which is most of a run's requests."""
FAULTS: dict[str, Fault | Reply] = {
    fault.value: fault
    for fault in Fault
    if fault not in (Fault.SILENCE_AFTER, Fault.DRIP_AFTER, Fault.DRIP_BODY_AFTER, Fault.SLOW_UPLOAD)
} | {
    "503 with Retry-After": Reply(503, headers={"Retry-After": "2"}),
    "429": error(429, "TooManyRequests"),
    "502 of a gateway": Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
}
SLOW: dict[str, Fault | Reply] = {fault.value: fault for fault in (Fault.SILENCE_AFTER, Fault.DRIP_AFTER)}
CLOCKS = [timedelta(), timedelta(minutes=10), timedelta(hours=-3), timedelta(days=2)]
SKEW = "the clock"
OTHERS = {layout.PLAN, layout.STORAGE, layout.PLACEMENT, layout.RESULTS, layout.RUN, layout.SAMPLES, layout.REPORT}
ATTEMPT = re.compile(r"chunks/colours/[0-9]{6}/[0-9a-f]{32}\.jsonl\.zst")
RANDOM_NAME = re.compile(r"[0-9a-f]{12,}")


class Died(Exception):
    """What a worker says no more after SIGKILL."""


class Mortal:
    """A worker's way to its store, which ends at a given operation: before it, or after it took effect."""

    def __init__(self, store: Store, life: int, *, after: bool) -> None:
        self._store, self._life, self._after, self._lock = store, life, after, Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._mortal(found) if callable(found) and name != "location" else found

    def _mortal(self, operation: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._life -= 1
                left = self._life
            if left < 0 or (left == 0 and not self._after):
                raise Died
            answer = operation(*arguments, **options)
            if left == 0:
                raise Died
            return answer

        return call


@dataclass
class Fire:
    """What befalls the requests of one run."""

    seed: int
    server: FaultyS3
    injected: Counter[str]
    _seen: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request) -> Fault | Reply | None:
        about = f"{request.method} {RANDOM_NAME.sub('*', request.path)}"
        with self._lock:
            self._seen[about] += 1
            chance = Random(f"{self.seed} {about} {self._seen[about]}")
            if chance.random() < CLOCK_RATE:
                self.server.clock_ahead = chance.choice(CLOCKS)
            self.injected[SKEW] += self.server.refusal(request) is not None
            draw = chance.random()
            menu = SLOW if draw < SLOW_RATE else FAULTS if draw < RATE else {"": None}
            name = chance.choice(sorted(menu))
            self.injected[name] += 1
            return menu[name]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fire")
    write_task(folder / "tasks", documents=DOCUMENTS, task=PLAIN_TASK)
    return folder


@pytest.fixture(scope="module")
def undisturbed(home):
    run = planned(home, chunkSize=CHUNK)
    asyncio.run(worker(run).run())
    return results_bytes(run)


@pytest.fixture(scope="module")
def servers(s3_server):
    """By how they treat the condition: the proxy and a client of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.env.items():
            patch.setenv(name, value)
        made = {
            condition: FaultyS3(Forward(s3_server, condition), silence=0.25)
            for condition in ("honoured", "ignored", "racy")
        }
        clients = {
            condition: make_client(server.endpoint, None, {}, read_seconds=0.15) for condition, server in made.items()
        }
        for server in made.values():
            server.__enter__()
        yield {condition: (made[condition], clients[condition]) for condition in made}
        for server in made.values():
            server.__exit__()


@pytest.fixture(scope="module")
def bucket(s3_server):
    return s3_server.new_bucket()


@pytest.fixture
def plain(s3_server, monkeypatch):
    """A client of the server itself."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return make_client(s3_server.endpoint, None, {})


def hurried(client: Any, bucket: str, prefix: str) -> S3Store:
    """A store that insists as ever, but with short pauses."""
    tries = Tries(pause=lambda seconds: time.sleep(min(0.02, seconds / 50)), answer=0.6)
    return S3Store(bucket, prefix, client, tries=tries)


def again(step: Any) -> Any:
    """As a person, or a Job, would: the same command again when the store stayed away."""
    for _ in range(3):
        try:
            return step()
        except StoreUnavailable:
            continue
    return step()


async def work(run: Run, chance: Random, deaths: Counter[str]) -> None:
    """Two or three workers; when all have died or given up, others follow until one has seen the end."""
    for _ in range(8):
        workers, count = [], chance.choice((2, 2, 3))
        for index in range(count):
            dies = chance.random() < DEATHS
            store = Mortal(run.store, chance.randint(3, 30), after=chance.random() < 0.5) if dies else run.store
            backend = AnsweringBackend(random=Random(chance.random()), delay=0.01)
            workers.append(
                worker(
                    replace(run, store=store),
                    f"w{index}",
                    backend,
                    index=index,
                    workers=count,
                    beat=0.5,
                    silence=1.0,
                    poll=0.2,
                ).run()
            )
        ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, Died | StoreUnavailable):
                deaths[type(end).__name__] += 1
            elif end is not None:
                raise end
        if None in ends:
            return
    raise AssertionError("no worker came through")


def check(run: Run, store: Store, results: bytes, undisturbed: bytes) -> None:
    """What lies in the store itself is each sample once, one marker per chunk, and nothing that does not belong there."""
    assert results == undisturbed == store.get(layout.RESULTS)
    keys = set(store.list(""))
    chunks = plan_chunks(run.plan)
    assert {key for key in keys if key.endswith(".commit")} == {chunk.marker for chunk in chunks}
    ids = []
    for chunk in chunks:
        marker = Marker.decode(store.get(chunk.marker), chunk.marker)
        data = store.get(marker.key)
        assert sha256(data) == marker.sha256
        _, records = decode_records(data, marker.key)
        ids += [record.id for record in records]
    assert ids == [layout.sample_id("colours", document, 0) for document in range(DOCUMENTS)]
    others = {key for key in keys if not ATTEMPT.fullmatch(key) and not key.endswith(".commit")}
    assert {key for key in others if not key.startswith(("progress/", ".probe/"))} == OTHERS


SEEDS = [int(os.environ["ASSAY_SEED"])] if "ASSAY_SEED" in os.environ else list(range(RUNS))


@pytest.mark.timeout(600)
def test_100_runs_under_random_faults_give_the_same_bytes(home, undisturbed, servers, bucket, plain):
    injected: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    modes: Counter[tuple[str, str]] = Counter()
    for seed in SEEDS:
        condition = {3: "ignored", 4: "racy"}.get(seed % 5, "honoured")
        server, client = servers[condition]
        server.requests.clear()
        server.clock_ahead = timedelta()
        server.script = Fire(seed, server, injected)
        try:
            root = hurried(client, bucket, f"run-{seed}")
            store = S3Store(bucket, f"run-{seed}/default/colours/r1", plain)
            if seed % PROBED:
                known = StorageProbe(mode="conditional" if condition == "honoured" else "fallback", reason="known")
                store.put(layout.STORAGE, known.encode())
            run = again(lambda root=root: planned(home, root, chunkSize=CHUNK))
            asyncio.run(work(run, Random(seed), deaths))
            results = again(lambda run=run: results_bytes(run))
            check(run, store, results, undisturbed)
            if not seed % PROBED:
                modes[condition, StorageProbe.decode(store.get(layout.STORAGE), layout.STORAGE).mode] += 1
        except BaseException as failure:
            failure.add_note(f"ASSAY_SEED={seed} runs this one again")
            raise
    print(dict(injected), dict(deaths), dict(modes))
    if len(SEEDS) == RUNS:
        assert {*FAULTS, *SLOW, SKEW} <= set(+injected)
        assert deaths["Died"] > RUNS / 4
        assert modes["ignored", "fallback"] == modes["racy", "fallback"] == RUNS / 5 / PROBED
        assert modes["honoured", "conditional"] > RUNS / 4 / PROBED


def test_a_worker_whose_store_stays_away_ends_with_a_sentence_and_the_run_goes_on_later(
    home, undisturbed, servers, bucket, plain
):
    server, client = servers["honoured"]
    server.script, server.clock_ahead = lambda request: None, timedelta()
    run = planned(home, hurried(client, bucket, "away"), chunkSize=CHUNK)
    left = iter(range(25))
    server.script = lambda request: None if next(left, None) is not None else Fault.SLOW_DOWN
    with pytest.raises(
        StoreUnavailable, match=r"it answered 503 SlowDown \(10 tries in \d+ s\); run the same"
    ) as caught:
        asyncio.run(worker(run).run())
    assert caught.value.exit_code == 1
    server.script = lambda request: None
    store = S3Store(bucket, "away/default/colours/r1", plain)
    asyncio.run(worker(run).run())
    check(run, store, results_bytes(run), undisturbed)
