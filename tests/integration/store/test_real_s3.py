"""The store's promises against a real S3 server, by itself and behind a proxy that loses answers."""

import os
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from assay_runner.store.base import StoreDenied, StoreUnavailable
from assay_runner.store.open import open_store
from assay_runner.store.probe import probe
from support.faulty_s3 import QUICK, Fault
from support.store_contract import ExclusiveContract, StoreContract


class TestContract(StoreContract):
    pass


@pytest.fixture
def atomic(s3_server):
    if not s3_server.atomic:
        pytest.skip("this server's conditional writes race")


@pytest.mark.usefixtures("atomic")
class TestRaces(ExclusiveContract):
    pass


@pytest.mark.usefixtures("atomic")
def test_processes_that_race_agree_on_one_winner_per_key(s3_store):
    settings = s3_store()
    code = """
import sys
from assay_runner.store.open import open_store
store = open_store(sys.argv[1], None)
print("ready", flush=True)
sys.stdin.readline()
print(*(int(store.put_if_absent(f"race/{n}", sys.argv[2].encode())) for n in range(40)))
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, settings.uri, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for number in range(3)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [[int(word) for word in racer.communicate(timeout=60)[0].split()] for racer in racers]
    store = open_store(settings.uri, settings)
    for key in range(40):
        (winner,) = [number for number in range(3) if said[number][key]]
        assert store.get(f"race/{key}") == str(winner).encode()


@pytest.mark.usefixtures("atomic")
def test_the_probe_trusts_the_server(store):
    assert probe(store).mode == "conditional"


def test_a_listing_over_several_pages_is_whole_and_ordered(store):
    keys = [f"chunks/t/{n:06d}.commit" for n in range(1100)]
    for key in random.Random(0).sample(keys, len(keys)):
        store.put(key, b"")
    assert list(store.list("chunks/t/", recursive=False)) == keys


def test_an_object_of_many_megabytes_comes_back_whole(store):
    data = random.Random(0).randbytes(20_000_000)
    store.put("large", data)
    assert store.get("large") == data


def test_random_faults_lose_nothing_and_answer_truly(store, store_behind_faults, faulty):
    rng, lock = random.Random(7), threading.Lock()
    # A 412 to what took effect can be seen through only by who put something random in, as a commit does.
    menu = [None] * 6 + [fault for fault in QUICK if fault is not Fault.PRECONDITION_AFTER]

    def script(request):
        with lock:
            return rng.choice(menu)

    faulty.script = script
    said = {}

    def work(worker):
        for number in range(25):
            data = f"{worker} {number}".encode() * 200
            try:
                store_behind_faults.put(f"data/{worker}/{number}", data)
                said[worker, number] = store_behind_faults.put_if_absent(f"markers/{number}", data)
            except StoreUnavailable:
                said[worker, number] = None

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for (worker, number), created in said.items():
        data = f"{worker} {number}".encode() * 200
        if created is not None:
            assert store.get(f"data/{worker}/{number}") == data
            assert (store.get(f"markers/{number}") == data) is created
    assert sum(created is not None for created in said.values()) > 90


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.SILENCE_AFTER, Fault.ERROR_AFTER])
def test_a_creation_whose_answer_was_lost_is_known_for_ones_own(store, store_behind_faults, faulty, fault):
    faulty.plan(fault)
    assert store_behind_faults.put_if_absent("marker", b"mine") is True
    assert [request.method for request in faulty.requests] == ["PUT", "PUT", "GET"]
    faulty.plan(fault)
    assert store_behind_faults.put_if_absent("marker", b"other") is False
    assert store.get("marker") == b"mine"


@pytest.mark.parametrize("hours", [-5, 30])
def test_a_client_whose_clock_is_wrong_signs_by_the_server_s(s3_server, s3_store, monkeypatch, hours):
    if not s3_server.atomic:
        pytest.skip("this server checks no signatures")
    settings = s3_store()
    off = timedelta(hours=hours)

    class Off(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + off

    monkeypatch.setattr("assay_runner.store.s3_clock.datetime", Off)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.now(UTC).replace(tzinfo=None) + off)
    store = open_store(settings.uri, settings)
    for number in range(3):
        assert store.put_if_absent(f"marker/{number}", b"mine") is True
    assert list(store.list("marker/")) == [f"marker/{number}" for number in range(3)]


def test_a_bucket_that_is_not_there_is_named(s3_store):
    settings = s3_store()
    store = open_store("s3://assay-no-such-bucket/runs", settings)
    for operation in (lambda: store.get("k"), lambda: store.put("k", b""), lambda: list(store.list(""))):
        with pytest.raises(StoreDenied, match="bucket does not exist; create it"):
            operation()


@pytest.mark.parametrize(
    ("name", "words"), [("AWS_ACCESS_KEY_ID", "access key"), ("AWS_SECRET_ACCESS_KEY", "secret key")]
)
def test_a_wrong_key_is_named_and_not_shown(s3_store, s3_server, monkeypatch, name, words):
    if not s3_server.atomic:
        pytest.skip("this server accepts every key")
    settings = s3_store()
    monkeypatch.setenv(name, "Wr0ngWr0ng")
    with pytest.raises(StoreDenied, match=words) as caught:
        open_store(settings.uri, settings).put("k", b"")
    assert "check AWS_ACCESS_KEY_ID" in str(caught.value)
    assert "Wr0ng" not in str(caught.value)
    assert s3_server.env["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


def test_a_worker_finds_the_store_from_address_and_environment_alone(s3_store):
    settings = s3_store()
    open_store(settings.uri, settings).put("ns/name/uid/plan.json", b"{}")
    code = """
import sys
from assay_runner.store.open import open_store
print(open_store(sys.argv[1], None).get("plan.json"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"{settings.uri}/ns/name/uid"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "b'{}'\n"
