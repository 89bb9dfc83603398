"""What is taken out of a schema that decoding cannot be held to, and what older drafts and strict mode make of it."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from ftkit.errors import ConfigError
from ftkit.schema.dialects import to_draft_2020_12
from ftkit.schema.held_schema import held_part
from ftkit.schema.local_references import localize_references
from ftkit.schema.strict_schema import check_strict

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def unheld(schema: dict[str, Any]) -> list[str]:
    return [str(one) for one in held_part(schema, holds_pattern=lambda pattern: "(?" not in pattern)[1]]


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, ['"uniqueItems" at $']),
        ({"type": "array", "uniqueItems": False}, []),
        ({"type": "array", "contains": TEXT, "minContains": 2}, ['"contains" at $']),
        ({"type": "array", "contains": TEXT, "minContains": 0}, []),
        ({"type": "array", "maxContains": 2}, []),
        ({"type": "array", "unevaluatedItems": False}, []),
        ({"allOf": [{"prefixItems": [TEXT]}], "unevaluatedItems": False}, ['"unevaluatedItems" at $']),
        ({"type": "object", "unevaluatedProperties": False}, []),
        ({"anyOf": [{"properties": {"a": TEXT}}], "unevaluatedProperties": False}, ['"unevaluatedProperties" at $']),
        ({"type": "object", "propertyNames": {"pattern": "^a"}}, ['"propertyNames" at $']),
        ({"type": "object", "propertyNames": True}, []),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, ['"dependentRequired" at $']),
        ({"type": "object", "dependentRequired": {"a": []}}, []),
        ({"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}}, ['"dependentSchemas" at $']),
        ({"if": TEXT, "then": {"minLength": 1}, "else": NUMBER}, ['"if" at $']),
        ({"if": TEXT}, []),
        ({"then": TEXT}, []),
        ({"not": TEXT}, ['"not" at $']),
        ({"type": "string", "format": "color"}, []),
        ({"type": "string", "format": "date"}, []),
        ({"type": "string", "format": "iri"}, ['"format" at $']),
        ({"type": "string", "pattern": "(?=a)"}, ['"pattern" at $']),
        ({"patternProperties": {"^(?!x)": TEXT}, "additionalProperties": False}, ['"patternProperties" at $']),
        ({"type": "string", "contentEncoding": "base64", "x-order": 1, "x-guidance": {"lenient": True}}, []),
        (
            {"properties": {"a b": {"items": {"not": TEXT}}}, "$defs": {"n": {"anyOf": [True, {"uniqueItems": True}]}}},
            ['"not" at $.properties["a b"].items', '"uniqueItems" at $["$defs"].n.anyOf[1]'],
        ),
    ],
)
def test_what_cannot_be_held_is_named_and_what_says_nothing_is_not(schema, named):
    assert unheld(schema) == named


def test_properties_may_be_named_like_keywords():
    schema = {"properties": {"not": TEXT, "if": NUMBER, "uniqueItems": NUMBER, "$ref": TEXT}}
    assert held_part(schema, holds_pattern=lambda pattern: True) == (schema, [])


@pytest.mark.parametrize(
    ("old", "good", "bad"),
    [
        ({"items": [TEXT, NUMBER], "additionalItems": False}, [["a", 1]], [["a", "b"], ["a", 1, 2]]),
        ({"items": [TEXT]}, [["a", {}]], [[1]]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"type": "integer", "maximum": 1, "exclusiveMaximum": False}, [1], [2]),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, [{"a": 1, "b": 1}, {}], [{"a": 1}, {"c": 1}]),
        ({"type": "string", "nullable": True, "enum": ["x"]}, [None, "x"], [1, "y"]),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [NUMBER]}}},
            [{}],
            [{"a": ["x"]}],
        ),
    ],
)
def test_older_drafts_keep_their_meaning(old, good, bad):
    translated = to_draft_2020_12(old)
    jsonschema.Draft202012Validator.check_schema(translated)
    validator = jsonschema.Draft202012Validator(translated)
    assert [validator.is_valid(value) for value in [*good, *bad]] == [True] * len(good) + [False] * len(bad)


def test_references_by_name_become_paths():
    schema = {
        "$id": "https://example.com/root.json",
        "$dynamicAnchor": "node",
        "properties": {
            "a": {"$ref": "#word"},
            "b": {"$ref": "item.json"},
            "c": {"$ref": "item.json#/properties/q"},
            "d": {"$dynamicRef": "#node"},
            "e": {"$ref": "https://elsewhere.example/x.json"},
            "f": {"$ref": "https://example.com/root.json"},
        },
        "$defs": {
            "w/o": {"$anchor": "word", **TEXT},
            "i": {
                "$id": "item.json",
                "properties": {"q": NUMBER, "self": {"$ref": "#"}, "top": {"$ref": "root.json#word"}},
            },
        },
    }
    found = localize_references(schema)
    assert {name: part["$ref"] for name, part in found["properties"].items()} == {
        "a": "#/$defs/w~1o",
        "b": "#/$defs/i",
        "c": "#/$defs/i/properties/q",
        "d": "#",
        "e": "https://elsewhere.example/x.json",
        "f": "#",
    }
    assert found["$defs"]["i"] == {
        "properties": {"q": NUMBER, "self": {"$ref": "#/$defs/i"}, "top": {"$ref": "#/$defs/w~1o"}}
    }
    assert found["$defs"]["w/o"] == TEXT


def strict(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


@pytest.mark.parametrize(
    "keyword",
    [
        *("oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"),
        *("contains", "minContains", "maxContains", "uniqueItems", "prefixItems", "unevaluatedItems"),
        *("patternProperties", "propertyNames", "minProperties", "maxProperties", "unevaluatedProperties"),
        *("contentEncoding", "contentMediaType", "$dynamicRef", "$anchor"),
    ],
)
def test_strict_mode_names_every_keyword_that_it_does_not_take(keyword):
    with pytest.raises(
        ConfigError, match=rf'^"{keyword.replace("$", chr(92) + "$")}" is not permitted at \$.properties.a in'
    ):
        check_strict(strict(a={"type": "string", keyword: {}}))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array"}, 'root must have "type": "object" in strict mode, not \'array\''),
        ({**strict(), "anyOf": []}, '"anyOf" is not permitted at \\$'),
        (
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
            '"additionalProperties" must be false at \\$ ',
        ),
        (
            {**strict(a=TEXT), "required": []},
            '"required" must name every property at \\$ in strict mode, and "a" is missing',
        ),
        ({**strict(a=TEXT), "required": ["a", "b"]}, '"required" names "b" at \\$'),
        (strict(a={"type": ["object", "null"]}), '"additionalProperties" must be false at \\$.properties.a'),
        (strict(a={"description": "any"}), '"type" is missing at \\$.properties.a'),
        (strict(a=True), "true is not permitted as a schema at \\$.properties.a"),
        (strict(a={"type": "string", "format": "uri"}), '"format": "uri" is not permitted at \\$.properties.a'),
        (strict(a={"enum": [str(n) for n in range(1001)]}), "1,000 values of enums at most, and the schema has 1,001"),
        (strict(**{f"p{n}": TEXT for n in range(5001)}), "5,000 properties at most"),
    ],
)
def test_strict_mode_says_what_is_wrong(schema, said):
    with pytest.raises(ConfigError, match=said):
        check_strict(schema)


def test_strict_mode_takes_what_openai_documents():
    node = strict(next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}, root={"$ref": "#"})
    check_strict(
        {
            **strict(
                text={"type": "string", "pattern": "^a", "format": "date", "title": "Text", "default": "a", "x-a": 1},
                number={"type": ["number", "null"], "multipleOf": 2, "minimum": 0, "exclusiveMaximum": 9},
                items={"type": "array", "items": {"enum": ["a", 1]}, "minItems": 1, "maxItems": 3},
                const={"const": "x"},
                node={"$ref": "#/$defs/node"},
            ),
            "$defs": {"node": node},
            "description": "all",
            "$schema": "https://json-schema.org/draft/2020-12/schema",
        }
    )
    deep: dict[str, Any] = TEXT
    for _ in range(10):
        deep = strict(a=deep)
    check_strict(deep)
    with pytest.raises(ConfigError, match="nested more than 10 levels deep at"):
        check_strict(strict(a=deep))
