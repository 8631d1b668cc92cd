"""Task code written for lmms-eval finds its helpers; nobody else does."""

import importlib
import importlib.util
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from assay_api.errors import SpecError
from assay_runner.tasks import compat
from assay_runner.tasks.compat.filters import ExtendedRegexFilter, MultiChoiceRegexFilter, WhitespaceFilter
from assay_runner.tasks.compat.texts import anls, extract_mcq_answer
from assay_runner.tasks.compat.vqa import EvalAIAnswerProcessor
from assay_runner.tasks.functions import TaskCode

EVERYTHING = """
import lmms_eval.tasks
from loguru import logger as eval_logger
from lmms_eval.utils import eval_logger as other, sanitize_model_name
from lmms_eval.api.filter import Filter
from lmms_eval.api.metrics import anls, levenshtein_distance
from lmms_eval.filters import Filter as Again
from lmms_eval.filters.extraction import ExtendedRegexFilter, MultiChoiceRegexFilter, RegexFilter
from lmms_eval.filters.selection import MajorityVoteFilter, TakeFirstFilter, TakeKFilter
from lmms_eval.filters.transformation import LowercaseFilter, MapFilter, UppercaseFilter
from lmms_eval.tasks._task_utils.default_template_yaml import load_default_template_yaml
from lmms_eval.tasks._task_utils.file_utils import generate_submission_file
from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer
from lmms_eval.tasks._task_utils.vqa_eval_metric import EvalAIAnswerProcessor
import lmms_eval.tasks._task_utils.file_utils as file_utils


def works(doc):
    eval_logger.info("document {} of {}", 1, 2)
    other.opt(lazy=True).debug("with a { alone")
    from lmms_eval.tasks._task_utils.file_utils import generate_submission_file as later
    return sanitize_model_name("org/model"), levenshtein_distance("ab", "b"), later is generate_submission_file


class Mine(ExtendedRegexFilter):
    def apply(self, resps, docs):
        return [[self.find_match(self.regex, answer) for answer in answers] for answers in resps]
"""


@pytest.fixture
def code(tmp_path):
    def write(**files):
        folder = tmp_path / "0"
        for name, text in files.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return TaskCode(folder)

    return write


def test_task_code_finds_the_helpers_also_when_it_imports_them_late(code):
    mine = code(utils=EVERYTHING)
    assert mine.call("hook", mine.find("utils.works"), [{}], 0) == ("model", 1, True)


def test_a_filter_of_the_tasks_own_may_derive_from_upstreams(code):
    mine = code(utils=EVERYTHING)
    made = mine.find("utils.Mine")(regex_pattern=r"\d", group_select=-1)
    assert made.apply([["a 1 b 2"], ["none"]], [{}, {}]) == [["2"], [[]]]


def test_nothing_of_it_is_left_for_others(code):
    before = set(sys.modules)
    mine = code(utils=EVERYTHING)
    mine.call("hook", mine.find("utils.works"), [{}], 0)
    left = {name for name in set(sys.modules) - before if not name.startswith("assay_runner.")}
    assert not {name for name in left if name.partition(".")[0] in ("lmms_eval", "loguru", "utils")}
    assert importlib.util.find_spec("lmms_eval") is None
    with pytest.raises(ImportError):
        importlib.import_module("lmms_eval.utils")


def test_an_installed_lmms_eval_is_not_replaced(code, tmp_path, monkeypatch):
    installed = tmp_path / "site" / "lmms_eval"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("WHO = 'the real one'\n")
    (installed / "utils.py").write_text("eval_logger = 'real'\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    compat.served.cache_clear()
    try:
        mine = code(
            utils="import lmms_eval\nfrom lmms_eval.utils import eval_logger\ndef who(): return lmms_eval.WHO, eval_logger\n"
        )
        assert mine.find("utils.who")() == ("the real one", "real")
        assert "lmms_eval" in sys.modules
    finally:
        compat.served.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "lmms_eval"]:
            del sys.modules[name]


def test_the_folder_is_found_under_upstreams_path_whatever_it_is_called_here(code):
    mine = code(
        utils="from lmms_eval.tasks.mmmu.helpers import x\nimport lmms_eval.tasks.mmmu.helpers as h\ndef f(): return x, h.x\n",
        helpers="x = 7\n",
    )
    assert mine.find("utils.f")() == (7, 7)
    assert mine.find("lmms_eval.tasks.mmmu.utils.f")() == (7, 7)


