"""What a task's Python keeps at module level for one document never reaches another."""

import random
from types import ModuleType

import numpy as np
import pytest

from assay_runner.tasks.functions import TaskCode, generators_kept
from assay_runner.tasks.module_state import ModuleState, size_of_plain

CODE = """
import random
from collections import Counter, defaultdict, deque
import numpy as np

COUNT = 0
SEEN = []
NESTED = {"a": [1, 2]}
NAMES = {"x"}
LAST = deque([1])
VOTES = Counter(a=1)
BY_KEY = defaultdict(list)
DICE = random.Random(7)
NUMPY = np.random.default_rng(7)
OLD = np.random.RandomState(7)
MODEL = None
CACHE = {}


def meddle(doc, keep=SEEN):
    global COUNT, NESTED, FRESH
    COUNT += 1
    keep.append(doc)
    NESTED["a"].append(doc)
    NAMES.add(doc)
    LAST.append(doc)
    VOTES[doc] += 1
    BY_KEY[doc].append(doc)
    FRESH = doc
    drawn = (DICE.random(), float(NUMPY.random()), float(OLD.rand()))
    return COUNT, list(keep), repr(NESTED), sorted(NAMES), list(LAST), dict(VOTES), dict(BY_KEY), drawn


def fresh(doc):
    return "FRESH" in globals()


def rebinds(doc):
    global NESTED
    before = repr(NESTED)
    NESTED = {"b": doc}
    return before


def loads_a_model(doc):
    global MODEL
    first = MODEL is None
    MODEL = object()
    CACHE["model"] = MODEL
    return first
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "utils.py").write_text(CODE)
    return TaskCode(tmp_path)


def call(code, name, doc):
    return code.call(name, code.find(f"utils.{name}"), [doc], 1)


def test_no_call_sees_what_an_earlier_one_left_in_a_module(code):
    alone = call(code, "meddle", "x")
    for other in ("p", "q"):
        call(code, "meddle", other)
    assert call(code, "meddle", "x") == alone


def test_variables_that_a_call_makes_or_rebinds_are_undone(code):
    call(code, "meddle", "x")
    assert call(code, "fresh", "x") is False
    assert call(code, "rebinds", "x") == call(code, "rebinds", "y") == "{'a': [1, 2]}"


def test_a_resource_that_a_task_loads_is_kept(code):
    assert call(code, "loads_a_model", "x") is True
    assert call(code, "loads_a_model", "y") is False


def test_a_call_that_raises_leaves_nothing_behind_either(tmp_path):
    (tmp_path / "utils.py").write_text(
        "SEEN = []\n\n\ndef look(doc):\n    SEEN.append(doc)\n    return 1 / len(SEEN[1:])\n"
    )
    code = TaskCode(tmp_path)
    for _ in range(3):
        with pytest.raises(Exception, match="ZeroDivisionError"):
            call(code, "look", "x")


def test_large_tables_are_not_copied_and_plainness_is_seen_through():
    module = ModuleType("m")
    module.TABLE = dict.fromkeys(range(10_000))
    state = ModuleState()
    state.watch([module])
    module.TABLE["new"] = 1
    state.restore()
    assert "new" in module.TABLE
    assert size_of_plain({"a": [1, (2, {3})]}) == 8
    assert size_of_plain([object()]) is None and size_of_plain(np.zeros(3)) is None
    loop = []
    loop.append(loop)
    assert size_of_plain(loop) is None and size_of_plain(random.Random(1)) is None


def test_calls_in_a_row_share_nothing_either_not_even_through_a_module_that_the_first_one_imports(tmp_path):
    (tmp_path / "utils.py").write_text(
        "import random\n\n\ndef look(doc):\n    import late\n    late.SEEN.append(doc)\n    return late.SEEN, random.random()\n"
    )
    (tmp_path / "late.py").write_text("SEEN = []\n")
    single = TaskCode(tmp_path)
    one_by_one = [repr(call(single, "look", doc)) for doc in "abc"]
    row = TaskCode(tmp_path)
    state = random.getstate()
    with generators_kept(), row.active():
        in_a_row = [repr(call(row, "look", doc)) for doc in "abc"]
    assert in_a_row[1:] == one_by_one[1:]
    assert random.getstate() == state
