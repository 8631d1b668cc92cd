"""Record files: what is written is canonical and what the vocabulary wrote before; the fast twin of the rows never decides
otherwise than the vocabulary."""

import io
import json
import shutil
import subprocess

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from assay_api.base import canonical
from assay_api.errors import Corrupt
from assay_api.records import Answer, RecordsHeader, SampleError, SampleRecord, TokenLogprobs, ToolCall, Usage
from assay_runner import rows
from assay_runner.frames import compress
from assay_runner.records import decode_records, encode_lines, encode_records, read_samples
from assay_runner.rows import decode_rows, split_lines

HEADER = RecordsHeader(plan="a" * 64, task="t", chunk=0, attempt="x")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, PLAIN, max_size=3)
COUNTS = st.none() | st.integers(0, 10**6)
SECONDS = st.none() | st.floats(0, 1e9)
RECORDS = st.builds(
    SampleRecord,
    id=TEXTS,
    document=st.integers(0, 10**6),
    repeat=st.integers(0, 10),
    document_id=st.none() | TEXTS,
    cluster=st.none() | TEXTS,
    prompt=st.lists(OBJECTS, max_size=2),
    target=PLAIN,
    choices=st.none() | st.lists(TEXTS, max_size=2),
    answers=st.lists(
        st.builds(
            Answer,
            text=st.none() | TEXTS,
            logprob=st.none() | st.floats(-1e3, 0),
            greedy=st.none() | st.booleans(),
            tokens=COUNTS,
            tool_calls=st.lists(st.builds(ToolCall, name=TEXTS, arguments=TEXTS), max_size=1),
            logprobs=st.none()
            | st.builds(
                TokenLogprobs,
                tokens=st.lists(TEXTS, max_size=2),
                logprobs=st.lists(st.floats(-1e3, 0), max_size=2),
                top=st.lists(st.lists(st.tuples(TEXTS, st.floats(-1e3, 0)), max_size=1), max_size=1),
            ),
        ),
        max_size=2,
    ),
    filtered=OBJECTS,
    items=OBJECTS,
    error=st.none() | st.builds(SampleError, kind=TEXTS, message=TEXTS),
    attempts=st.integers(0, 3),
    usage=st.builds(
        Usage,
        tokens_in=COUNTS,
        tokens_out=COUNTS,
        latency=SECONDS,
        first_token=SECONDS,
        tokens_reasoning=COUNTS,
        queue=SECONDS,
        decoding=SECONDS,
        encoding=SECONDS,
        scoring=SECONDS,
    ),
)

RECORDS_ARE_LARGE = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def plain(record):
    return canonical(record.model_dump(mode="json", exclude_defaults=True))


def taken(text):
    """The rows that the fast reader takes."""
    return decode_rows(text, split_lines(text))


def read_again(row, record):
    """What the vocabulary makes of a row of the fast twin, which holds one object for each message of the prompt and one
    for what filters kept."""
    assert len(row.prompt) == len(record.prompt)
    unread = {"prompt": record.prompt, "filtered": record.filtered}
    return SampleRecord.model_validate(json.loads(msgspec.json.encode(row)) | unread)


@RECORDS_ARE_LARGE
@given(st.lists(RECORDS, min_size=1, max_size=2))
def test_rows_are_canonical_and_taken_by_both_readers_with_the_same_values(records):
    text = encode_lines(records)
    assert text == b"".join(plain(record) + b"\n" for record in records)
    assert decode_records(encode_records(HEADER, records), "records") == (HEADER, records)
    assert [read_again(row, record) for row, record in zip(taken(text), records, strict=True)] == records


FIELDS = [*SampleRecord.model_fields, "unknown"]


@RECORDS_ARE_LARGE
@given(RECORDS, st.dictionaries(st.sampled_from(FIELDS), PLAIN | st.lists(OBJECTS), max_size=2), st.data())
def test_a_row_that_the_fast_reader_takes_is_one_that_the_vocabulary_takes_with_the_same_values(record, changes, data):
    row = json.loads(plain(record)) | changes
    for nested in ("usage", "error", "answers"):
        inside = row.get(nested)
        if isinstance(inside, dict) and data.draw(st.booleans()):
            inside[data.draw(st.sampled_from(["tokens_in", "latency", "kind", "unknown"]))] = data.draw(PLAIN)
    line = json.dumps(row, ensure_ascii=data.draw(st.booleans())).encode()
    place, byte = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        line = line[:place] + bytes([byte]) + line[place + 1 :]
    found = taken(line + b"\n")
    event("taken" if found else "not sure")
    if found:
        record = SampleRecord.decode(line, "line")
        assert [read_again(one, record) for one in found] == [record]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}\n",
        b'{"id":"a","document":0,"repeat":0}',
        b'\n{"id":"a","document":0,"repeat":0}\n',
        b'{"id":"a","document":0,"repeat":0}{"id":"b","document":1,"repeat":0}\n',
        b'{"id":"a","document":-1,"repeat":0}\n',
        b'{"id":"a","document":0,"repeat":0,"usage":null}\n',
        b'{"id":"a","document":0,"repeat":0,"prompt":["text"]}\n',
        b'{"id":"a","document":0,"repeat":0,"items":{"acc":NaN}}\n',
        b'{"id":"a","document":0,"repeat":0,"prompt":[{"text":"\xff"}]}\n',
    ],
)
def test_lines_that_are_no_rows_are_not_taken(text):
    assert not taken(text)


@pytest.mark.parametrize(
    ("model", "twin"),
    [
        (SampleRecord, rows.Row),
        (Usage, rows.UsageRow),
        (Answer, rows.AnswerRow),
        (ToolCall, rows.CallRow),
        (TokenLogprobs, rows.LogprobsRow),
        (SampleError, rows.ErrorRow),
    ],
)
def test_the_fast_rows_have_the_vocabulary_s_fields(model: type[BaseModel], twin: type[msgspec.Struct]):
    assert sorted(twin.__struct_fields__) == sorted(model.model_fields)


@pytest.mark.parametrize("data", [b"", b"no frame", compress(HEADER.encode()), encode_records(HEADER, [])[:-1]])
def test_what_is_no_record_file_is_refused(data):
    with pytest.raises(Corrupt, match=r"^chunk 7 "):
        decode_records(data, "chunk 7")


def test_a_record_file_ends_with_its_rows():
    with pytest.raises(Corrupt, match="goes on after its rows"):
        decode_records(encode_records(HEADER, []) + compress(b"more\n"), "records")


def test_a_record_file_says_how_large_it_is():
    stream = zstandard.ZstdCompressor().compressobj()
    unsized = stream.compress(b"{}\n") + stream.flush()
    with pytest.raises(Corrupt, match="does not say how much it holds"):
        decode_records(compress(HEADER.encode()) + unsized, "records")


SAMPLES = compress(b'{"a":1}\n{"b":2}\n') + compress(b"") + compress(b'{"c":3}\n')


def test_samples_are_read_through_all_frames(tmp_path):
    assert list(read_samples(io.BytesIO(SAMPLES))) == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd tool is not installed")
def test_the_zstd_tool_reads_samples_as_one_text():
    done = subprocess.run(["zstd", "-dc"], input=SAMPLES, capture_output=True, check=True)
    assert done.stdout == b'{"a":1}\n{"b":2}\n{"c":3}\n'


@pytest.mark.parametrize("data", [SAMPLES[:-3], SAMPLES + b"rubbish", compress(b'{"a":1}')])
def test_damaged_samples_are_refused(data):
    with pytest.raises(Corrupt, match=r"samples\.jsonl\.zst"):
        list(read_samples(io.BytesIO(data)))
