"""A gate that could not be judged is refused while the job is planned, with the field and the way out."""

import pytest

from assay_api.errors import SpecError
from assay_runner.compare.finished import open_finished
from assay_runner.plan.write import write_run
from assay_runner.store.base import StoreUnavailable
from assay_runner.work.setup import read_placement
from support.gated_runs import PLAIN, against

WER = PLAIN.replace("exact_match, aggregation: mean, higher_is_better: true", "wer, aggregation: wer")
FILTERED = PLAIN + (
    "filter_list:\n"
    "  - {name: strict, filter: [{function: take_first}]}\n"
    "  - {name: lenient, filter: [{function: lowercase}, {function: take_first}]}\n"
)
MINIMUM = {"name": "g", "task": "colours", "metric": "exact_match", "minimum": 0.5}


def test_the_plan_pins_the_baseline_by_content_and_the_placement_says_where_it_lies(lab):
    baseline = lab.run("baseline")
    run = lab.plan("candidate", gates=[against(baseline, "drop"), MINIMUM])
    drop, least = run.plan.gates
    summary = open_finished(baseline.uri).summary()
    assert (drop.baseline.plan, drop.baseline.results) == (summary.plan, summary.results)
    assert (drop.smallest_difference, drop.filter, drop.higher_is_better) == (0.05, "none", True)
    assert (least.minimum, least.baseline) == (0.5, None)
    assert read_placement(run.store).baselines == {"drop": baseline.uri}
    assert str(lab.folder).encode() not in run.plan.encode()


def test_other_gates_make_another_plan_and_the_same_ones_the_same(lab):
    one, same = lab.plan("one", gates=[MINIMUM]), lab.plan("same", gates=[MINIMUM])
    assert one.plan.digest == same.plan.digest != lab.plan("other", gates=[MINIMUM | {"minimum": 0.4}]).plan.digest


def test_a_relative_baseline_is_looked_for_from_the_manifest_s_folder(lab):
    lab.run("baseline")
    gate = MINIMUM | {"baseline": {"run": "../store/default/colours/baseline"}, "smallestDifference": 0.1}
    del gate["minimum"]
    assert lab.plan("candidate", gates=[gate]).plan.gates[0].baseline is not None


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        (
            {"task": "colors"},
            r"spec\.gates\[0\]\.task: the job has no task or group 'colors' with scores; it has colours",
        ),
        ({"metric": "acc"}, r"spec\.gates\[0\]\.metric: colours has no metric 'acc'; it has exact_match"),
        (
            {"filter": "strict"},
            r"spec\.gates\[0\]\.filter: colours has no exact_match behind the filter 'strict'; it has none",
        ),
        (
            {"minimum": None, "maximum": 0.5},
            r"spec\.gates\[0\]\.maximum: of exact_match higher is better; give minimum instead",
        ),
        (
            {"minimum": None, "baseline": {"evalJob": "base"}, "smallestDifference": 0.1},
            r"spec\.gates\[0\]\.baseline\.evalJob: EvalJobs are known to a cluster only; give the address of its run",
        ),
        (
            {"minimum": None, "baseline": {"run": "nowhere"}, "smallestDifference": 0.1},
            r"spec\.gates\[0\]\.baseline\.run: the baseline cannot be used: nowhere: this is no run",
        ),
        (
            {"minimum": None, "baseline": {"run": "s3://b/ns/job/id"}, "smallestDifference": 0.1},
            r"spec\.gates\[0\]\.baseline\.run: the baseline cannot be used: s3://b: 'b' is no name of a bucket",
        ),
        (
            {"minimum": None, "baseline": {"run": "file:///no/such/default/colours/r"}, "smallestDifference": 0.1},
            r"spec\.gates\[0\]\.baseline\.run: the baseline cannot be used: file:.*there is no plan",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_field(lab, gate, sentence):
    asked = {key: value for key, value in (MINIMUM | gate).items() if value is not None}
    with pytest.raises(SpecError, match=sentence):
        lab.plan("candidate", gates=[asked])


def test_of_a_metric_of_which_lower_is_better_a_maximum_is_asked(lab):
    assert lab.plan("a", task=WER, gates=[{**MINIMUM, "metric": "wer", "minimum": None, "maximum": 0.2}])
    with pytest.raises(SpecError, match=r"spec\.gates\[0\]\.minimum: of wer lower is better; give maximum instead"):
        lab.plan("b", task=WER, gates=[MINIMUM | {"metric": "wer"}])


def test_where_a_task_has_several_filters_one_is_to_be_named(lab):
    with pytest.raises(SpecError, match=r"gates\[0\]\.filter: .* behind several filters; name one of strict, lenient"):
        lab.plan("a", task=FILTERED, gates=[MINIMUM])
    assert lab.plan("b", task=FILTERED, gates=[MINIMUM | {"filter": "lenient"}]).plan.gates[0].filter == "lenient"


def test_of_a_task_with_repeats_the_figures_over_them_can_be_asked_for(lab):
    tasks = [{"name": "colours", "repeats": 4}]
    names = ["exact_match", "exact_match:avg@4", "exact_match:pass@2", "exact_match:majority@4"]
    gates = [MINIMUM | {"name": f"g{number}", "metric": name} for number, name in enumerate(names)]
    assert [gate.metric for gate in lab.plan("a", tasks=tasks, gates=gates).plan.gates] == names
    with pytest.raises(SpecError, match=r"no metric 'exact_match:pass@3'; it has exact_match, exact_match:avg@4"):
        lab.plan("b", tasks=tasks, gates=[MINIMUM | {"metric": "exact_match:pass@3"}])


def test_a_baseline_has_to_be_finished(lab):
    lab.plan("baseline")
    with pytest.raises(
        SpecError, match=r"gates\[0\]\.baseline\.run: the baseline cannot be used: .* has no results yet"
    ):
        lab.plan("candidate", gates=[against(lab.made["baseline"])])


def test_a_baseline_of_other_questions_is_refused_as_compare_refuses_it(lab):
    baseline = lab.run("baseline", documents=30)
    with pytest.raises(
        SpecError, match=r"measures something else than this job .*documents 30 against 60; task colours"
    ):
        lab.plan("candidate", gates=[against(baseline)])


def test_a_baseline_may_differ_in_tasks_that_no_gate_is_about(lab):
    """Only what is judged has to be the same."""
    baseline = lab.run("baseline")
    other = PLAIN.replace("task: colours", "task: others").replace("doc_to_target: colour", "doc_to_target: thing")
    folder = lab.folder / "candidate" / "tasks"
    folder.mkdir(parents=True)
    (folder / "others.yaml").write_text(other)
    run = lab.plan("candidate", tasks=[{"name": "others"}, {"name": "colours"}], gates=[against(baseline)])
    assert run.plan.gates[0].baseline is not None
    with pytest.raises(
        SpecError, match="the baseline has not run task others; name a run that has; this one has colours"
    ):
        lab.plan(
            "again",
            task=other,
            tasks=[{"name": "others"}],
            gates=[against(baseline, task="others")],
        )


def test_a_store_that_does_not_answer_is_no_mistake_in_the_manifest(lab, monkeypatch):
    baseline = lab.run("baseline")

    def away(address):
        raise StoreUnavailable("It does not answer.")

    monkeypatch.setattr("assay_runner.gates.plan.open_finished", away)
    with pytest.raises(StoreUnavailable):
        lab.plan("candidate", gates=[against(baseline)])


def test_a_plan_with_gates_is_written_again_as_it_is(lab):
    run = lab.plan("a", gates=[MINIMUM])
    assert write_run(run.store, run.plan, read_placement(run.store)).mode == "conditional"
