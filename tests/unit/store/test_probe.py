"""The probe tells stores that keep the condition from those that ignore, race or refuse it."""

import re
from collections import Counter

import pytest

from assay_runner.store.base import StoreDenied, StoreUnavailable
from assay_runner.store.fallback import CheckedStore
from assay_runner.store.file import FileStore
from assay_runner.store.prefixed import Prefixed
from assay_runner.store.probe import probe
from support.faulty_s3 import Fault, MemoryS3, error


def test_a_folder_and_an_honest_server_are_conditional(tmp_path, s3):
    for store in (FileStore(tmp_path), s3):
        found = probe(store)
        assert found.mode == "conditional"
        assert "exactly one won, in 3 of 3 rounds" in found.reason


def test_a_probe_of_an_honest_server_waits_for_eighteen_round_trips(s3, server):
    """Each race is three: its writers', their looks at what refused them, a read. Seconds are a benchmark's."""
    probe(s3)
    asked = Counter(request.method for request in server.requests if "/.probe/" in request.path)
    listed = len(server.requests) - asked.total()
    assert (asked, listed) == ({"PUT": 2 + 2 + 3 * 8, "HEAD": 1 + 3 * 7, "GET": 2 + 1 + 3}, 1)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("ignored", "ignores the condition"),
        ("racy", r"Of 8 writers that created one object at once [2-8] were told"),
        ("refused", "not on condition: .*501 NotImplemented"),
    ],
)
def test_a_server_that_breaks_the_condition_is_found_and_the_fallback_works_on_it(s3, memory, condition, words):
    memory.condition = condition
    found = probe(s3)
    assert found.mode == "fallback"
    assert re.search(words, found.reason)
    store = CheckedStore(s3)
    assert store.put_if_absent("marker", b"first") is True
    assert store.put_if_absent("marker", b"second") is False
    assert store.get("marker") == b"first"


def test_a_server_that_refuses_but_writes_is_found(s3, server):
    keep = server.upstream

    def liar(request):
        answer = keep(request)
        if answer.status == 412:
            keep.objects[request.path.removeprefix("/bucket/")] = request.body
        return answer

    server.upstream = liar
    assert probe(s3).reason == "The store says that it refused a second writer, but kept that writer's bytes."


def test_a_server_that_answers_412_to_every_condition_is_found(s3, server):
    refuse = error(412, "PreconditionFailed")
    server.script = lambda request: refuse if "If-None-Match" in request.headers else None
    found = probe(s3)
    assert found.mode == "fallback"
    assert "says both that it exists and that it does not" in found.reason


@pytest.mark.parametrize(("lag", "words"), [("old", "old bytes of an object"), ("none", "could not be read")])
def test_a_server_that_reads_behind_what_it_wrote_is_found(s3, server, memory, lag, words):
    before = MemoryS3()

    def lagging(request):
        if request.method == "GET" and "list-type" not in request.path:
            return before(request)
        if request.method == "PUT" and lag == "old":
            before.objects.update(memory.objects or {request.path.removeprefix("/bucket/"): request.body})
        return memory(request)

    server.upstream = lagging
    found = probe(s3)
    assert found.mode == "fallback"
    assert words in found.reason


def test_listings_that_lag_are_told_and_change_no_promise(s3, server, memory):
    empty = MemoryS3()
    server.upstream = lambda request: (empty if "list-type" in request.path else memory)(request)
    found = probe(s3)
    assert found.mode == "conditional"
    assert found.reason.endswith("Its listings lag behind what is written, so chunks may be done twice.")


def test_a_server_whose_race_goes_unanswered_is_not_trusted(s3, server):
    server.script = lambda request: Fault.DROP_BEFORE if request.path.endswith("/1") else None
    found = probe(s3)
    assert found.mode == "fallback"
    assert "could not settle a race" in found.reason


def test_a_store_that_cannot_be_written_or_listed_is_no_fallback(s3, server):
    server.script = lambda request: error(403, "AccessDenied") if request.method == "PUT" else None
    with pytest.raises(StoreDenied, match="could not be written"):
        probe(s3)
    server.script = lambda request: error(403, "AccessDenied") if "list-type" in request.path else None
    with pytest.raises(StoreDenied, match="could not be listed"):
        probe(s3)
    server.script = lambda request: Fault.SLOW_DOWN
    with pytest.raises(StoreUnavailable):
        probe(s3)


def test_a_probe_stays_in_its_corner_and_can_be_repeated(tmp_path):
    root = FileStore(tmp_path)
    run = Prefixed(root, "ns/name/uid/")
    assert [probe(run).mode for _ in range(2)] == ["conditional"] * 2
    keys = list(root.list(""))
    assert len(keys) == 2 * 5
    assert all(key.startswith("ns/name/uid/.probe/") for key in keys)
