"""One HTML file from facts, samples and media. It asks for nothing from outside, and nothing in it can become code.

All texts are escaped by the template or lie in JSON islands; its one script and one style sheet are named by hash in its
Content-Security-Policy, and the script may not make markup of text (trusted types).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from assay_runner import __version__
from assay_runner.report import axis, charts, facts
from assay_runner.report.clip import island
from assay_runner.report.collector import Shown
from assay_runner.report.facts import Facts
from assay_runner.report.media import Embedded

_SCRIPTS = ("theme.js", "samples.js", "media.js", "values.js", "detail.js", "table.js")
_SPLIT = "<!--islands-->"


@dataclass(frozen=True, slots=True)
class Content:
    """What the page shows of the samples."""

    samples: Sequence[Shown]
    media: Mapping[str, Embedded]

    @property
    def media_bytes(self) -> int:
        """Bytes of the media in the file, before they are written as text."""
        return sum(one.size for one in self.media.values() if one.data is not None)


def render(found: Facts, content: Content) -> bytes:
    """The bytes of report.html."""
    script, style = Markup(_script()), Markup(_asset("report.css"))  # noqa: S704 - the package's own files
    tasks, groups = facts.scores(found.results)
    timeline, run = found.run.timeline, found.run
    text = _template().render(
        facts=found,
        policy=_policy(script, style),
        script=script,
        style=style,
        tasks=tasks,
        groups=groups,
        coverage=facts.coverage(found.results),
        kinds=sorted({kind for task in found.results.tasks for kind in task.errors}),
        digests=facts.digests(found),
        results_digest=hashlib.sha256(found.results.encode()).hexdigest(),
        when=facts.when(run),
        span=None if timeline is None else timeline.seconds * len(timeline.intervals),
        throughput=None if timeline is None else charts.throughput(timeline),
        latency=None if timeline is None else charts.latency(timeline),
        histogram=None if run.latency_histogram is None else charts.histogram(run.latency_histogram, run.latency),
        content=content,
        version=__version__,
    )
    head, tail = text.split(_SPLIT)
    return b"".join([head.encode(), *_islands(found, content), tail.encode()])


def render_failure(found: Facts, why: str) -> bytes:
    """A page that says why there is no report."""
    return _environment().from_string(_asset("failure.html.jinja")).render(facts=found, why=why).encode()


def _islands(found: Facts, content: Content) -> Iterator[bytes]:
    media: dict[str, object] = {}
    whys: list[str] = []
    blobs: list[bytes] = []
    for digest, one in content.media.items():
        entry: dict[str, object] = {"kind": one.kind, "mime": one.mime, "size": one.size}
        if one.data is not None:
            entry["blob"] = len(blobs)
            blobs.append(one.data)
        else:
            why = one.why or ""
            if why not in whys:
                whys.append(why)
            entry["why"] = whys.index(why)
        media[digest] = entry
    head = island({"tasks": facts.judged(found.plan, found.results), "media": media, "whys": whys})
    yield b'<script type="application/json" id="data">' + head[:-1] + b',"samples":['
    for place, sample in enumerate(content.samples):
        yield b",\n" + sample.row if place else b"\n" + sample.row
    yield b"\n]}</script>\n"
    for number, blob in enumerate(blobs):
        yield b'<script type="text/plain" id="blob-%d">' % number + blob + b"</script>\n"


def _policy(script: str, style: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)}; img-src blob:; media-src blob:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _script() -> str:
    return "\n".join(_asset(name) for name in _SCRIPTS)


@cache
def _asset(name: str) -> str:
    return files("assay_runner.report").joinpath("assets", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "number": axis.number,
        "seconds": axis.seconds,
        "rate": axis.rate,
        "size": axis.size,
        "tick": axis.tick,
    }
    return made


def _template() -> Template:
    return _environment().from_string(_asset("report.html.jinja"))
