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
        *, task=TASK, utils=UTILS, rows=None, spec=None, key="right", store=None, command="run", env=None, base=None
    ):
        folder = write_task(tmp_path / "tasks", documents=20, task=task, utils=utils)
        if base is not None:
            (folder / "base.yaml").write_text(base)
        if rows is not None:
            (folder / "colours.jsonl").write_text(rows)
        defaults = {
            "model": {"backend": "openai", "name": MODEL, "endpoint": {"url": endpoint.url}},
            "tasks": [{"name": "colours"}],
            "taskSources": [{"uri": "tasks"}],
        }
        manifest = {"apiVersion": "assay.dev/v1alpha1", "kind": "EvalJob", "metadata": {"name": "bad"}}
        (tmp_path / "job.yaml").write_text(json.dumps(manifest | {"spec": defaults | (spec or {})}))
        where = store or str(tmp_path / "store")
        done = assay(command, "job.yaml", "--store", where, env={"OPENAI_API_KEY": key} | (env or {}))
        lines = [line for line in done.stderr.strip().splitlines() if line.startswith("assay: ")]
        assert "Traceback" not in done.stderr, done.stderr
        assert not list((tmp_path / "store").rglob("results.json")) or done.returncode == 0
        return done.returncode, lines[-1] if lines else done.stderr

    return run


def model(**changes):
    return {"model": {"backend": "openai", "name": MODEL} | changes}


ROWS = [
    ("unknown field", {"spec": {"replica": 2}}, 64, ["job.yaml: spec.replica:", "no such field", "replicas"]),
    ("wrong type", {"spec": {"seed": "tuesday"}}, 64, ["spec.seed", "'tuesday'", "valid integer"]),
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
    ("backend of a later version", {"spec": {"model": {"backend": "vllm", "name": "m"}}}, 64, ["vllm", "transformers"]),
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