def test_relative_imports_work_below_upstreams_path(code):
    mine = code(utils="from .helpers import x\ndef f(): return x\n", helpers="x = 7\n")
    assert mine.find("lmms_eval.tasks.mmmu.utils.f")() == 7


def test_what_is_not_stood_in_for_is_named(code):
    mine = code(utils="from lmms_eval.llm_judge import get_server\n")
    with pytest.raises(SpecError, match=r"No module named 'lmms_eval.llm_judge'"):
        mine.find("utils.f")


def test_every_name_in_the_table_exists():
    for names in compat._MODULES.values():
        for name, source in names.items():
            assert hasattr(importlib.import_module(f"assay_runner.tasks.compat.{source}"), name)


def test_submission_files_lie_below_the_output_path(code, tmp_path):
    mine = code(utils=EVERYTHING)
    made = mine.find("utils.generate_submission_file")("x.json", Namespace(output_path=str(tmp_path)))
    assert Path(made) == tmp_path / "submissions" / "x.json" and Path(made).parent.is_dir()


def test_the_default_template_is_read_without_its_functions(code, tmp_path):
    mine = code(utils=EVERYTHING)
    (tmp_path / "0" / "_default_template_yaml").write_text("dataset_path: x\ndoc_to_text: !function utils.f\n")
    assert mine.find("utils.load_default_template_yaml")(str(tmp_path / "0" / "utils.py")) == {"dataset_path": "x"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(c)", "C"),
        ("**D.** because", "D"),
        ("The answer is B.", "B"),
        ("I first thought the answer is A, but the correct option is (C)", "C"),
        ("so it is \\boxed{A}", "A"),
        ("<answer>B</answer> and not C", "B"),
        ("A dog is shown.", ""),
        ("it must be (B), I think", "B"),
        ("either (A) or (B)", ""),
        ("Answer: Z", ""),
        ("", ""),
    ],
)
def test_the_letter_that_an_answer_chooses(answer, letter):
    assert extract_mcq_answer(answer, ["A", "B", "C", "D"]) == letter


def test_answers_are_normalised_as_the_vqa_challenge_does():
    normal = EvalAIAnswerProcessor()
    assert normal("The two Dogs!") == "2 dogs"
    assert normal("dont") == "don't" and normal("couldntve") == "couldntve" and normal("couldnt've") == "couldn't've"
    assert normal("1,000") == "1000" and normal("a/b") == "b" and normal("3.5 m.") == "3.5 m"


def test_similarity_of_answers():
    assert anls(["hello"], ["helo"])["anls"] == pytest.approx(0.8)
    assert anls(["hello"], ["x"])["anls"] == 0.0


def test_filters_have_upstreams_semantics():
    letters = MultiChoiceRegexFilter(regex_pattern=r"\(([A-D])\)", ignore_case=True)
    assert letters.apply([["it is (B)"], ["a Cat"]], [{"choices": ["cat", "dog"]}] * 2) == [["B"], ["(A)"]]
    assert WhitespaceFilter().apply([["  two"]], [{}]) == [[" two"]]
    assert ExtendedRegexFilter(ignore_punctuation=True, regexes_to_ignore=["x"]).filter_ignores("a+x.b!") == "a+b"


def test_a_task_with_a_derived_filter_is_scored_through_it(tasks, answered):
    task = tasks.task(
        'doc_to_text: "?"\ndoc_to_target: answer\n'
        "filter_list: [{name: mine, filter: [{function: !function utils.Letter, group_select: 0, ignore_case: true}]}]\n",
        "class Letter(__import__('lmms_eval.filters.extraction', fromlist=['x']).ExtendedRegexFilter):\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        from lmms_eval.filters.extraction import RegexFilter\n"
        "        super().__init__(*args, **kwargs)\n"
        "    def apply(self, resps, docs):\n"
        "        return [self.filter_ignores(answers[0])[0] + doc['end'] for answers, doc in zip(resps, docs)]\n",
    )
    (record,) = answered(task, {"answer": "b!", "end": "!"}, "Blue")
    assert record.items == {"exact_match,mine": 1.0} and record.filtered == {"mine": "b!"}
