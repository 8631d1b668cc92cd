"""A reduced run is judged by its plan's gates; its numbers are safe whatever becomes of the baseline."""

import json
import shutil
from pathlib import Path

import pytest

from assay_api import layout
from assay_api.errors import Corrupt
from assay_api.verdicts import Gates, exit_code
from assay_runner.compare.compare import compare_runs
from assay_runner.compare.finished import open_finished
from assay_runner.reduce.verdicts import stored_gates
from assay_runner.store.base import StoreUnavailable
from support.gated_runs import PLAIN, Model, against
from support.runs import results_bytes

WORSE = Model(wrong=lambda number: number % 4 == 1)


def verdicts(run):
    return {one.name: one for one in stored_gates(run.store).verdicts}


def folder(run):
    return Path(run.uri.removeprefix("file://"))


def test_the_verdicts_are_those_of_the_comparison_of_the_two_runs(lab):
    baseline = lab.run("baseline")
    run = lab.run("worse", WORSE, gates=[against(baseline, "tight"), against(baseline, "loose", 0.9)])
    found = verdicts(run)
    (compared,) = compare_runs(open_finished(baseline.uri), open_finished(run.uri)).tasks[0].metrics
    tight = found["tight"]
    assert (tight.verdict, found["loose"].verdict) == ("failed", "passed")
    for name in ("difference", "ci_low", "ci_high", "p_value", "n", "clusters", "detectable", "method"):
        assert getattr(tight, name) == getattr(compared, name), name
    assert (tight.reference, tight.value) == (compared.value_a, compared.value_b)
    assert tight.baseline.results == open_finished(baseline.uri).summary().results
    assert "colours exact_match is worse than the baseline" in tight.message


def test_a_model_that_answers_the_same_passes(lab):
    baseline = lab.run("baseline")
    assert verdicts(lab.run("same", gates=[against(baseline)]))["g"].verdict == "passed"


def test_a_bound_needs_no_other_run(lab):
    gates = [
        {"name": f"at-{least}", "task": "colours", "metric": "exact_match", "minimum": least / 100}
        for least in (30, 80, 95)
    ]
    found = verdicts(lab.run("run", gates=gates))
    assert [one.verdict for one in found.values()] == ["passed", "cannot tell", "failed"]
    assert found["at-80"].needed > 60


def test_results_do_not_depend_on_what_the_verdicts_are(lab):
    """They name the plan, which holds the gates, and nothing else of them."""
    gates = [{"name": "g", "task": "colours", "metric": "exact_match", "minimum": 0.99}]
    run, free = lab.run("run", gates=gates), lab.run("free")
    one, other = (json.loads(one.store.get(layout.RESULTS)) for one in (run, free))
    assert one.pop("plan") == run.plan.digest != other.pop("plan")
    assert one == other
    gates = Gates.decode(run.store.get(layout.GATES), "gates.json")
    assert (gates.plan, gates.results) == (run.plan.digest, open_finished(run.uri).summary().results)
    assert stored_gates(free.store) is None


def test_a_group_is_judged_as_a_whole(lab):
    second = PLAIN.replace("task: colours", "task: shades").replace("the colour of", "the shade of")
    group = (
        "group: all\ntask: [colours, shades]\naggregate_metric_list: [{metric: exact_match, weight_by_size: true}]\n"
    )

    def run(name, model=None, **spec):
        tasks = lab.folder / name / "tasks"
        tasks.mkdir(parents=True)
        (tasks / "shades.yaml").write_text(second)
        (tasks / "all.yaml").write_text(group)
        return lab.run(name, model, tasks=[{"name": "all"}], **spec)

    baseline = run("baseline")
    gates = [
        against(baseline, "drop", task="all"),
        {"name": "least", "task": "all", "metric": "exact_match", "minimum": 0.1},
    ]
    found = verdicts(run("worse", WORSE, gates=gates))
    assert found["drop"].verdict == "failed" and found["least"].verdict == "passed"
    assert (found["drop"].method, found["drop"].n) == ("satterthwaite", 120)


def test_over_repeats_the_plain_name_means_the_average(lab):
    tasks = [{"name": "colours", "repeats": 2}]
    baseline = lab.run("baseline", tasks=tasks)
    gates = [
        against(baseline, "drop"),
        against(baseline, "pass", metric="exact_match:pass@2"),
        {"name": "least", "task": "colours", "metric": "exact_match", "minimum": 0.1},
    ]
    found = verdicts(lab.run("worse", WORSE, tasks=tasks, gates=gates))
    assert [one.verdict for one in found.values()] == ["failed", "failed", "passed"]


