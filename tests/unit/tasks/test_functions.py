"""A task's Python: what it raises is one document's error, and no call can touch another's result."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_api.errors import SpecError
from assay_runner.tasks.task import TaskError

TEXT = "doc_to_text: !function utils.ask\n"


def asked(task, doc, number=0):
    (sample,) = task.build(number, doc, [])
    return sample.prompt[-1]["content"][-1]["text"]


@pytest.mark.parametrize("line", ["raise ValueError('odd')", "import sys; sys.exit(3)", "exit()", "1 / 0"])
def test_what_a_function_raises_is_the_documents_error(tasks, line):
    task = tasks.task(TEXT, f"def ask(doc):\n    {line}\n")
    with pytest.raises(TaskError, match="doc_to_text raised") as error:
        task.build(0, {"q": "?"}, [])
    assert error.value.kind == "TaskError"


def test_a_keyboard_interrupt_raised_by_a_task_outside_of_the_main_thread_is_its_error(tasks):
    task = tasks.task(TEXT, "def ask(doc):\n    raise KeyboardInterrupt\n")
    caught = []

    def build():
        try:
            task.build(0, {"q": "?"}, [])
        except TaskError as error:
            caught.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_a_function_that_changes_its_document_changes_nobody_elses(tasks, answered):
    utils = (
        "def ask(doc):\n    doc['deep']['list'].append('!')\n    return doc['deep']['list'][0] + str(len(doc['deep']['list']))\n"
        "def score(doc, results):\n    doc['answer'] = doc.pop('deep')\n    return {'exact_match': len(doc['answer']['list'])}\n"
    )
    task = tasks.task(TEXT + "process_results: !function utils.score\n", utils, repeats=2)
    doc = {"deep": {"list": ["a"]}, "answer": 1}
    first, second = answered(task, doc, "x", "y")
    assert asked_all(task, doc) == {"a2"} and doc == {"deep": {"list": ["a"]}, "answer": 1}
    assert first.items == second.items == {"exact_match": 1}


def asked_all(task, doc):
    return {sample.prompt[-1]["content"][-1]["text"] for sample in task.build(0, doc, [])}


RANDOM = (
    "import random\n"
    "def ask(doc):\n    import numpy\n    return f'{random.random()} {numpy.random.rand()}'\n"
    "def score(doc, results):\n    return {'exact_match': random.random()}\n"
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)))
def test_random_choices_of_a_task_do_not_depend_on_the_order_of_documents(tasks, answered, order):
    task = tasks.task(TEXT + "process_results: !function utils.score\n", RANDOM)
    docs = [{"q": str(number)} for number in range(6)]

    def drawn(place):
        [record] = answered(task, docs[place], "x", number=place)
        return asked(task, docs[place], place), record.model_dump(exclude={"usage"})

    straight = [drawn(place) for place in range(6)]
    mixed = {place: drawn(place) for place in order}
    assert straight == [mixed[place] for place in range(6)]
    assert len({text for text, _ in straight}) == 6


def test_another_seed_draws_other_numbers(tasks):
    assert asked(tasks.task(TEXT, RANDOM), {}) != asked(tasks.task(TEXT, RANDOM, seed=1), {})


def test_two_tasks_may_both_have_a_utils_with_a_sibling_of_the_same_name(tasks):
    made = []
    for name in ("one", "two"):
        folder = tasks.folder(name=f"folder-{name}", helper_py=f"WORD = {name!r}\n")
        (folder / "package").mkdir()
        (folder / "package" / "__init__.py").write_text(f"INNER = {name.upper()!r}\n")
        utils = (
            "from helper import WORD\nfrom package import INNER\n"
            "def ask(doc):\n    import helper\n    return WORD + INNER + helper.WORD\n"
        )
        made.append(tasks.task(TEXT, utils, name=name))
    assert [asked(task, {}) for task in made] == ["oneONEone", "twoTWOtwo"]
    assert [asked(task, {}) for task in reversed(made)] == ["twoTWOtwo", "oneONEone"]
    with pytest.raises(ImportError):
        __import__("helper")


def test_a_task_may_import_its_own_folder_as_upstream_names_it(tasks):
    tasks.folder(name="folder-t", helper_py="WORD = 'own'\n")
    utils = "from lmms_eval.tasks.whatever.helper import WORD\ndef ask(doc):\n    return WORD\n"
    assert asked(tasks.task(TEXT, utils), {}) == "own"


def test_functions_of_included_files_come_from_their_own_folders(tasks):
    tasks.folder(
        name="common",
        base_yaml="doc_to_target: !function utils.target\n",
        utils_py="def target(doc):\n    return 'common'\n",
    )
    task = tasks.task("include: ../common/base.yaml\n" + TEXT, "def ask(doc):\n    return 'mine'\n")
    (sample,) = task.build(0, {}, [])
    assert (sample.target, asked(task, {})) == ("common", "mine")


def test_a_modules_state_is_loaded_once_for_all_hooks_and_afresh_for_an_aggregation(tasks, answered):
    utils = (
        "SEEN = []\ndef ask(doc):\n    return 'q'\n"
        "def score(doc, results):\n    return {'m': 1}\n"
        "def total(items):\n    SEEN.extend(items)\n    return float(len(SEEN))\n"
    )
    more = "process_results: !function utils.score\nmetric_list: [{metric: m, aggregation: !function utils.total}]\n"
    (spec,) = tasks.task(TEXT + more, utils).metrics
    assert [spec.aggregation([1, 1, 1]), spec.aggregation([1, 1, 1])] == [3.0, 3.0]


def test_an_aggregation_that_wants_args_gets_what_upstream_reads_of_them(tasks):
    utils = (
        "import os\ndef ask(doc):\n    return 'q'\ndef score(doc, results):\n    return {'m': 1}\n"
        "def total(results, args):\n    open(os.path.join(args.output_path, 'x'), 'w').close()\n"
        "    return float(len(args.tasks))\n"
    )
    more = "process_results: !function utils.score\nmetric_list: [{metric: m, aggregation: !function utils.total}]\n"
    (spec,) = tasks.task(TEXT + more, utils).metrics
    assert spec.aggregation([1]) == 1.0 and not spec.pure


@pytest.mark.parametrize(
    ("utils", "words"),
    [
        ("def other(doc): pass\n", ["utils", "ask", "other"]),
        ("def ask(:\n", ["utils.py"]),
        ("import no_such_module_anywhere\n", ["utils.py", "no_such_module_anywhere"]),
        ("raise SystemExit(1)\n", ["utils.py"]),
    ],
)
def test_python_that_cannot_be_loaded_is_refused_with_its_name(tasks, utils, words):
    with pytest.raises(SpecError) as error:
        tasks.task(TEXT, utils)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("doc", "-"),
        ("doc, lmms_eval_specific_kwargs", "pre"),
        ("doc, kwargs=None", "pre"),
        ("doc, *rest", "pre"),
    ],
)
def test_settings_of_a_model_are_passed_by_position_to_functions_that_take_them(tasks, signature, expected):
    second = signature.partition(", ")[2].partition("=")[0]
    value = f"{second}['pre_prompt']" if second and "*" not in second else "rest[0]['pre_prompt']" if second else "'-'"
    options = "lmms_eval_specific_kwargs: {default: {pre_prompt: pre, other: 1}, special: {pre_prompt: theirs}}\n"
    utils = f"def ask({signature}):\n    return {value}\n"
    assert asked(tasks.task(TEXT + options, utils), {}) == expected
    if second:
        assert asked(tasks.task(TEXT + options, utils, model="org/special"), {}) == "theirs"


def test_a_task_file_that_is_called_like_a_module_of_python_is_refused_and_not_passed_over(tmp_path):
    from assay_runner.tasks.functions import TaskCode

    (tmp_path / "statistics.py").write_text("def mean(items):\n    return 0.0\n")
    (tmp_path / "utils.py").write_text("from statistics import mean\n")
    with pytest.raises(SpecError, match=r"statistics is called like a module of Python itself.*another name"):
        TaskCode(tmp_path).find("statistics.mean")
    assert TaskCode(tmp_path).find("utils.mean")([1, 3]) == 2
