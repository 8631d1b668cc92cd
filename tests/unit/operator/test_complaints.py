"""What the cluster complains of is read once for all EvalJobs of a namespace, since each listing reads all of its Events."""

import asyncio
from datetime import timedelta

import pytest

from assay_operator.api_server import EVENTS, Listing
from assay_operator.complaints import Complaints
from assay_operator.views import JobView, PodView
from support.control_plane import START

JOB = JobView(name="j", uid="j", created=START - timedelta(seconds=10))
POD = PodView(name="p", uid="p", job_uid="u", step="plan", created=START - timedelta(seconds=10))
RUNS = PodView(name="r", uid="r", job_uid="u", step="plan", created=START, phase="Running", running=True)


def warning(uid, message, at="2026-01-01T00:00:00Z", kind="Pod"):
    return {"metadata": {}, "involvedObject": {"uid": uid, "kind": kind}, "lastTimestamp": at, "message": message}


class Api:
    """Events, and a clock that goes on while they are listed."""

    def __init__(self, *events, takes=0.0):
        self.events, self.takes, self.seconds, self.listings = events, takes, 0.0, 0

    async def pages(self, resource, namespace, *, labels="", fields="", metadata_only=False):
        assert resource == EVENTS and fields == "type=Warning,reason!=FailedScheduling"
        self.listings += 1
        self.seconds += self.takes
        await asyncio.sleep(0)
        for event in self.events:
            yield Listing((event,), "1")


def asker(api):
    return Complaints(api, lambda: START, lambda: api.seconds)


def test_the_last_warning_about_each_that_does_not_start_is_told():
    api = Api(
        warning("p", "old", "2026-01-01T00:00:01Z"),
        warning("p", "new", "2026-01-01T00:00:02Z"),
        warning("p", "older"),
        warning("j", "quota", kind="Job"),
        warning("n", "of a node", kind="Node"),
    )
    found = asyncio.run(asker(api).about("ns", [(JOB, (POD, RUNS))]))
    assert found == {"p": "new"}
    assert asyncio.run(asker(api).about("ns", [(JOB, ())])) == {"j": "quota"}


def test_nothing_is_asked_while_all_say_for_themselves_how_they_are():
    api = Api(warning("r", "slow"))
    told = JobView(name="j", uid="j", created=START, active=1)
    assert asyncio.run(asker(api).about("ns", [(JOB, (RUNS,)), (told, ())])) == {} and api.listings == 0


def test_many_that_ask_at_once_are_answered_by_one_listing():
    api = Api(warning("p", "no such Secret"))

    async def all_at_once():
        complaints = asker(api)
        return await asyncio.gather(*(complaints.about("ns", [(JOB, (POD,))]) for _ in range(100)))

    assert asyncio.run(all_at_once()) == 100 * [{"p": "no such Secret"}] and api.listings == 1


@pytest.mark.parametrize(("takes", "good_for"), [(0.0, 4.0), (1.0, 20.0)])
def test_a_listing_that_took_long_is_good_for_longer(takes, good_for):
    api = Api(takes=takes)
    complaints = asker(api)
    for seconds, listings in ((0.0, 1), (good_for - 0.1, 1), (0.2, 2)):
        api.seconds += seconds
        asyncio.run(complaints.about("ns", [(JOB, (POD,))]))
        assert api.listings == listings