def test_samples_that_failed_in_one_run_are_left_out_and_told(lab):
    baseline = lab.run("baseline", Model(fails=lambda number: number < 3))
    found = verdicts(lab.run("run", gates=[against(baseline)]))["g"]
    assert (found.n, found.left_out) == (
        57,
        3,
    ) and "3 questions without a score in both runs are left out" in found.message
    assert any("3 samples failed in A" in note for note in found.notes)


def gone(baseline):
    shutil.rmtree(folder(baseline))


def redone(baseline):
    """Other answers, honestly reduced, in its place."""
    (folder(baseline) / layout.RESULTS).write_bytes(
        (folder(baseline) / layout.RESULTS)
        .read_bytes()
        .replace(b'"determinism":"exact"', b'"determinism":"best-effort"')
    )


def damaged(baseline):
    next((folder(baseline) / "chunks").rglob("*.jsonl.zst")).write_bytes(b"other records")


@pytest.mark.parametrize(
    ("harm", "words"),
    [(gone, "there is no plan"), (redone, "it was changed since"), (damaged, "jsonl.zst")],
)
def test_a_baseline_that_is_lost_or_changed_costs_its_verdict_and_nothing_else(lab, harm, words):
    baseline = lab.run("baseline")
    least = {"name": "least", "task": "colours", "metric": "exact_match", "minimum": 0.1}
    run = lab.plan("candidate", gates=[against(baseline), least])
    lab.work("candidate")
    harm(baseline)
    assert results_bytes(run)
    found = verdicts(run)
    assert (found["g"].verdict, found["least"].verdict) == ("cannot tell", "passed")
    assert found["g"].message.startswith("colours exact_match cannot be judged: ") and words in found["g"].message


def test_a_baseline_that_was_moved_is_found_where_the_placement_says(lab):
    baseline = lab.run("baseline")
    run = lab.plan("candidate", gates=[against(baseline)])
    lab.work("candidate")
    moved = folder(baseline).with_name("moved")
    shutil.move(folder(baseline), moved)
    placement = json.loads(run.store.get(layout.PLACEMENT))
    run.store.put(layout.PLACEMENT, json.dumps(placement | {"baselines": {"g": str(moved)}}).encode())
    results_bytes(run)
    assert verdicts(run)["g"].verdict == "passed"


def test_a_verdict_that_was_given_stays(lab):
    baseline = lab.run("baseline")
    run = lab.run("candidate", gates=[against(baseline)])
    given = run.store.get(layout.GATES)
    gone(baseline)
    results_bytes(run)
    assert run.store.get(layout.GATES) == given


def test_verdicts_about_other_results_are_refused(lab):
    gate = {"name": "g", "task": "colours", "metric": "exact_match", "minimum": 0.1}
    run = lab.run("run", gates=[gate])
    gates = stored_gates(run.store)
    run.store.put(layout.GATES, gates.model_copy(update={"results": "0" * 64}).encode())
    with pytest.raises(Corrupt, match=r"gates\.json judges other results than this run's"):
        results_bytes(run)


def test_a_store_that_does_not_answer_is_asked_again_by_the_next_reducer(lab, monkeypatch):
    baseline = lab.run("baseline")
    run = lab.plan("candidate", gates=[against(baseline)])
    lab.work("candidate")

    def away(address):
        raise StoreUnavailable("It does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr("assay_runner.gates.judge.open_finished", away)
        with pytest.raises(StoreUnavailable):
            results_bytes(run)
    assert run.store.get(layout.RESULTS) and stored_gates(run.store) is None
    results_bytes(run)
    assert verdicts(run)["g"].verdict == "passed"


def test_the_report_shows_the_verdicts(lab):
    gate = {"name": "least", "task": "colours", "metric": "exact_match", "minimum": 0.99}
    page = lab.run("run", gates=[gate]).store.get(layout.REPORT).decode()
    assert "colours exact_match is below 0.99" in page and 'href="#gates"' in page
    assert "#gates" not in lab.run("free").store.get(layout.REPORT).decode()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], 0),
        (["passed"], 0),
        (["passed", "cannot tell"], 4),
        (["cannot tell", "failed", "passed"], 3),
    ],
)
def test_a_failure_outranks_what_cannot_be_told(given, code):
    assert exit_code(given) == code
