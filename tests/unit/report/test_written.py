"""The page that a reduction leaves: the numbers of results.json, the digests of what it is made of, and no number that is
not written; whatever becomes of the page, the numbers stay."""

import asyncio
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from assay_api.base import sha256
from assay_api.errors import TooManyErrors
from assay_runner.backends.base import Response, ResponseError
from assay_runner.report import collector, page
from assay_runner.report.collector import Collector
from assay_runner.report.media import GONE
from support.pictures import write_pictures
from support.runs import AnsweringBackend, planned, results_bytes, worker

HOSTILE = "</script><script>alert(1)</script><!--"


class Backend(AnsweringBackend):
    def _response(self, request):
        if int(request.key.split("/")[1]) in (2, 3):
            return Response(request.key, error=ResponseError("Time<out>", HOSTILE), attempts=2)
        text = HOSTILE if request.key.split("/")[1] == "0" else "red"
        return Response(request.key, text=text, tokens_out=1, latency=0.5)


class Seen(HTMLParser):
    """Elements, numbers and islands of a page, as a parser of HTML sees them."""

    def __init__(self, data):
        super().__init__()
        self.tags, self.numbers, self.islands, self.text, self._inside = set(), [], {}, [], None
        self.handlers = []
        self.feed(data.decode())

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.add(tag)
        self.handlers += [name for name in named if name.startswith("on") or name == "style"]
        if tag == "data":
            self.numbers.append(float(named["value"]))
        self._inside = named.get("id", "") if tag == "script" else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside is None:
            self.text.append(data)
        else:
            self.islands[self._inside] = data


def made(tmp_path, allowed=0.5):
    write_pictures(tmp_path / "tasks", 30)
    tasks = [{"name": "pictures"}, {"name": "colours"}]
    run = planned(tmp_path, tasks=tasks, errorPolicy={"maxErrorRate": allowed})
    asyncio.run(worker(run, backend=Backend(), index=0).run())
    return run


def seen(run):
    return Seen(run.store.get("report.html"))


def words(seen):
    return " ".join(" ".join(seen.text).split())


def test_it_holds_the_numbers_the_digests_and_every_sample(tmp_path):
    run = made(tmp_path)
    data = results_bytes(run)
    results, found = json.loads(data), seen(run)
    metrics = [metric for task in results["tasks"] for metric in task["metrics"]]
    expected = [metric[name] for metric in metrics for name in ("value", "stderr", "ci_low", "ci_high")]
    expected = [value for value in expected if value is not None]
    assert found.numbers[: len(expected)] == expected and 0 < expected[0] < 1
    assert run.plan.digest in words(found) and sha256(data) in words(found)
    markers = sorted(key for key in run.store.list("chunks/pictures/") if key.endswith(".commit"))
    rows = [json.loads(run.store.get(key)) for key in markers]
    lines = "".join(f"{row['task']} {row['chunk']} {row['sha256']}\n" for row in rows)
    assert sha256(lines.encode()) in words(found)
    for task in run.plan.tasks:
        assert task.data.fingerprint in words(found)
        assert task.code is None or task.code.fingerprint in words(found)
    island = json.loads(found.islands["data"])
    assert len(island["samples"]) == 31 and {one["document"] for one in island["samples"]} == set(range(30))
    assert "All 31 samples are in this file. 20 of their 20 media" in words(found)
    assert all("blob" in one for one in island["media"].values())


def test_nothing_in_it_is_code_but_its_own_script(tmp_path):
    run = made(tmp_path)
    results_bytes(run)
    found, text = seen(run), run.store.get("report.html").decode()
    assert found.handlers == [] and not {"img", "iframe", "link", "object", "base"} & found.tags
    assert text.count("<script") == 2 + 20 and "Time&lt;out&gt;" in text and HOSTILE not in text
    assert json.loads(found.islands["data"])["samples"][0]["answers"][0]["text"] == HOSTILE
    assert not re.search(r"(?:src|href)=\"(?!#)", text)


def test_without_results_it_says_so_and_shows_no_score(tmp_path):
    run = made(tmp_path, allowed=0.0)
    with pytest.raises(TooManyErrors, match=r"report\.html shows them\.$"):
        results_bytes(run)
    found = seen(run)
    assert found.tags >= {"table"} and "There are no results. 2 of 31 samples failed" in words(found)
    assert "± stderr" not in words(found) and "sha256sum results.json" not in words(found)
    assert sum("error" in one for one in json.loads(found.islands["data"])["samples"]) == 2


def test_it_is_written_anew_by_every_reduction_and_also_when_the_data_are_gone(tmp_path):
    run = made(tmp_path)
    results = results_bytes(run)
    shutil.rmtree(tmp_path / "store" / "data" / run.plan.task("pictures").data.fingerprint)
    assert results_bytes(run) == results
    found = json.loads(seen(run).islands["data"])
    assert found["whys"] == [GONE] and all("blob" not in one for one in found["media"].values())


@pytest.mark.parametrize("broken", [(page, "_islands"), (Collector, "shown"), (collector, "row")])
def test_a_page_that_cannot_be_made_costs_no_number_and_is_told(tmp_path, monkeypatch, broken, capsys):
    run = made(tmp_path)

    def fail(*arguments):
        raise RuntimeError("the <page> broke")

    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        results = json.loads(results_bytes(run))
    assert results["coverage"]["samples"] == 31
    assert json.loads(run.store.get("run.json"))["report_failure"] == "RuntimeError: the <page> broke"
    assert "the report could not be made RuntimeError: the <page> broke" in words(seen(run))
    from assay_runner.cli.results import show

    show(run.store, run.uri, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out) == results and "report.html could not be written (RuntimeError" in said.err
    results_bytes(run)
    assert json.loads(run.store.get("run.json"))["report_failure"] is None and "samples" in seen(run).islands["data"]
