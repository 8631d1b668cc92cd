"""`make bench`: every case prints one JSON line; the machine's own noise is in all figures of a line alike.

`python -m benchmarks CASE…` runs only the named ones; `CASE=N` with N samples.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks.endpoint import endpoint, memory
from benchmarks.in_vllm import vllm
from benchmarks.reduction import reduce
from benchmarks.stages import decoding, stages
from benchmarks.startup import startup
from benchmarks.video import video
from benchmarks.workers import late, uneven

_CASES: dict[str, Callable[..., dict[str, object]]] = {
    case.__name__: case for case in (startup, endpoint, memory, uneven, late, reduce, video, stages, decoding, vllm)
}


def _main(wanted: list[str]) -> None:
    for name, _, count in (one.partition("=") for one in wanted or _CASES):
        if name not in _CASES or (count and not count.isdecimal()):
            sys.exit(f"There is no case {name!r} with {count or 'no'} samples; known cases: {', '.join(_CASES)}.")
        figures = _CASES[name](int(count)) if count else _CASES[name]()
        print(json.dumps({"case": name, **figures}), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
