"""The definitions are what the models say: complete, bounded, described, and the files in crds/ are up to date."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, create_model

from assay_api.base import Spec
from assay_api.crd import definitions, files
from assay_api.crd_schema import NotStructural, structural_schema
from assay_api.rules import VALIDATIONS, Rule, checked
from assay_api.runtime import ClusterEvalRuntime
from assay_api.texts import QualifiedName
from assay_runner.cli import main

CRDS = Path(__file__).parents[3] / "crds"
LOADED = {name: yaml.safe_load(text) for name, text in files().items()}
VERSIONS = {name: definition["spec"]["versions"][0] for name, definition in LOADED.items()}
SCHEMAS = {name: version["schema"]["openAPIV3Schema"] for name, version in VERSIONS.items()}
JOB = SCHEMAS["evaljobs.assay.dev.yaml"]
ROOT = ("apiVersion", "kind", "metadata")


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, apart from what every Kubernetes object has."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        if path or name not in ROOT:
            yield from nodes(field, f"{path}.{name}")
    for part, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if part in schema:
            yield from nodes(schema[part], path + mark)


NODES = [pytest.param(node, id=f"{name.split('.')[0]}{path}") for name, s in SCHEMAS.items() for path, node in nodes(s)]


def at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    return dict(nodes(schema))[path]


def test_the_files_are_what_the_models_say(capsys):
    assert main(["crd", "--check", str(CRDS)]) == 0, capsys.readouterr().err


def test_a_file_that_differs_is_named_with_the_way_out(tmp_path, capsys):
    assert main(["crd", "--write", str(tmp_path)]) == 0
    assert main(["crd", "--check", str(tmp_path)]) == 0
    (tmp_path / "evaljobs.assay.dev.yaml").write_text("kind: Nothing\n")
    assert main(["crd", "--check", str(tmp_path)]) == 1
    sentence = capsys.readouterr().err
    assert f"{tmp_path}/evaljobs.assay.dev.yaml differs" in sentence and f"assay crd --write {tmp_path}" in sentence


def test_a_file_that_is_missing_is_named(tmp_path, capsys):
    assert main(["crd", "--check", str(tmp_path)]) == 1
    assert "evaljobs.assay.dev.yaml does not exist" in capsys.readouterr().err


def test_printed_they_are_one_stream_of_all_definitions(capsys):
    assert main(["crd"]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert printed == list(definitions().values())


def test_yaml_of_another_age_reads_the_same():
    """YAML 1.1, which kubectl reads, takes a bare n for false."""
    for text in files().values():
        assert not re.search(r"(^|[\s-])[yYnN](:|$)", text, re.MULTILINE)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_by_a_sentence(name):
    for path, node in nodes(SCHEMAS[name]):
        if "properties" in node or re.search(r"\.\w+$", path):
            assert re.fullmatch(r".{12,}\.", node.get("description", "")), f"{path}: {node.get('description')}"


@pytest.mark.parametrize("node", NODES)
def test_everything_is_bounded(node):
    bounds = {
        "string": lambda: "maxLength" in node or "enum" in node or node.get("format") == "date-time",
        "array": lambda: "maxItems" in node,
        "object": lambda: "properties" in node or "maxProperties" in node,
    }
    if node.get("x-kubernetes-int-or-string"):
        assert "maxLength" in node
    else:
        assert bounds.get(node["type"], lambda: True)()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_number_a_person_sets_has_a_range(name):
    for path, node in nodes(SCHEMAS[name]["properties"]["spec"]):
        if node.get("type") in ("integer", "number"):
            assert {"minimum", "maximum"} <= node.keys(), path


@pytest.mark.parametrize("node", NODES)
def test_the_schemas_are_structural(node):
    assert not node.keys() & {"$ref", "allOf", "oneOf", "not", "const", "title", "patternProperties", "propertyNames"}
    assert node.get("default", "") is not None
    assert isinstance(node.get("exclusiveMinimum", True), bool)
    assert not ("properties" in node and "additionalProperties" in node)


def test_only_what_belongs_to_kubernetes_or_an_engine_is_free():
    free = {
        name.split(".")[0] + path
        for name, schema in SCHEMAS.items()
        for path, node in nodes(schema)
        if "x-kubernetes-preserve-unknown-fields" in node
    }
    pod = "clusterevalruntimes.spec.podTemplate."
    assert free == {
        "evaljobs.spec.model.args",
        "evalschedules.spec.template.spec.model.args",
        *(pod + part for part in ("affinity", "securityContext", "volumes[]", "volumeMounts[]")),
        *("clusterevalruntimes.spec.servers{}." + part for part in ("securityContext", "volumeMounts[]")),
    }


def test_every_rule_says_what_is_wrong_and_what_to_do():
    rules = [rule for node in NODES for rule in node.values[0].get(VALIDATIONS, [])]
    assert len(rules) > 20
    for rule in rules:
        assert re.fullmatch(r"[^;]{15,}; [^;]{8,}[^.;]", rule["message"]), rule["message"]


def test_a_rule_blames_a_field_that_exists():
    for schema in SCHEMAS.values():
        for path, node in nodes(schema):
            for rule in node.get(VALIDATIONS, []):
                assert not rule.get("fieldPath") or path + rule["fieldPath"] in dict(nodes(schema))


def test_lists_are_merged_by_what_tells_their_entries_apart():
    keys = {path: node.get("x-kubernetes-list-map-keys") for path, node in nodes(JOB) if node.get("type") == "array"}
    assert keys == {
        ".spec.model.server.args": None,
        ".spec.tasks": ["name"],
        ".spec.tasks[].generation.until": None,
        ".spec.taskSources": None,
        ".spec.gates": ["name"],
        ".spec.template.env": ["name"],
        ".spec.template.tolerations": None,
        ".status.conditions": ["type"],
        ".status.progress.errorClasses": ["name"],
        ".status.results": None,
        ".status.gates": ["name"],
    }


def test_defaults_are_in_the_schema_even_those_that_a_factory_makes():
    assert at(JOB, ".spec.runtimeRef")["default"] == {"name": "default"}
    assert at(JOB, ".spec.errorPolicy")["default"] == {"maxErrorRate": 0, "retries": 3}
    assert "default" not in at(JOB, ".spec.template")
    runtime = SCHEMAS["clusterevalruntimes.assay.dev.yaml"]
    assert at(runtime, ".spec.backends")["default"] == ["vllm", "transformers", "sglang", "openai"]
    assert at(runtime, ".spec.namespaces")["default"] == ["*"]


def test_the_columns_tell_a_jobs_story():
    columns = VERSIONS["evaljobs.assay.dev.yaml"]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == ["Phase", "Model", "Tasks", "Done", "Workers", "Score", "Errors", "Age", "Note"]
    assert [column["name"] for column in columns if column.get("priority")] == ["Queue", "Results"]


@pytest.mark.parametrize("name", VERSIONS)
def test_columns_selectors_and_scale_lead_to_fields(name):
    version = VERSIONS[name]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [selectable["jsonPath"] for selectable in version.get("selectableFields", [])]
    paths += version.get("subresources", {}).get("scale", {}).values()
    known = dict(nodes(SCHEMAS[name]))
    for path in paths:
        assert path == ".metadata.creationTimestamp" or path in known, path


class Part(Spec):
    """A part of something."""

    parts: "list[Part]" = Field(max_length=2, description="Parts of it.")


FIELDS = [
    (str, {}, "lacks a maximal length"),
    (list[int], {}, "lacks a maximal number of items"),
    (dict[str, int], {}, "lacks a maximal number of entries"),
    (int | bool, {}, "several types"),
    (str | list[str], {"max_length": 3}, "several types"),
    (tuple[int, int], {}, "one type for all items"),
    (set[int], {"max_length": 3}, "uniqueItems"),
    (Annotated[int, Field(multiple_of=2)], {}, "multipleOf"),
    (Any, {}, "of type None"),
    (Part, {}, "contains itself"),
    (dict[Annotated[str, Field(max_length=3)], int], {"max_length": 3}, "keys"),
    (bytes, {"max_length": 3}, "format"),
]


@pytest.mark.parametrize(("kind", "bounds", "words"), FIELDS, ids=[str(kind) for kind, _, _ in FIELDS])
def test_what_a_schema_cannot_say_is_refused(kind, bounds, words):
    model = create_model("Thing", __base__=Spec, __doc__="A thing.", it=(kind, Field(description="It.", **bounds)))
    with pytest.raises(NotStructural, match=words) as error:
        structural_schema(model)
    assert "Thing.it" in str(error.value)


def test_a_field_without_description_is_refused():
    class Thing(Spec):
        """A thing."""

        it: int

    with pytest.raises(NotStructural, match=r"Thing\.it has no description"):
        structural_schema(Thing)


def test_what_a_schema_says_in_other_words_is_translated():
    class Thing(Spec):
        """A thing."""

        maybe: int | None = Field(default=None, gt=0, lt=5, description="Maybe.")
        one: Literal["x"] = Field(default="x", description="One.")
        amount: Annotated[str, Field(max_length=3)] | int = Field(description="Amount.")
        named: dict[QualifiedName, int] = Field(
            max_length=3, description="Named.", json_schema_extra=checked(Rule("true", "never; never"))
        )

    assert structural_schema(Thing) == {
        "description": "A thing.",
        "type": "object",
        "required": ["amount", "named"],
        "properties": {
            "maybe": {
                "description": "Maybe.",
                "type": "integer",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 5,
                "exclusiveMaximum": True,
            },
            "one": {"description": "One.", "type": "string", "enum": ["x"], "default": "x"},
            "amount": {
                "description": "Amount.",
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "maxLength": 3,
            },
            "named": {
                "description": "Named.",
                "type": "object",
                "maxProperties": 3,
                "additionalProperties": {"type": "integer"},
                VALIDATIONS: [
                    {"rule": "true", "message": "never; never"},
                    structural_schema(ClusterEvalRuntime, without=ROOT)["properties"]["spec"]["properties"][
                        "podTemplate"
                    ]["properties"]["labels"][VALIDATIONS][0],
                ],
            },
        },
    }
