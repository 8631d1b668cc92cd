"""The table of bad input: each row ends with its own exit code and one sentence that names the place and the way out.

Nothing of a refused run is left that a later one could trip over: no results, and no plan when planning failed.
"""

import json

import pytest

from support.endpoint import MODEL, TestEndpoint
from support.runs import TASK, UTILS, write_task


@pytest.fixture(scope="module")
def endpoint():
    with TestEndpoint(api_key="right") as server:
        yield server


@pytest.fixture
def attempt(tmp_path, assay, endpoint):
    """Run a job over the colours task with changes; returns (exit code, last line of stderr)."""

    def run(
        *,
        task=TASK,
        utils=UTILS,
        rows=None,
        spec=None,
        key="right",
        store=None,
        command="run",
        env=None,
        base=None,
        top=None,
        manifest=None,
    ):
        folder = write_task(tmp_path / "tasks", documents=20, task=task, utils=utils)
        if base is not None:
            (folder / "base.yaml").write_text(base)
        if rows is not None:
            (folder / "colours.jsonl").write_text(rows, errors="surrogateescape")
        defaults = {
            "model": {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
            "tasks": [{"name": "colours"}],
            "taskSources": [{"uri": "tasks"}],
        }
        if manifest is None:
            job = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "bad"}}
            manifest = json.dumps(job | {"spec": defaults | (spec or {})} | (top or {})).replace(
                "ENDPOINT", endpoint.url
            )
        (tmp_path / "job.yaml").write_text(manifest)
        where = store or str(tmp_path / "store")
        done = assay(command, "job.yaml", "--store", where, env={"OPENAI_API_KEY": key} | (env or {}))
        lines = [line for line in done.stderr.strip().splitlines() if line.startswith("assay: ")]
        assert "Traceback" not in done.stderr, done.stderr
        assert not list((tmp_path / "store").rglob("results.json")) or done.returncode == 0
        return done.returncode, lines[-1] if lines else done.stderr

    return run


def model(**changes):
    return {"model": {"backend": "openai", "name": MODEL} | changes}


_FILTER = "filter_list:\n  - {{name: short, filter: [{{function: {}}}]}}\n"

