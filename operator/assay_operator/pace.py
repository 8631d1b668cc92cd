"""How often an EvalJob is looked at without need: less often, the more of them are under way.

A look that no event asks for shows progress, and the reasons that come without an event. Ten a second for all EvalJobs
together cost the API server little; what the next step waits for is looked at as soon as it is told of, whatever this says.
"""

from __future__ import annotations

_POLL, _GATHERED = 5.0, 2.0
_LOOKS_PER_SECOND = 10.0
_NEWS_PER_LOOK = 2.0


def poll_seconds(going: int) -> float:
    """Seconds between two looks at an EvalJob of which no event tells, of so many that have not ended."""
    return max(_POLL, going / _LOOKS_PER_SECOND)


def gathered_seconds(going: int) -> float:
    """Seconds for which news are gathered that decide nothing: a pod that starts is told of half a dozen times."""
    return max(_GATHERED, going / _LOOKS_PER_SECOND / _NEWS_PER_LOOK)
