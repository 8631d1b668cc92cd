"""Looks that nothing asks for are bounded for all EvalJobs together, not for each."""

import pytest

from assay_operator.pace import gathered_seconds, poll_seconds


@pytest.mark.parametrize(("going", "poll", "gathered"), [(0, 5, 2), (40, 5, 2), (100, 10, 5), (1000, 100, 50)])
def test_a_job_is_looked_at_less_often_the_more_there_are_under_way(going, poll, gathered):
    assert (poll_seconds(going), gathered_seconds(going)) == (poll, gathered)
