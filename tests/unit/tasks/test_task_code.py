"""Modules of a task folder: found by their siblings at any time, and by nobody else."""

import importlib
import random
import sys
import threading

import numpy
import pytest

from assay_api.errors import SpecError
from assay_runner.tasks.errors import TaskError
from assay_runner.tasks.functions import TaskCode
from assay_runner.tasks.generation import generation_of


@pytest.fixture
def code(tmp_path):
    def write(name="mine", **files):
        folder = tmp_path / name
        for file, text in files.items():
            path = folder / f"{file}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return TaskCode(folder)

    return write


def call(code, name, *arguments, seed=0):
    return code.call("hook", code.find(name), arguments, seed)


def test_a_function_may_import_its_sibling_late_and_again(code):
    mine = code(
        utils="def f():\n    from helpers import x\n    import helpers\n    return x + helpers.x\n", helpers="x = 2\n"
    )
    yours = code("yours", utils="def f():\n    import helpers\n    return helpers.x\n", helpers="x = 5\n")
    assert [call(mine, "utils.f"), call(yours, "utils.f"), call(mine, "utils.f")] == [4, 5, 4]


@pytest.mark.parametrize("init", ["__init__", "other"], ids=["package", "folder"])
def test_packages_and_plain_folders_with_modules_are_found(code, init):
    mine = code(
        utils="import parts.deep as deep\nfrom parts import deep as again\ndef f(): return deep.x, again is deep\n",
        **{"parts/deep": "x = 3\n", f"parts/{init}": ""},
    )
    assert call(mine, "utils.f") == (3, True)
    assert not [name for name in sys.modules if name.partition(".")[0] in ("utils", "parts", "deep")]


def test_a_module_that_fails_late_fails_again_the_next_time(code):
    mine = code(utils="def f():\n    import helpers\n    return helpers.x\n", helpers="raise ValueError('no data')\n")
    for _ in range(2):
        with pytest.raises(TaskError, match=r"hook raised ValueError: no data \(in helpers.py, line 1\)"):
            call(mine, "utils.f")


def test_asking_whether_a_sibling_exists_does_not_make_an_empty_one(code):
    ask = "importlib.util.find_spec('helpers')"
    text = f"import importlib.util\ndef f():\n    {ask}\n    import helpers\n    return helpers.x\n"
    mine = code(utils=text, helpers="x = 1\n")
    assert [call(mine, "utils.f"), call(mine, "utils.f")] == [1, 1]


def test_an_installed_package_of_the_same_name_is_hidden_from_the_task_and_back_afterwards(code, tmp_path, monkeypatch):
    installed = tmp_path / "site" / "helpers"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("x = 'installed'\n")
    (installed / "deep.py").write_text("x = 'installed'\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    theirs, deep = importlib.import_module("helpers"), importlib.import_module("helpers.deep")
    try:
        mine = code(
            **{
                "utils": "import helpers.deep\ndef f(): return helpers.x, helpers.deep.x\n",
                "helpers/__init__": "x = 'mine'\n",
                "helpers/deep": "x = 'mine'\n",
            }
        )
        assert call(mine, "utils.f") == ("mine", "mine")
        assert sys.modules["helpers"] is theirs and sys.modules["helpers.deep"] is deep
    finally:
        for name in ("helpers", "helpers.deep"):
            sys.modules.pop(name, None)


def test_a_file_called_like_the_standard_library_does_not_stand_in_for_it(code):
    mine = code(utils="import json\ndef f(): return json.dumps([1])\n", json="raise SystemExit\n")
    assert call(mine, "utils.f") == "[1]"


def test_a_function_may_come_from_what_is_installed(code):
    assert call(code(utils=""), "math.sqrt", 4) == 2.0


@pytest.mark.parametrize(
    "statement", ["raise SystemExit(3)", "raise KeyboardInterrupt", "raise GeneratorExit", "1 / 0"]
)
def test_nothing_that_task_code_raises_gets_through(code, statement):
    mine = code(utils=f"def f():\n    {statement}\n")
    caught = []

    def work():
        try:
            call(mine, "utils.f")
        except TaskError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1 and "(in utils.py, line 2)" in str(caught[0])


def test_ctrl_c_in_the_main_thread_stays_ctrl_c(code):
    with pytest.raises(KeyboardInterrupt):
        call(code(utils="def f(): raise KeyboardInterrupt\n"), "utils.f")


def test_generators_of_random_numbers_are_given_back_as_they_were(code):
    mine = code(utils="import random, numpy\ndef f(): return random.random(), numpy.random.rand()\n")
    random.seed(1)
    numpy.random.seed(1)
    before = random.getstate(), numpy.random.get_state()[1].tolist()
    assert call(mine, "utils.f", seed=7) == call(mine, "utils.f", seed=7) != call(mine, "utils.f", seed=8)
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before


def test_what_a_module_draws_while_it_is_loaded_is_the_same_each_time(code):
    text = "import random\norder = random.sample(range(100), 5)\ndef f(): return order\n"
    assert call(code(utils=text), "utils.f") == call(code("again", utils=text), "utils.f")


def test_a_long_message_is_cut(code):
    with pytest.raises(TaskError) as caught:
        call(code(utils="def f(): raise ValueError('x' * 100000)\n"), "utils.f")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("name", "words"),
    [("f", "names no module"), ("utils.g", "has no g; it has f"), ("absent.f", "No module named 'absent'")],
)
def test_a_function_that_is_not_there_is_named(code, name, words):
    with pytest.raises(SpecError, match=words):
        code(utils="def f(): pass\n").find(name)


