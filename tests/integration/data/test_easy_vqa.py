"""The easy-VQA benchmark from its installed package: a real dataset, end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay_runner.data.documents import Documents, stage
from assay_runner.data.source import DatasetSpec, load
from assay_runner.data.values import Doc
from support.documents import MemoryStore, content

pytest.importorskip("easy_vqa")

FINGERPRINT = "18a85ab287ee36f1cf69d5c1ce41a86fe401bdb778b42b0fd0adb31e12963f50"


def easy_vqa(limit: int | None = None) -> tuple[list[Doc], str]:
    kwargs = {"data_files": "data/test/questions.json", "columns": ["question", "answer", "image_id"]}
    media = {"image": "data/test/images/{{ image_id }}.png"}
    loaded = load(DatasetSpec("package:easy_vqa", None, "test", kwargs, media, Path("/")), limit=limit)
    return list(loaded.rows), loaded.source


def test_it_is_whole_and_has_one_fingerprint_in_place_staged_and_for_ever():
    docs, source = easy_vqa()
    assert (len(docs), len({doc["image"].sha256 for doc in docs})) == (9673, 1000)
    assert source == "easy_vqa 1.0: data/test/questions.json"
    staged, in_place = MemoryStore(), MemoryStore()
    pins = stage(staged, docs, source, in_place=False), stage(in_place, docs, source, in_place=True)
    assert [(pin.fingerprint, pin.documents) for pin in pins] == [(FINGERPRINT, 9673)] * 2
    assert sum(map(len, staged.objects.values())) < 1 << 20
    for store in (staged, in_place):
        read = Documents(store, pins[0])
        assert content(read.read(9600, 9673)) == content(docs[9600:])
        assert content(read.read(0, 300)) == content(docs[:300])


def test_a_limit_reads_no_more_than_it_needs():
    docs, _ = easy_vqa(limit=64)
    assert len(docs) == 64
    assert content(docs) == content(easy_vqa()[0][:64])


def test_the_fingerprint_is_the_same_in_another_process():
    program = """
from support.documents import MemoryStore
from test_easy_vqa import easy_vqa
from assay_runner.data.documents import stage
print(stage(MemoryStore(), *easy_vqa(), in_place=True).fingerprint)
"""
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{here.parent}:{here.parents[2]}", "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == FINGERPRINT
