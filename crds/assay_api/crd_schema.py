"""Turns a model into the structural OpenAPI schema that a CustomResourceDefinition wants.

pydantic writes JSON Schema; the API server reads a strict part of OpenAPI v3.0. What has no equal there, has no
description or has no bound is refused: a schema that is looser than the model would let through what the operator cannot
read, and the cost of a rule can only be judged where everything is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import WithDefaultSchema

from assay_api.rules import LIST_KEYS, LIST_TYPE, VALIDATIONS

Schema = dict[str, Any]

_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_KEYS = "propertyNames"
_PASSED_ON = {
    "string": ("enum", "minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
    "array": ("minItems", "maxItems", LIST_TYPE, LIST_KEYS),
    "object": ("minProperties", "maxProperties"),
}
"""Type → what is said the same way in both languages."""


class NotStructural(ValueError):
    """The model holds something that a structural schema cannot say, or leaves open what it has to say."""


def structural_schema(model: type[BaseModel], without: Collection[str] = ()) -> Schema:
    """The schema of `model`, with nothing referred to and nothing left open; `without` names fields to leave out.

    Raises:
        NotStructural: the sentence names the field.
    """
    schema = model.model_json_schema(by_alias=True, schema_generator=_WithFactories)
    schema["properties"] = {name: field for name, field in schema["properties"].items() if name not in without}
    schema["required"] = [name for name in schema.get("required", []) if name not in without]
    return _Converter(schema.pop("$defs", {})).convert(schema, model.__name__, described=True)


class _WithFactories(GenerateJsonSchema):
    def get_default_value(self, schema: WithDefaultSchema) -> Any:
        """What a factory makes is a default like any other."""
        factory: Any = schema.get("default_factory")
        return factory() if factory else super().get_default_value(schema)


class _Converter:
    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, node: Schema, where: str, *, described: bool, within: tuple[str, ...] = ()) -> Schema:
        node, within = self._plain(node, where, within)
        node.pop("title", None)
        out: Schema = {}
        description, default = node.pop("description", None), _said(node.pop("default", None))
        if description:
            out["description"] = description
        elif described or "properties" in node:
            raise NotStructural(f"{where} has no description.")
        if "anyOf" in node:
            out |= self._int_or_string(node, where)
        else:
            out |= self._typed(node, where, within)
        if default is not None:
            out["default"] = default
        if rules := [*node.pop(VALIDATIONS, []), *_rules_for_keys(node.pop(_KEYS, {}), where)]:
            out[VALIDATIONS] = [
                {key: rule[key] for key in ("rule", "message", "fieldPath") if key in rule} for rule in rules
            ]
        if node:
            raise NotStructural(f"{where} uses {', '.join(sorted(node))}, which has no equal in a structural schema.")
        return out

    def _plain(self, node: Schema, where: str, within: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """The node without references and without null: a field that may be null is one that may be absent."""
        node = dict(node)
        while True:
            if "$ref" in node:
                name = node.pop("$ref").rpartition("/")[2]
                if name in within:
                    raise NotStructural(f"{where} contains itself through {name}.")
                within, target = (*within, name), self._definitions[name]
            elif {"type": "null"} in node.get("anyOf", []):
                target = _only([part for part in node.pop("anyOf") if part != {"type": "null"}])
            else:
                return node, within
            rules = [*target.get(VALIDATIONS, []), *node.get(VALIDATIONS, [])]
            node = {**target, **node, **({VALIDATIONS: rules} if rules else {})}

    def _typed(self, node: Schema, where: str, within: tuple[str, ...]) -> Schema:
        kind = node.pop("type", None)
        if kind not in _PASSED_ON:
            raise NotStructural(f"{where} is of type {kind}.")
        out: Schema = {"type": kind}
        if "const" in node:
            node["enum"] = [node.pop("const")]
        out |= {key: node.pop(key) for key in _PASSED_ON[kind] if key in node}
        if kind in ("integer", "number"):
            out |= _exclusive(node)
        elif kind == "string":
            if node.get("format") == "date-time":
                out["format"] = node.pop("format")
            _require(where, "a maximal length", bool(out.keys() & {"maxLength", "enum", "format"}))
        elif kind == "array":
            _require(where, "a maximal number of items", "maxItems" in out)
            _require(where, "one type for all items", "items" in node)
            out["items"] = self.convert(node.pop("items"), f"{where}[]", described=False, within=within)
            out.setdefault(LIST_TYPE, "atomic")
        elif kind == "object":
            out |= self._object(node, where, within)
            _require(where, "a maximal number of entries", "properties" in out or "maxProperties" in out)
        return out

    def _object(self, node: Schema, where: str, within: tuple[str, ...]) -> Schema:
        for pattern, values in node.pop("patternProperties", {}).items():
            if "pattern" in node.get(_KEYS, {}):
                raise NotStructural(f"{where} has keys of several forms.")
            node[_KEYS] = {**node.get(_KEYS, {}), "pattern": pattern}
            node["additionalProperties"] = values
        fields, others = node.pop("properties", None), node.pop("additionalProperties", None)
        if fields is None and isinstance(others, dict):
            return {"additionalProperties": self.convert(others, f"{where}{{}}", described=False, within=within)}
        if fields is None and others is True:
            return {_PRESERVE: True}
        if fields is None or not isinstance(others, bool):
            raise NotStructural(f"{where} is neither closed, nor a map, nor free-form.")
        properties = {
            name: self.convert(field, f"{where}.{name}", described=True, within=within)
            for name, field in fields.items()
        }
        required = node.pop("required", [])
        free = {_PRESERVE: True} if others else {}
        return {**({"required": required} if required else {}), "properties": properties, **free}

    def _int_or_string(self, node: Schema, where: str) -> Schema:
        parts = node.pop("anyOf")
        if sorted(part.get("type", "") for part in parts) != ["integer", "string"]:
            raise NotStructural(f"{where} may be of several types.")
        typed = [self._typed(dict(part), where, ()) for part in parts]
        bounds = {key: value for part in typed for key, value in part.items() if key != "type"}
        return {_INT_OR_STRING: True, "anyOf": [{"type": "integer"}, {"type": "string"}], **bounds}


def _said(value: Any) -> Any:
    """A default without what is the same as saying nothing; None when nothing is left."""
    if isinstance(value, dict):
        value = {key: said for key, item in value.items() if (said := _said(item)) is not None}
    return None if value in (None, "", {}, []) else value


def _exclusive(node: Schema) -> Schema:
    out: Schema = {}
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            out |= {bound: node.pop(exclusive), exclusive: True}
    return out


def _rules_for_keys(keys: Schema, where: str) -> list[Schema]:
    """A structural schema says nothing about the keys of a map; a rule can, with the keys' description as its sentence."""
    if not keys:
        return []
    if set(keys) != {"description", "pattern", "maxLength"}:
        raise NotStructural(f"{where} has keys that are not described by a sentence, a pattern and a maximal length.")
    rule = f"self.all(key, size(key) <= {keys['maxLength']} && key.matches({json.dumps(keys['pattern'])}))"
    return [{"rule": rule, "message": keys["description"]}]


def _only(parts: list[Schema]) -> Schema:
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def _require(where: str, bound: str, given: bool) -> None:
    if not given:
        raise NotStructural(f"{where} lacks {bound}.")
