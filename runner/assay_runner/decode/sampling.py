"""Which frames of a video a model is shown. The same frames whichever library decodes them: the choice knows only how many
frames there are and how long the video lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Sampling:
    """A number of frames, or a rate."""

    frames: int | None = None
    """So many, evenly spaced from the first to the last."""
    fps: Fraction | None = None
    """So many per second of the video, evenly spaced in the same way."""
    most: int = 64
    """At most so many at a rate."""


def chosen_frames(sampling: Sampling, count: int, seconds: Fraction) -> tuple[int, ...]:
    """The places of the chosen frames among `count` ≥ 1 in presentation order; at least one.

    Args:
        seconds: how long the video lasts.
    """
    if sampling.frames is not None:
        return _spread(count, sampling.frames)
    assert sampling.fps is not None, "a sampling has a number of frames or a rate"
    return _spread(count, max(1, min(sampling.most, math.floor(seconds * sampling.fps))))


def _spread(count: int, wanted: int) -> tuple[int, ...]:
    """`wanted` places from the first to the last, rounded down: ⌊i·(count − 1)/(wanted − 1)⌋; one is the middle's."""
    if wanted >= count:
        return tuple(range(count))
    if wanted == 1:
        return ((count - 1) // 2,)
    return tuple(place * (count - 1) // (wanted - 1) for place in range(wanted))
