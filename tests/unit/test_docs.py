"""What the documentation shows is true: manifests are valid, commands parse, links lead somewhere."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from assay_api.evalschedule import EvalSchedule
from assay_api.runtime import ClusterEvalRuntime, ClusterEvalRuntimeSpec
from assay_api.schedule_status import EvalScheduleStatus
from assay_operator.accept import refuse
from assay_operator.schedules.decide import decide
from assay_operator.schedules.seen import Seen
from assay_runner.cli import parser
from assay_runner.manifest import parse_job
from support.manifests import RUNTIME

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text())


def named(items):
    return [pytest.param(*item, id=f"{item[0].name}-{number}") for number, item in enumerate(items)]


MANIFESTS = [
    (page, text) for page in PAGES for kind, text in blocks(page) if kind == "yaml" and "kind: EvalJob" in text
] + [(path, path.read_text()) for path in sorted((ROOT / "examples").glob("*.yaml"))]
SCHEDULES = [
    (page, text) for page in PAGES for kind, text in blocks(page) if kind == "yaml" and "kind: EvalSchedule" in text
] + [(path, path.read_text()) for path in sorted((ROOT / "examples" / "schedules").glob("*.yaml"))]
COMMANDS = [
    (page, line.split("#")[0].strip())
    for page in PAGES
    for _, text in blocks(page)
    for line in text.splitlines()
    if line.startswith("assay ")
]
MAKE = [(page, target) for page in PAGES for target in re.findall(r"\bmake ([a-z]+)\b", page.read_text())]
LINKS = [
    (page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()) if "://" not in link
]


@pytest.mark.parametrize(("page", "text"), named(MANIFESTS))
def test_every_manifest_is_valid(page, text):
    parse_job(yaml.safe_load(text), page.name)


@pytest.mark.parametrize(("page", "text"), named(SCHEDULES))
def test_every_schedule_is_valid_and_may_run_on_a_runtime_with_its_backend(page, text):
    schedule = EvalSchedule.model_validate(yaml.safe_load(text))
    offer = ClusterEvalRuntime.model_validate({**RUNTIME, "spec": {"images": {"default": "runner:1"}}})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    seen = Seen(schedule, EvalScheduleStatus(), "uid", 1, now, runtime=offer)
    (accepted,) = (item for item in decide(seen, now).status.conditions if item.type == "Accepted")
    assert accepted.status == "True", accepted.message


@pytest.mark.parametrize(("page", "line"), named(COMMANDS))
def test_every_command_parses(page, line):
    parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(("page", "target"), named(MAKE))
def test_every_make_target_exists(page, target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("page", "link"), named(LINKS))
def test_every_link_leads_somewhere(page, link):
    assert (page.parent / link).exists()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_runtime_of_the_examples_is_valid(path):
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "ClusterEvalRuntime":
            ClusterEvalRuntime.model_validate(document)


def test_a_job_of_the_examples_with_a_server_may_run_on_the_runtime_of_the_examples():
    job = parse_job(yaml.safe_load((ROOT / "examples" / "server.yaml").read_text()), "server.yaml")
    runtime = yaml.safe_load((ROOT / "examples" / "servers" / "runtime.yaml").read_text())
    assert refuse(job, ClusterEvalRuntime.model_validate(runtime)) is None
    (values,) = (text for kind, text in blocks(ROOT / "docs" / "install.md") if kind == "yaml" and "servers:" in text)
    offered = {"images": {"default": "runner:1"}, **yaml.safe_load(values)["runtime"]}
    assert "vllm" in ClusterEvalRuntimeSpec.model_validate(offered).servers


def test_there_is_something_to_check():
    assert len(MANIFESTS) >= 3 and len(SCHEDULES) >= 4 and len(COMMANDS) >= 5 and len(LINKS) >= 8