ROWS = [
    ("unknown field", {"spec": {"replica": 2}}, 64, ["job.yaml: spec.replica:", "no such field", "replicas"]),
    ("wrong type", {"spec": {"seed": "tuesday"}}, 64, ["spec.seed", "'tuesday'", "valid integer"]),
    (
        "a server of a cluster",
        {"spec": model(server={"name": "vllm"})},
        64,
        ["job.yaml: spec.model.server:", "on a cluster alone", "start the server yourself", "model.endpoint.url"],
    ),
    ("no tasks", {"spec": {"tasks": []}}, 64, ["spec.tasks", "at least 1"]),
    ("unknown task", {"spec": {"tasks": [{"name": "colour"}]}}, 64, ["colour", "colours"]),
    (
        "unknown metric",
        {
            "task": TASK.replace("metric: exact_match", "metric: exactly").replace(
                "process_results: !function utils.score\n", ""
            )
        },
        64,
        ["colours", "exactly"],
    ),
    ("unknown aggregation", {"task": TASK.replace("aggregation: mean", "aggregation: meen")}, 64, ["meen"]),
    (
        "unknown backend",
        {"spec": model(backend="tensorflow")},
        64,
        ["spec.model.backend", "'tensorflow'", "transformers"],
    ),
    (
        "backend that is not installed",
        {"spec": {"model": {"backend": "sglang", "name": "m"}}},
        64,
        ["spec.model.backend", "sglang", "pip install 'assay[sglang]'"],
    ),
    (
        "unknown backend argument",
        {
            "spec": {
                "model": {
                    "backend": "openai",
                    "name": MODEL,
                    "args": {"tempo": 1},
                    "endpoint": {"url": "http://127.0.0.1:9/v1"},
                }
            }
        },
        64,
        ["tempo"],
    ),
    ("missing data file", {"task": TASK.replace("colours.jsonl", "colors.jsonl")}, 64, ["colors.jsonl"]),
    ("missing split", {"task": TASK.replace("test_split: test", "test_split: exam")}, 64, ["exam", "test"]),
    (
        "template that names no column",
        {"task": TASK.replace("{{thing}}", "{{thingy}}").replace("{{ thing }}", "{{ thingy }}")},
        64,
        ["colours", "thingy"],
    ),
    ("template that is no Jinja", {"task": TASK.replace("{{ thing }}", "{{ thing ")}, 64, ["colours"]),
    ("missing function", {"task": TASK.replace("utils.score", "utils.scores")}, 64, ["utils", "scores"]),
    ("task code that does not compile", {"utils": "def score(:\n"}, 64, ["utils.py"]),
    ("unknown field of a task", {"task": TASK + "temprature: 1\n"}, 64, ["colours", "temprature"]),
    (
        "a task whose name would be a path",
        {
            "task": "group: both\ntask: [{task: a/b, include: base.yaml}]\n",
            "spec": {"tasks": [{"name": "both"}]},
            "base": TASK,
        },
        64,
        ["'a/b' cannot be a task's name"],
    ),
    ("task file that is no YAML", {"task": "task: [colours\n"}, 64, ["colours"]),
    ("empty dataset", {"rows": ""}, 64, ["no documents"]),
    ("duplicate ids", {"rows": '{"thing": "a", "colour": "red", "shelf": "s"}\n' * 2}, 64, ["id_key", "a"]),
    ("broken data line", {"rows": '{"thing": "a"\n'}, 64, ["colours.jsonl", "line 1"]),
    ("too many examples", {"spec": {"tasks": [{"name": "colours", "numFewshot": 200}]}}, 64, ["num_fewshot"]),
    ("unreachable endpoint", {"spec": model(endpoint={"url": "http://127.0.0.1:9/v1"})}, 1, ["http://127.0.0.1:9/v1"]),
    ("wrong key", {"key": "wrong"}, 64, ["OPENAI_API_KEY"]),
    ("unwritable store", {"store": "/proc/nowhere"}, 1, ["/proc/nowhere"]),
    ("store of an unknown kind", {"store": "gs://bucket/runs"}, 64, ["gs://bucket/runs", "s3://"]),
    (
        "missing model",
        {"spec": {"model": {"backend": "transformers", "name": "./no-such-model"}}},
        64,
        ["no-such-model"],
    ),
    ("no YAML", {"manifest": "spec: {tasks: [\n"}, 64, ["job.yaml"]),
    ("an empty manifest", {"manifest": ""}, 64, ["job.yaml"]),
    ("two manifests", {"manifest": "kind: EvalJob\n---\nkind: EvalJob\n"}, 64, ["job.yaml"]),
    ("another kind", {"top": {"kind": "Job"}}, 64, ["kind", "EvalJob"]),
    ("another version", {"top": {"apiVersion": "assay.dev/v9"}}, 64, ["apiVersion", "assay.dev/v1alpha1"]),
    ("a name that no object can have", {"top": {"metadata": {"name": "My_Job"}}}, 64, ["metadata.name"]),
    ("a model that is not served", {"spec": model(name="gpt", endpoint={"url": "ENDPOINT"})}, 64, ["gpt", MODEL]),
    ("no endpoint", {"spec": model()}, 64, ["spec.model", "endpoint"]),
    (
        "an endpoint for weights",
        {"spec": model(backend="transformers", endpoint={"url": "ENDPOINT"})},
        64,
        ["endpoint"],
    ),
    ("an address without a scheme", {"spec": model(endpoint={"url": "server:8000/v1"})}, 64, ["endpoint.url"]),
    ("a password in the address", {"spec": model(endpoint={"url": "http://u:pw@server/v1"})}, 64, ["endpoint.url"]),
    ("a query in the address", {"spec": model(endpoint={"url": "http://server/v1?key=1"})}, 64, ["endpoint.url"]),
    (
        "no request in flight",
        {"spec": model(endpoint={"url": "ENDPOINT", "maxConcurrency": 0})},
        64,
        ["maxConcurrency"],
    ),
    ("no time", {"spec": model(endpoint={"url": "ENDPOINT", "timeoutSeconds": -1})}, 64, ["timeoutSeconds"]),
    ("a key of two words", {"key": "two words"}, 64, ["apiKeySecretRef"]),
    (
        "a body field that the request decides",
        {"spec": model(endpoint={"url": "ENDPOINT"}, args={"extra_body": {"seed": 3}})},
        64,
        ["spec.model.args.extra_body", "seed"],
    ),
    ("an unknown API", {"spec": model(endpoint={"url": "ENDPOINT"}, args={"api": "talk"})}, 64, ["args.api", "chat"]),
    ("a limit of nothing", {"spec": {"tasks": [{"name": "colours", "limit": 0}]}}, 64, ["spec.tasks[0].limit"]),
    ("no repeat", {"spec": {"tasks": [{"name": "colours", "repeats": 0}]}}, 64, ["spec.tasks[0].repeats"]),
    ("a task twice", {"spec": {"tasks": [{"name": "colours"}, {"name": "colours"}]}}, 64, ["colours"]),
    (
        "an unknown setting of generation",
        {"spec": {"tasks": [{"name": "colours", "generation": {"max_tokens_new": 1}}]}},
        64,
        ["max_tokens_new"],
    ),
    (
        "a temperature below zero",
        {"spec": {"tasks": [{"name": "colours", "generation": {"temperature": -1}}]}},
        64,
        ["temperature"],
    ),
    ("chunks of nothing", {"spec": {"chunkSize": 0}}, 64, ["spec.chunkSize"]),
    ("an error rate above one", {"spec": {"errorPolicy": {"maxErrorRate": 2}}}, 64, ["maxErrorRate"]),
    (
        "a target that is no column",
        {
            "task": TASK.replace("doc_to_target: colour", "doc_to_target: color")
            .replace("process_results: !function utils.score\n", "")
            .replace("  - {metric: f1, aggregation: !function utils.lenient, higher_is_better: true}\n", "")
        },
        64,
        ["doc_to_target", "'color'", "colour"],
    ),
    ("a cluster that is no column", {"task": TASK.replace("shelf", "rack")}, 64, ["cluster_key", "rack"]),
    ("an id that is no column", {"task": TASK.replace("id_key: thing", "id_key: name")}, 64, ["id_key", "name"]),
    ("bytes that are no text", {"rows": '{"thing": "\udcff"}\n'}, 64, ["colours.jsonl"]),
    ("a filter that does not exist", {"task": TASK + _FILTER.format("shorten")}, 64, ["shorten", "regex"]),
    ("a pattern that is none", {"task": TASK + _FILTER.format("regex, regex_pattern: '('")}, 64, ["regex"]),
    ("a function without a module", {"task": TASK.replace("utils.score", "score")}, 64, ["score", "module"]),
    ("task code that ends the process", {"utils": "import os\nraise SystemExit(0)\n"}, 64, ["utils.py"]),
    (
        "documents that a function spoils",
        {
            "task": TASK + "process_docs: !function utils.spoil\n",
            "utils": UTILS + "\n\ndef spoil(docs):\n    return 5\n",
        },
        64,
        ["process_docs"],
    ),
    ("an include that includes itself", {"task": TASK + "include: colours.yaml\n"}, 64, ["colours.yaml"]),
    ("a picture that is not there", {"task": TASK + 'media: {image: "{{ thing }}.png"}\n'}, 64, ["thing 0.png"]),
    ("missing task source", {"spec": {"taskSources": [{"uri": "tusks"}]}}, 64, ["spec.taskSources[0].uri", "tusks"]),
]