def test_settings_that_a_function_changes_are_whole_for_the_next_document(tasks):
    task = tasks.task(
        "doc_to_text: !function utils.ask\nlmms_eval_specific_kwargs: {default: {post_prompt: [a, b]}}\n",
        "def ask(doc, kwargs): return kwargs['post_prompt'].pop()\n",
    )
    asked = [task.build(number, {}, [])[0].prompt[0]["content"][0]["text"] for number in range(3)]
    assert asked == ["b", "b", "b"]


def test_documents_from_a_generator_are_made_while_the_code_is_there(tasks):
    task = tasks.task(
        'doc_to_text: "{{q}}"\nprocess_docs: !function utils.each\n',
        "def each(dataset):\n    for row in dataset:\n        import utils\n        yield utils.changed(row)\n"
        "def changed(row): return {'q': row['q'] * 2}\n",
    )
    assert task.process_docs([{"q": "a"}]) == [{"q": "aa"}]


def test_repeats_draw_their_own_numbers(tasks, answered):
    task = tasks.task(
        'doc_to_text: "q?"\nprocess_results: !function utils.luck\nmetric_list: [{metric: luck}]\n',
        "import random\ndef luck(doc, results): return {'luck': random.random()}\n",
        repeats=3,
    )
    drawn = [record.items["luck"] for record in answered(task, {"q": 1}, "a", "b", "c")]
    assert len(set(drawn)) == 3 and drawn == [one.items["luck"] for one in answered(task, {"q": 1}, "a", "b", "c")]


@pytest.mark.parametrize("field", ["doc_to_text: qestion\n", 'doc_to_text: "q?"\ndoc_to_target: anwser\n'])
def test_a_single_word_that_is_no_column_is_a_slip_and_not_a_text(tasks, field):
    with pytest.raises(TaskError, match=r"names the column '(qestion|anwser)'; the document has question, answer"):
        tasks.task(field).build(0, {"question": "?", "answer": "!"}, [])


def test_a_mounted_config_map_shows_every_file_once(tasks, tmp_path):
    real = tmp_path / "mounted" / "..2024_01_01"
    real.mkdir(parents=True)
    (real / "a.yaml").write_text("task: a\ndataset_path: x\ndoc_to_text: !function utils.f\n")
    (real / "utils.py").write_text("def f(doc): return 'q'\n")
    (tmp_path / "mounted" / "..data").symlink_to(real.name)
    for name in ("a.yaml", "utils.py"):
        (tmp_path / "mounted" / name).symlink_to(f"..data/{name}")
    assert tasks.load("a", [tmp_path / "mounted"]).build(0, {}, [])[0].prompt[0]["content"][0]["text"] == "q"


def test_columns_may_have_any_name_and_replacements_a_count(tasks):
    task = tasks.task("doc_to_text: \"{{ items }} {{ x | regex_replace('a', 'b', 1) }}\"\n")
    (sample,) = task.build(0, {"self": 1, "items": 2, "x": "aa", "not a name": 3}, [])
    assert sample.requests[0].prompt == "2 ba"


@pytest.mark.parametrize(
    "template",
    [
        "{{ x.__class__.__mro__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ y.append(1) }}",
        "{% include 'utils.py' %}",
        "{{ range(10**9) | list }}",
    ],
)
def test_a_template_stays_in_its_sandbox(tasks, template):
    with pytest.raises(TaskError):
        tasks.task(f'doc_to_text: "{template}"\n').build(0, {"x": "a", "y": [1]}, [])


def test_null_takes_back_what_was_included_and_numbers_may_be_names(tasks):
    folder = tasks.folder(
        base_yaml="dataset_path: json\ndataset_name: 2024\ndescription: about\ndoc_to_text: '?'\nrepeats: 3\n",
        t_yaml="include: base.yaml\ntask: t\ndescription: null\nrepeats: null\n",
    )
    config = tasks.catalogue(folder).resolve(["t"]).tasks[0].config
    assert (config.dataset_name, config.description, config.repeats) == ("2024", "", 1)


def test_the_manifests_settings_win_over_those_for_the_model(tasks):
    folder = tasks.folder(
        t_yaml="task: t\ndataset_path: json\ndoc_to_text: '?'\n"
        "model_specific_generation_kwargs: {m: {max_gen_toks: 9, top_p: 0.5}}\n"
    )
    config = tasks.catalogue(folder).resolve(["t"]).tasks[0].config
    changed = config.with_overrides(num_fewshot=None, repeats=None, generation={"max_new_tokens": 4})
    assert (generation_of(changed, "m").max_new_tokens, generation_of(changed, "m").top_p) == (4, 0.5)
    assert generation_of(config, "m").max_new_tokens == 9
