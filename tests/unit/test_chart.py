"""The chart's files agree with what they were copied or derived from, and with its page of documentation."""

import json
import re
from pathlib import Path

import pytest
import yaml

from assay_api.base import Spec
from assay_api.evaljob import Storage
from assay_api.runtime import Allowed, Cache, Caps, ClusterEvalRuntimeSpec, PodTemplate, RuntimeImages
from assay_api.servers import Server
from charts.dashboards.__main__ import rendered

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "assay"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FREE_FORM = {
    "global", "requests", "limits", "claims", "annotations", "podLabels", "podAnnotations", "nodeSelector", "tolerations",
    "nodeAffinity", "podAffinity", "podAntiAffinity", "topologySpreadConstraints", "valueFrom", "affinity", "volumes",
    "volumeMounts", "env", "labels", "securityContext", "imagePullSecrets", "namespaceSelector", "podSelector", "ipBlock",
    "to", "ports", "matchLabels", "matchExpressions",
}  # fmt: skip
"""What is handed to the API server as it is, which checks it."""


def objects(schema, path=""):
    """Every level of the schema that says what an object holds, with its path."""
    if schema.get("type") == "object":
        yield path, schema
    for key, part in schema.get("properties", {}).items():
        yield from objects(part, f"{path}.{key}" if path else key)
    if "items" in schema:
        yield from objects(schema["items"], path)
    if isinstance(entries := schema.get("additionalProperties"), dict):
        yield from objects(entries, f"{path}.*")


def leaves(values, path=""):
    """Every value, with its path; what is empty is a value."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, values


def at(path):
    found = VALUES
    for key in path.split("."):
        found = found[key]
    return found


def documented():
    rows = re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    return dict(rows)


def test_the_crds_of_the_chart_are_the_generated_ones():
    generated = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert generated and copies == generated, "copy them: cp crds/*.yaml charts/assay/files/crds/"


def test_the_chart_has_the_version_of_the_package():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert chart["version"] == chart["appVersion"] == version[1]


@pytest.mark.parametrize(("path", "schema"), [pytest.param(*level, id=level[0] or "top") for level in objects(SCHEMA)])
def test_every_level_of_the_values_is_closed_or_handed_on_as_it_is(path, schema):
    others = schema.get("additionalProperties")
    closed = others is False or (isinstance(others, dict) and others.get("additionalProperties") is False)
    assert closed or path.rsplit(".", 1)[-1] in FREE_FORM


def test_every_value_is_in_the_schema():
    for path, _ in leaves(VALUES):
        level = SCHEMA
        for key in path.split("."):
            if "properties" not in level:
                break
            assert key in level["properties"], path
            level = level["properties"][key]


@pytest.mark.parametrize(
    ("path", "model", "extra"),
    [
        ("", ClusterEvalRuntimeSpec, {"enabled", "name"}),
        ("images", RuntimeImages, set()),
        ("podTemplate", PodTemplate, set()),
        ("storage", Storage, set()),
        ("cache", Cache, set()),
        ("servers", Server, set()),
        ("allowed", Allowed, set()),
        ("caps", Caps, set()),
    ],
)
def test_the_runtime_takes_exactly_what_a_cluster_eval_runtime_takes(path, model: type[Spec], extra):
    level = SCHEMA["properties"]["runtime"]
    level = level["properties"][path] if path else level
    level = level.get("additionalProperties") or level
    assert set(level["properties"]) == {field.alias for field in model.model_fields.values()} | extra


def test_the_page_has_a_row_for_every_value_and_no_other():
    rows = documented()
    missing = [path for path, _ in leaves(VALUES) if not any(f"{path}.".startswith(f"{row}.") for row in rows)]
    assert not missing


@pytest.mark.parametrize(("path", "default"), documented().items())
def test_the_page_tells_the_default(path, default):
    assert yaml.safe_load(default) == at(path)


def test_the_dashboards_of_the_chart_are_the_generated_ones():
    written = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").iterdir()}
    assert written == rendered(), "write them: python -m charts.dashboards"