@pytest.mark.parametrize(("changes", "code", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_bad_input_is_refused_with_one_sentence(attempt, changes, code, words):
    found, sentence = attempt(**changes)
    assert found == code, sentence
    for word in words:
        assert word in sentence, sentence
    assert "right" not in sentence.split() and "\n" not in sentence


def test_a_missing_manifest_is_named(assay):
    done = assay("run", "nowhere.yaml", check=64)
    assert done.stderr == (
        "assay: nowhere.yaml: the manifest cannot be read (no such file or directory); name an existing YAML file.\n"
    )


def test_an_address_that_is_no_run_is_named(assay, tmp_path):
    done = assay("reduce", str(tmp_path / "a" / "b" / "c"), check=64)
    assert "no run was planned here" in done.stderr


def test_a_function_that_raises_is_an_error_row_and_stops_nothing_else(attempt, tmp_path):
    raising = UTILS.replace(
        "    right =", "    if doc['thing'] == 'thing 3':\n        raise ValueError('odd thing')\n    right ="
    )
    code, sentence = attempt(utils=raising)
    assert code == 1 and "1 of 20 samples failed" in sentence and "maxErrorRate" in sentence
    code, _ = attempt(utils=raising, spec={"errorPolicy": {"maxErrorRate": 0.1}})
    assert code == 0
    results = json.loads(next((tmp_path / "store").rglob("results.json")).read_bytes())
    assert results["coverage"]["errors"] == 1 and results["coverage"]["scored"] == 19
