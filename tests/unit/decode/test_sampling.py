"""The frames that are chosen are spread evenly, and are those of numpy's linspace."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.decode.sampling import Sampling, chosen_frames


@given(st.integers(1, 5000), st.integers(2, 300))
def test_a_number_of_frames_is_spread_from_the_first_to_the_last(count, wanted):
    places = chosen_frames(Sampling(frames=wanted), count, Fraction(1))
    assert len(places) == min(wanted, count) and sorted(set(places)) == list(places)
    assert places[0] == 0 and places[-1] == count - 1
    if wanted < count:
        expected = np.linspace(0, count - 1, wanted)
        assert np.abs(np.array(places) - np.floor(expected + 1e-9)).max() == 0


def test_one_frame_is_the_middle_s():
    assert chosen_frames(Sampling(frames=1), 99, Fraction(4)) == (49,)


@pytest.mark.parametrize(
    ("seconds", "fps", "most", "chosen"),
    [("4", "1", 64, 4), ("4.96", "2", 64, 9), ("0.3", "1", 64, 1), ("1000", "1", 64, 64), ("1", "100", 64, 30)],
)
def test_a_rate_takes_as_many_frames_as_the_video_has_time_for(seconds, fps, most, chosen):
    sampling = Sampling(fps=Fraction(fps), most=most)
    assert len(chosen_frames(sampling, 30 if seconds != "1000" else 30_000, Fraction(seconds))) == chosen
