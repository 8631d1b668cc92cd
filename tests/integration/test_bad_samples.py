"""The table of bad answers and bad media: each is the error of its own sample, named and kept, and no other sample's.

One run asks a real server that answers every question with another fault; each row of the table is one document of it.
"""

import io
import json

import pytest

from support import endpoint as server
from support.endpoint import MODEL, Fault, TestEndpoint, status

_TASK = """
task: odd
dataset_path: json
dataset_kwargs: {data_files: {test: odd.jsonl}}
test_split: test
media: {image: "{{ image }}"}
output_type: generate_until
doc_to_messages:
  - role: user
    content: [{type: image, image: image}, {type: text, text: name}]
doc_to_target: target
id_key: name
generation_kwargs: {max_new_tokens: 8, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""

_CHOICE = '{"choices": [{"message": {"role": "assistant", "content": %s}, "finish_reason": %s}]}'


def _raw(text: str) -> Fault:
    return Fault(body=text.encode())


ROWS = {
    "an HTML page": (server.HTML, "BadResponse", "no JSON"),
    "half a JSON": (server.HALF_JSON, "BadResponse", "no JSON"),
    "nothing at all": (_raw(""), "BadResponse", "no JSON"),
    "bytes that are no text": (Fault(body=b"\xff\xfe{}"), "BadResponse", "no JSON"),
    "a JSON list": (_raw("[]"), "BadResponse", "no choices"),
    "no choices": (_raw('{"object": "chat.completion"}'), "BadResponse", "no choices"),
    "empty choices": (server.NO_CHOICES, "BadResponse", "no choices"),
    "choices of the wrong type": (_raw('{"choices": {"0": {}}}'), "BadResponse", "no choices"),
    "a choice of the wrong type": (_raw('{"choices": ["yes"]}'), "BadResponse", "no choices"),
    "no message": (_raw('{"choices": [{"finish_reason": "stop"}]}'), "BadResponse", "message is missing"),
    "no content": (server.NULL_CONTENT, "BadResponse", "content is missing"),
    "a number as content": (server.WRONG_TYPES, "BadResponse", "content is of the wrong type"),
    "a list as content": (_raw(_CHOICE % ('["yes"]', '"stop"')), "BadResponse", "content is of the wrong type"),
    "a wrong finish reason": (_raw(_CHOICE % ('"yes"', "7")), "BadResponse", "finish_reason is of the wrong type"),
    "depth without end": (_raw('{"choices": ' + "[" * 100_000), "BadResponse", "no JSON"),
    "an event stream": (
        Fault(body=b'data: {"choices": [{"delta": {"content": "ye"}}]}\n\n', content_type="text/event-stream"),
        "BadResponse",
        "no JSON",
    ),
    "a stream cut in the middle": (Fault(body=b"{}", cut=True), "BadResponse", "ends in the middle"),
    "an answer that is compressed": (
        Fault(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        "BadResponse",
        "compressed",
    ),
    "a withheld answer": (_raw(_CHOICE % ("null", '"content_filter"')), "ContentFilter", "withheld"),
    "an over-long prompt": (
        status(400, "This model's maximum context length is 10 tokens"),
        "ContextTooLong",
        "10 tokens",
    ),
    "a picture that the server cannot decode": (
        status(400, "cannot identify image file"),
        "HTTP400",
        "cannot identify",
    ),
    "a picture that is too large for the server": (status(413, "Request Entity Too Large"), "HTTP413", "Too Large"),
    "a bomb that the server refuses": (status(422, "decompression bomb"), "HTTP422", "decompression bomb"),
    "an error inside the server": (status(500, "CUDA error"), "HTTP500", "CUDA error"),
    "a lost connection": (server.DROPPED, "Connection", "lost"),
    "an answer that never comes": (Fault(delay=30), "Timeout", "within 2 s"),
    "a picture that is gone": (None, "MediaError", "cannot be read"),
    "a picture that was changed": (None, "MediaError", "no longer the file that was planned"),
}
GOOD = ("a good question", "another good question")


@pytest.fixture(scope="module")
def run(tmp_path_factory, assay_in):
    """The records of one run over all rows, by name; what is wrong with the pictures comes after the planning."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "odd.yaml").write_text(_TASK)
    names = [*ROWS, *GOOD]
    for number in range(len(names)):
        (folder / "tasks" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + str(number).encode())
    with (folder / "tasks" / "odd.jsonl").open("w") as file:
        for number, name in enumerate(names):
            file.write(json.dumps({"name": name, "image": f"{number}.png", "target": "yes"}) + "\n")

    def fault(body):
        asked = body["messages"][-1]["content"][-1]["text"]
        return ROWS[asked][0] if asked in ROWS else None

    with TestEndpoint(fault_for=fault) as endpoint:
        model = {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url, "timeoutSeconds": 2}}
        spec = {"model": model, "tasks": [{"name": "odd"}], "taskSources": [{"uri": "tasks"}]}
        spec["errorPolicy"] = {"retries": 1, "maxErrorRate": 1.0}
        job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "odd"}, "spec": spec}
        (folder / "job.json").write_text(json.dumps(job))
        assay_in(folder, "plan", "job.json", "--store", "store")
        (folder / "tasks" / f"{names.index('a picture that is gone')}.png").unlink()
        (folder / "tasks" / f"{names.index('a picture that was changed')}.png").write_bytes(b"\x89PNG\r\n\x1a\nother")
        plan = next(folder.glob("store/*/*/*/plan.json"))
        assay_in(folder, "work", str(plan.parent))
        assay_in(folder, "reduce", str(plan.parent))
    from assay_runner.records import read_samples

    rows = list(read_samples(io.BytesIO((plan.parent / "samples.jsonl.zst").read_bytes())))
    return {row["document_id"]: row for row in rows}, json.loads((plan.parent / "results.json").read_bytes())


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_answer_or_medium_is_the_error_of_its_own_sample(run, name):
    record, (_, kind, words) = run[0][name], ROWS[name]
    assert record["error"]["kind"] == kind
    assert words in record["error"]["message"]
    assert "\n" not in record["error"]["message"] and len(record["error"]["message"]) < 400
    assert not record.get("items")


def test_the_samples_beside_them_are_answered_and_scored_and_nothing_is_lost(run):
    records, results = run
    assert set(records) == {*ROWS, *GOOD}
    assert all("error" not in records[name] and records[name]["items"] for name in GOOD)
    assert results["coverage"]["errors"] == len(ROWS)
    assert results["coverage"]["scored"] == len(GOOD)
