"""What a worker counts stays bounded, and its histograms are Prometheus's."""

from assay_api.exposition import MOST_CLASSES
from assay_runner.backends.base import Response
from assay_runner.work.error_classes import OTHER, count_class
from assay_runner.work.meter import Durations, Meter


def test_each_bucket_counts_what_is_not_above_its_end():
    durations = Durations((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        durations.add(seconds)
    assert durations.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)] and durations.total == 7.65


def test_an_answer_counts_with_its_tokens_tries_and_time():
    meter = Meter()
    meter.answered(Response("a", text="x", attempts=3, tokens_in=10, tokens_out=2, latency=0.2))
    meter.answered(Response("b", text="x"))
    meter.answered(Response("c", attempts=0))
    assert (meter.retries, meter.tokens_in, meter.tokens_out) == (2, 10, 2)
    assert meter.requests.cumulative()[-1] == ("+Inf", 1), "of the others the time is not known"


def test_classes_of_errors_beyond_the_most_are_counted_as_others():
    errors = {}
    for number in range(3 * MOST_CLASSES):
        count_class(errors, f"Kind{number}")
    count_class(errors, "Kind0", 4)
    count_class(errors, "y" * 1000)
    assert len(errors) == MOST_CLASSES and errors["Kind0"] == 5 and errors[OTHER] == 2 * MOST_CLASSES + 2
    assert max(map(len, errors)) <= 64
    count_class(errors, "")
    assert "" not in errors and errors[OTHER] == 2 * MOST_CLASSES + 3
