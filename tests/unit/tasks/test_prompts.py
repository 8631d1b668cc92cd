"""What a model is asked: messages and raw text, examples, settings, and what is refused about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_api.errors import SpecError
from assay_runner.backends.base import Generation, Text
from assay_runner.media import Media, from_bytes
from assay_runner.tasks import fewshot
from assay_runner.tasks.task import TaskError
from support.documents import png

# The shape of a task folder of lmms-eval.
UPSTREAM = """
output_type: generate_until
doc_to_visual: !function utils.vis
doc_to_text: !function utils.txt
doc_to_target: "answer"
doc_to_messages: !function utils.msgs
process_results: !function utils.proc
generation_kwargs:
  max_new_tokens: 8
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact
    aggregation: mean
    higher_is_better: true
"""
UPSTREAM_UTILS = """
def vis(doc): return [doc["image"].convert("RGB")]
def txt(doc, k=None): return doc["question"]+" Answer with one word."
def msgs(doc, k=None):
    return [{"role":"user","content":[{"type":"image","url":doc["image"].convert("RGB")},{"type":"text","text":txt(doc)}]}]
def proc(doc, res):
    return {"exact": float(res[0].strip().lower()==doc["answer"])}
"""


def texts(messages):
    return [(turn.role, "".join(part.text for part in turn.parts if isinstance(part, Text))) for turn in messages]


def request(task, doc, examples=(), number=0):
    return task.build(number, doc, list(examples))[0].requests[0]


def test_an_lmms_eval_folder_runs_as_it_is(tasks, answered):
    task = tasks.task(UPSTREAM, UPSTREAM_UTILS)
    doc = {"image": from_bytes(png(3)), "question": "What colour?", "answer": "red"}
    (sample,) = task.build(0, doc, [])
    picture, words = sample.requests[0].messages[0].parts
    assert isinstance(picture, Media) and words == Text("What colour? Answer with one word.")
    assert sample.requests[0].generation == Generation(max_new_tokens=8, temperature=0.0, stop=("\n\n",))
    assert (sample.requests[0].prompt, sample.target) == (None, "red")
    assert [record.items for record in answered(task, doc, " Red\n")] == [{"exact": 1.0}]
    assert [record.items for record in answered(task, doc, "blue")] == [{"exact": 0.0}]


def test_visuals_stand_before_the_text(tasks):
    text = "doc_to_visual: !function utils.vis\ndoc_to_text: !function utils.txt\n"
    doc = {"image": from_bytes(png(3)), "question": "What?"}
    parts = request(tasks.task(text, UPSTREAM_UTILS), doc).messages[0].parts
    assert [type(part) for part in parts] == [Media, Text]


def test_declared_messages_take_columns_templates_and_lists_of_media(tasks):
    text = (
        "doc_to_messages:\n  - {role: system, content: 'Be brief.'}\n  - role: user\n    content:\n"
        "      - {type: image, image: pictures}\n      - {type: image, image: '{{ one }}'}\n"
        "      - {type: text, text: question}\n      - {type: text, text: ' Say {{ word }}.'}\n"
    )
    pictures = [from_bytes(png(1)), from_bytes(png(2))]
    doc = {"pictures": pictures, "one": from_bytes(png(3)), "question": "What?", "word": "yes"}
    messages = request(tasks.task(text), doc).messages
    assert list(messages[1].parts[:3]) == [*pictures, doc["one"]]
    assert texts(messages) == [("system", "Be brief."), ("user", "What? Say yes.")]
    with pytest.raises(TaskError, match="no image"):
        tasks.task(text).build(0, doc | {"one": None}, [])


@pytest.mark.parametrize(
    "messages",
    [
        "[{role: narrator, content: x}]",
        "[{role: user}]",
        "[{role: user, content: [{type: smell, smell: x}]}]",
        "[{role: user, content: [{type: image, url: image}]}]",
        "[{role: user, content: x, name: y}]",
    ],
)
def test_messages_of_a_wrong_form_are_refused(tasks, messages):
    with pytest.raises(SpecError, match="doc_to_messages"):
        tasks.task(f"doc_to_messages: {messages}\n")


@pytest.mark.parametrize(
    "value",
    [
        "None", "[]", "'text'", "[{'role': 'user'}]", "[{'role': 'user', 'content': [{'type': 'text', 'text': 3}]}]",
        "[{'role': 'user', 'content': [{'type': 'video', 'url': doc['image']}]}]",
        "[{'role': 'user', 'content': [{'type': 'image', 'url': doc['image'], 'video_start': 3}]}]",
    ],
)  # fmt: skip
def test_a_function_that_returns_no_messages_is_the_documents_error(tasks, value):
    task = tasks.task("doc_to_messages: !function utils.f\n", f"def f(doc):\n    return {value}\n")
    with pytest.raises(TaskError):
        task.build(0, {"image": from_bytes(png(1))}, [])


ADDING = """
description: "Add {{ a }}.\\n\\n"
doc_to_text: "Q: {{ a }}\\nA:"
doc_to_target: "{{ b }}"
num_fewshot: 2
"""


def test_examples_are_turns_of_a_chat_and_text_with_the_tasks_delimiters(tasks):
    asked = request(tasks.task(ADDING), {"a": 3, "b": 4}, [{"a": 1, "b": 2}, {"a": 2, "b": 3}])
    assert texts(asked.messages) == [
        ("system", "Add 3."), ("user", "Q: 1\nA:"), ("assistant", "2"), ("user", "Q: 2\nA:"), ("assistant", "3"),
        ("user", "Q: 3\nA:"),
    ]  # fmt: skip
    assert asked.prompt == "Add 3.\n\nQ: 1\nA: 2\n\nQ: 2\nA: 3\n\nQ: 3\nA:"


def test_examples_of_a_multiple_choice_task_show_the_text_of_the_right_choice(tasks):
    text = "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: [no, yes]\ndoc_to_target: label\n"
    asked = request(
        tasks.task(text.replace("[no, yes]", "['no', 'yes']")), {"q": "two?", "label": 0}, [{"q": "one?", "label": 1}]
    )
    assert (asked.prompt, asked.continuation) == ("one? yes\n\ntwo?", " no")


def test_examples_keep_their_media_and_then_there_is_no_raw_text(tasks):
    text = (
        "doc_to_messages: [{role: user, content: [{type: image, image: i}, {type: text, text: q}]}]\ndoc_to_target: a\n"
    )
    docs = [{"i": from_bytes(png(n)), "q": f"q{n}", "a": f"a{n}"} for n in (1, 2)]
    asked = request(tasks.task(text), docs[1], docs[:1])
    assert [part for turn in asked.messages for part in turn.parts] == [
        docs[0]["i"], Text("q1"), Text("a1"), docs[1]["i"], Text("q2"),
    ]  # fmt: skip
    assert asked.prompt is None


@given(
    document=st.integers(0, 30),
    pool=st.integers(8, 40),
    count=st.integers(0, 7),
    same=st.booleans(),
    seed=st.integers(0, 9),
)
@pytest.mark.parametrize("sampler", ["default", "first_n"])
def test_examples_are_distinct_never_the_document_itself_and_the_same_each_time(
    sampler, document, pool, count, same, seed
):
    chosen = [fewshot.choose(document, pool, count, sampler, seed=seed, task="t", same_split=same) for _ in range(2)]
    assert chosen[0] == chosen[1] and len(set(chosen[0])) == count
    assert all(0 <= place < pool for place in chosen[0]) and not (same and document in chosen[0])


def test_examples_differ_by_document_and_seed():
    def choose(document, seed):
        return fewshot.choose(document, 1000, 5, "default", seed=seed, task="t", same_split=False)

    assert len({tuple(choose(document, seed)) for document in range(10) for seed in range(3)}) == 30


def test_where_examples_come_from(tasks):
    listed = tasks.task("doc_to_text: q\nfewshot_config: {sampler: first_n, samples: [{q: 1}, {q: 2}]}\n")
    assert (listed.fewshot_split, listed.fewshot_samples) == (None, [{"q": 1}, {"q": 2}])
    assert listed.choose_examples(5, 2) == [] and listed.fewshot_sampler == "first_n"
    made = tasks.task(
        "doc_to_text: q\nfewshot_config: {samples: !function utils.shots}\n", "def shots():\n    return [{'q': 3}]\n"
    )
    assert (made.fewshot_split, made.fewshot_samples) == (None, [{"q": 3}])
    assert tasks.task("doc_to_text: q\ntraining_split: train\nvalidation_split: dev\n").fewshot_split == "train"
    assert tasks.task("doc_to_text: q\nfewshot_split: dev\ntraining_split: train\n").fewshot_split == "dev"
    assert tasks.task("doc_to_text: q\n").fewshot_split == "test"


@pytest.mark.parametrize("config", ["{sampler: balanced}", "{doc_to_text: q}", "{samples: none}"])
def test_a_choice_of_examples_that_is_not_done_is_refused(tasks, config):
    with pytest.raises(SpecError, match="fewshot_config"):
        tasks.task(f"doc_to_text: q\nfewshot_config: {config}\n")


def test_a_template_that_needs_what_is_not_there_names_field_and_columns(tasks):
    task = tasks.task("doc_to_text: '{{ goal }}'\n")
    with pytest.raises(TaskError, match=r"doc_to_text.*'goal' is undefined.*aim, end"):
        task.build(0, {"aim": 1, "end": 2}, [])


@pytest.mark.parametrize(
    "template",
    ["{{ x.__class__.__mro__ }}", "{{ x | regex_replace('(', '') }}", "{{ 1 // 0 }}", "{{ image }}", "image"],
)
def test_a_template_that_fails_is_the_documents_error(tasks, template):
    task = tasks.task(f'doc_to_text: "{template}"\n')
    with pytest.raises(TaskError, match="doc_to_text"):
        task.build(0, {"x": "text", "image": from_bytes(png(1))}, [])


def test_a_template_that_cannot_be_parsed_is_refused(tasks):
    with pytest.raises(SpecError, match="doc_to_text"):
        tasks.task("doc_to_text: '{{ q '\n")


def test_templates_have_the_filter_that_upstream_adds(tasks):
    task = tasks.task("""doc_to_text: "{{ q | regex_replace('[aeiou]', '-') }}"\n""")
    assert request(task, {"q": "question"}).prompt == "q--st--n"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", Generation(stop=("\n\n",))),
        ("{max_gen_toks: 5, until: stop}", Generation(max_new_tokens=5, stop=("stop",))),
        ("{max_new_tokens: 5, until: []}", Generation(max_new_tokens=5)),
        ("{temperature: 0.5, do_sample: false, until: []}", Generation(temperature=0.0)),
        ("{temperature: 0.5, top_p: 0.9, top_k: 5, until: []}", Generation(temperature=0.5, top_p=0.9, top_k=5)),
        ("{do_sample: true, until: []}", Generation(temperature=1.0)),
        ("{num_beams: 1, repetition_penalty: 1.1, until: [a, b]}", Generation(repetition_penalty=1.1, stop=("a", "b"))),
    ],
)
def test_generation_settings_mean_what_upstream_means(tasks, settings, expected):
    text = f"doc_to_text: q\ngeneration_kwargs: {settings}\n" if settings else "doc_to_text: q\n"
    assert request(tasks.task(text), {"q": "?"}).generation == expected


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ("{num_beams: 4}", "num_beams"),
        ("{typical_p: 0.9}", "typical_p"),
        ("{temperature: hot}", "temperature"),
        ("{max_new_tokens: 0}", "max_new_tokens"),
        ("{max_length: 20}", "max_length"),
        ("{until: [3]}", "until"),
    ],
)
def test_a_generation_setting_that_cannot_be_honoured_is_refused_by_name(tasks, settings, word):
    with pytest.raises(SpecError, match=word):
        tasks.task(f"doc_to_text: q\ngeneration_kwargs: {settings}\n")


def test_settings_for_a_model_replace_the_tasks(tasks):
    text = "doc_to_text: q\ngeneration_kwargs: {max_new_tokens: 5}\nmodel_specific_generation_kwargs: {m: {max_gen_toks: 9}}\n"
    assert request(tasks.task(text, model="org/m"), {"q": "?"}).generation.max_new_tokens == 9
    assert request(tasks.task(text, model="org/n"), {"q": "?"}).generation.max_new_tokens == 5


def test_every_repeat_has_its_own_id_key_and_seed_and_the_same_question(tasks):
    samples = tasks.task("doc_to_text: q\n", repeats=3).build(7, {"q": "?"}, [])
    assert [sample.id for sample in samples] == ["t/7/0", "t/7/1", "t/7/2"]
    assert [sample.requests[0].key for sample in samples] == ["t/7/0#0", "t/7/1#0", "t/7/2#0"]
    assert len({sample.requests[0].seed for sample in samples}) == 3
    assert len({sample.requests[0].prompt for sample in samples}) == 1


def test_ids_and_clusters_come_from_their_columns(tasks):
    task = tasks.task("doc_to_text: q\nid_key: name\ncluster_key: shelf\n")
    (sample,) = task.build(0, {"q": "?", "name": 5, "shelf": "s"}, [])
    assert (sample.document_id, sample.cluster) == ("5", "s")
    with pytest.raises(TaskError, match="shelf"):
        task.build(0, {"q": "?", "name": 5}, [])
