"""What is kept of the records in arrays is what the records say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay_api.errors import Corrupt
from assay_api.layout import ChunkId, sample_id
from assay_api.plan import DataPin, TaskPlan
from assay_api.records import SampleError, SampleRecord
from assay_runner.records import encode_lines
from assay_runner.reduce.chunk_tally import Lines, tally_chunk
from assay_runner.reduce.tally import Documents, TaskTally
from assay_runner.rows import decode_rows, split_lines

ITEMS = st.one_of(
    st.booleans(),
    st.integers(0, 1),
    st.integers(),
    st.floats(0, 1),
    st.none(),
    st.lists(st.text(max_size=2), max_size=2),
)


@st.composite
def runs(draw):
    """A task's records with any items, some missing, some failed, and where they are cut into chunks."""
    documents, repeats = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    kinds = draw(st.lists(st.sampled_from([st.booleans(), st.floats(0, 1), st.integers(0, 3), ITEMS]), max_size=2))
    clusters = draw(st.booleans())
    records = []
    for document in range(documents):
        cluster = draw(st.sampled_from("abc")) if clusters else None
        for repeat in range(repeats):
            failed = draw(st.sampled_from([False, False, True]))
            values = {
                f"m{n},f": draw(kind) for n, kind in enumerate(kinds) if draw(st.sampled_from([True, True, False]))
            }
            records.append(
                SampleRecord(
                    id=sample_id("t", document, repeat),
                    document=document,
                    repeat=repeat,
                    cluster=cluster,
                    filtered={"f": draw(st.sampled_from([None, "yes", "no", 1, ["no"]]))},
                    items={} if failed else values,
                    error=SampleError(kind=draw(st.sampled_from("AB")), message="m") if failed else None,
                )
            )
    cuts = draw(st.sets(st.integers(1, documents - 1) if documents > 1 else st.nothing()))
    return records, plan(repeats, (0, *sorted(cuts), documents))


def plan(repeats, boundaries):
    data = DataPin(fingerprint="f", documents=boundaries[-1], source="s")
    return TaskPlan(name="t", config={}, data=data, repeats=repeats, boundaries=boundaries)


def tallied(records, task, read=lambda records: records):
    tally = TaskTally(task)
    for index in range(task.chunks):
        start, stop = (bound * task.repeats for bound in task.boundaries[index : index + 2])
        lines = split_lines(encode_lines(records[start:stop]))
        tally.add(ChunkId("t", index), tally_chunk(read(records[start:stop]), task.repeats, lines, Lines()))
    return tally


def fast(records):
    text = encode_lines(records)
    return decode_rows(text, split_lines(text))


@settings(max_examples=40)
@given(runs(), st.sampled_from([fast, lambda records: records]))
def test_items_keep_their_values_types_and_places(run, read):
    records, task = run
    tally = tallied(records, task, read)
    good = [(place, record) for place, record in enumerate(records) if record.error is None]
    assert set(tally.items) == {key for _, record in good for key in record.items}
    for key, items in tally.items.items():
        expected = [(place, record.items[key]) for place, record in good if key in record.items]
        assert [(type(item), item) for item in items.plain] == [(type(item), item) for _, item in expected]
        assert list(items.samples) == [place for place, _ in expected]
    assert tally.errors == {
        kind: count for kind in "AB" if (count := sum(r.error is not None and r.error.kind == kind for r in records))
    }


@settings(max_examples=40)
@given(runs())
def test_clusters_and_answers_are_told_apart_as_their_names_are(run):
    records, task = run
    tally = tallied(records, task)
    for key, items in tally.items.items():
        mine = [records[place] for place in items.samples]
        clusters = tally.clusters(items)
        if mine[0].cluster is None:
            assert clusters is None
        else:
            names = [record.cluster for record in mine]
            assert [[a == b for b in names] for a in names] == [[a == b for b in clusters] for a in clusters]
        documents = Documents(items, task.repeats)
        assert len(documents) == len({record.document for record in mine})
        if task.repeats == 1:
            continue
        for group, ballots in zip(documents.split(mine), documents.split(items.ballots), strict=True):
            kept = [record.filtered["f"] for record in group]
            answers = [answer if answer is None else str(answer) for answer in kept]
            assert [[a == b for b in answers] for a in answers] == [[a == b for b in ballots] for a in ballots], key
            assert [ballot < 0 for ballot in ballots] == [answer is None for answer in answers]


def test_a_record_without_a_cluster_among_others_that_have_one_is_refused():
    records = [
        SampleRecord(id=sample_id("t", n, 0), document=n, repeat=0, cluster="c" if n != 1 else None, items={"acc": 1.0})
        for n in range(3)
    ]
    tally = tallied(records, plan(1, (0, 3)))
    with pytest.raises(Corrupt, match="The record of t/1/0 names no cluster"):
        tally.clusters(tally.items["acc"])
