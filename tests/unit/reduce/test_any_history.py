"""Whatever happens to any number of workers and to the store, each planned sample counts once, or the run is refused."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from assay_api.errors import Incomplete
from assay_api.layout import ChunkId, sample_id
from assay_api.plan import DataPin, ModelPlan, Plan, TaskPlan
from assay_api.records import SampleRecord
from assay_runner.reduce.verify import read_markers, verified_chunks
from assay_runner.store.base import StoreUnavailable
from assay_runner.work.commit import Get, Lost, commit
from support.simulated import SimulatedStore

PLAN = Plan(
    assay_version="0",
    job="j",
    model=ModelPlan(backend="openai", name="m"),
    tasks=(
        TaskPlan(
            name="a", config={}, data=DataPin(fingerprint="f", documents=3, source="s"), repeats=2, boundaries=(0, 2, 3)
        ),
        TaskPlan(
            name="b", config={}, data=DataPin(fingerprint="g", documents=2, source="s"), repeats=1, boundaries=(0, 2)
        ),
    ),
    seed=0,
    batch_size=1,
    determinism="exact",
)
CHUNKS = [ChunkId("a", 0), ChunkId("a", 1), ChunkId("b", 0)]
PLANNED = [
    sample_id(task.name, document, repeat)
    for task in PLAN.tasks
    for document in range(task.documents)
    for repeat in range(task.repeats)
]


def records(chunk, worker):
    task = PLAN.task(chunk.task)
    span = range(task.boundaries[chunk.index], task.boundaries[chunk.index + 1])
    return [
        SampleRecord(
            id=sample_id(task.name, document, repeat), document=document, repeat=repeat, items={"acc": float(worker)}
        )
        for document in span
        for repeat in range(task.repeats)
    ]


@settings(max_examples=400)
@given(st.data(), st.integers(1, 5))
def test_each_planned_sample_is_counted_once_or_the_run_is_refused(data, workers):
    store = SimulatedStore()
    # Every worker does any chunks in any order, some of them twice; all of them at the same time.
    todo = {n: data.draw(st.lists(st.sampled_from(CHUNKS), max_size=5)) for n in range(workers)}
    running, pending, delayed = {}, {}, []
    attempts = iter(range(1000))

    def begin(worker):
        if todo[worker]:
            chunk = todo[worker].pop()
            running[worker] = commit(PLAN.digest, chunk, f"{worker}-{next(attempts)}", records(chunk, worker))
            pending[worker] = next(running[worker])

    for worker in range(workers):
        begin(worker)
    while pending or delayed:
        kind, which = data.draw(
            st.sampled_from([("step", n) for n in pending] + [("arrive", place) for place in range(len(delayed))])
        )
        if kind == "arrive":
            store.apply(delayed.pop(which))
            continue
        operation = pending.pop(which)
        fault = data.draw(
            st.sampled_from(["", "", "", "crash", "request lost", "answer lost", "repeated", "arrives late"])
        )
        if fault == "crash":
            continue
        if fault == "arrives late" and not isinstance(operation, Get):
            delayed.append(operation)
            answer = Lost.UNKNOWN
        elif fault == "request lost":
            answer = Lost.UNKNOWN
        else:
            answer = store.apply(operation)
            if fault == "repeated":
                answer = store.apply(operation)
            if fault == "answer lost":
                answer = Lost.UNKNOWN
        try:
            pending[which] = running[which].send(answer)
        except (StopIteration, StoreUnavailable):
            begin(which)
    committed = {chunk for chunk in CHUNKS if chunk.marker in store.objects}
    try:
        counted = [
            record.id
            for chunk in verified_chunks(store, PLAN, read_markers(store, PLAN).items())
            for record in chunk.records
        ]
    except Incomplete as error:
        event("refused")
        assert committed != set(CHUNKS)
        assert all(str(chunk) in str(error) for chunk in set(CHUNKS) - committed)
    else:
        event("counted")
        assert committed == set(CHUNKS) and counted == PLANNED
