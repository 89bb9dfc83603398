"""A grammar for every keyword of JSON Schema: what is valid can be written, and what is held cannot be broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ftkit.errors import ConfigError
from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar, GrammarCache
from ftkit.inference.json_grammar import hold_schema

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}


@pytest.fixture(scope="module")
def tokens(tokenizer: Any) -> Any:
    return GrammarCache(tokenizer, [2])._tokens


def writes(grammar: Grammar, tokens: Any, value: Any) -> bool:
    """Whether the grammar allows the value, from its first token to its end."""
    state = grammar.start()
    ids = tokens.tokenize_str(json.dumps(value, ensure_ascii=False))
    matcher = state._matcher
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("schema", "valid", "held_off", "unheld"),
    [
        ({"const": {"a": [1]}}, [{"a": [1]}], [{"a": [2]}], []),
        ({"enum": [1, "a", None]}, [1, "a", None], [2, "b"], []),
        ({"type": ["string", "null"], "minLength": 2, "maxLength": 3}, ["ab", None], ["a", "abcd", 1], []),
        ({"type": "integer", "minimum": 3, "exclusiveMaximum": 12}, [3, 11], [2, 12], []),
        ({"type": "integer", "multipleOf": 5, "minimum": 0}, [0, 15], [7], []),
        ({"type": "array", "items": NUMBER, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3], ["a"]], []),
        ({"type": "array", "prefixItems": [TEXT, NUMBER], "items": False}, [["a", 1]], [[1]], []),
        ({"type": "array", "items": NUMBER, "uniqueItems": True}, [[1, 2], [1, 1]], [["a"]], ["uniqueItems"]),
        ({"type": "array", "contains": NUMBER}, [[1], ["a"]], [{}], ["contains"]),
        ({"type": "object", "minProperties": 1, "additionalProperties": NUMBER}, [{"a": 1}], [{}, {"a": "b"}], []),
        ({"type": "object", "propertyNames": {"pattern": "^a"}}, [{"a": 1}, {"b": 1}], [1], ["propertyNames"]),
        ({"type": "object", "patternProperties": {"^a": NUMBER}}, [{"a": 1}, {"b": "x"}], [{"a": "x"}], []),
        ({"patternProperties": {"^(?!a)": NUMBER}, "type": "object"}, [{"b": 1}, {"a": 1}], [1], ["patternProperties"]),
        ({"type": "object", "properties": {"a": {"not": {}}, "b": NUMBER}}, [{"b": 1}, {}], [{"a": 1}], []),
        ({"type": "object", "properties": {"a": NUMBER}, "unevaluatedProperties": False}, [{"a": 1}], [{"b": 1}], []),
        ({"allOf": [{"type": "object", "properties": {"a": TEXT}}, {"required": ["a"]}]}, [{"a": "x"}], [{}], []),
        ({"anyOf": [TEXT, NUMBER]}, ["a", 1], [None], []),
        ({"oneOf": [TEXT, NUMBER]}, ["a", 1], [None], []),
        ({"oneOf": [{"type": "number"}, NUMBER]}, [1.5, 1], ["a"], ["oneOf"]),
        ({"if": TEXT, "then": {"minLength": 2}, "type": ["string", "integer"]}, ["ab", "a", 1], [None], ["if"]),
        ({"type": "string", "pattern": r"^\d{2}-\p{Lu}$"}, ["12-É"], ["1-A", "12-a"], []),
        ({"type": "string", "pattern": "^(?=.*a)b"}, ["ba", "c"], [1], ["pattern"]),
        ({"type": "string", "format": "date"}, ["2024-02-29"], ["x", "2024-13-01"], []),
        ({"type": "string", "format": "uri-reference"}, ["/a"], [1], ["format"]),
        ({"type": "string", "format": "colour"}, ["red"], [1], []),
        ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, [{"next": {"next": None}}, {}], [{"next": 1}], []),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, [{"a": {"a": {}}}], [{"a": 1}, {"a": {"a": 1}}], []),
    ],
)  # fmt: skip
def test_every_keyword_is_held_or_named(schema, valid, held_off, unheld, tokens):
    held = hold_schema(schema, tokens, strict=False)
    assert [one.keyword for one in held.unheld] == unheld
    grammar = Grammar("start: %json " + json.dumps(held.schema), tokens)
    assert [writes(grammar, tokens, value) for value in valid] == [True] * len(valid)
    assert [writes(grammar, tokens, value) for value in held_off] == [False] * len(held_off)
    if unheld:
        with pytest.raises(ConfigError, match=f'cannot be constrained to "{unheld[0]}" at'):
            hold_schema(schema, tokens, strict=True)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "minItems": 3, "maxItems": 2}, 'nothing satisfies "minItems" at \\$ '),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, '"enum" at \\$.properties.a '),
        (
            {"type": "array", "items": {"type": "string", "pattern": "^x$", "format": "date"}, "minItems": 1},
            '"pattern" at \\$.items ',
        ),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "no answer is valid"),
        ({"not": {}}, '"not" at \\$ forbids every value'),
    ],
)
def test_what_nothing_satisfies_is_refused_with_its_place(schema, said, tokens):
    with pytest.raises(ConfigError, match=said):
        hold_schema(schema, tokens, strict=False)


def test_a_schema_nested_too_deep_is_refused(tokens):
    deep: dict[str, Any] = TEXT
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(ConfigError, match="nested too deep"):
        hold_schema(deep, tokens, strict=False)


def test_a_schema_cannot_change_the_grammar(tokens):
    held = hold_schema(
        {"type": "object", "x-guidance": {"lenient": True, "whitespace_flexible": True}}, tokens, strict=True
    )
    grammar = Grammar("start: %json " + json.dumps(held.schema), tokens)
    assert writes(grammar, tokens, {"a": [1, 2]})
    assert grammar.start()._matcher.try_consume_tokens(tokens.tokenize_str("{\n")) < 2


def test_compiled_grammars_are_kept_up_to_a_size(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.inference.constrained._CACHED_CHARACTERS", 3_000)
    cache = GrammarCache(tokenizer, [2])
    specs = [AnswerSpec(answer=json.dumps({"const": f"{number}" + "x" * 1_000})) for number in range(5)]
    found = [cache.get_answer(spec) for spec in specs]
    assert cache.get_answer(specs[-1]) is found[-1]
    assert len(cache._grammars) == 2
    assert cache.get_answer(specs[0]) is not found[0]
    large = AnswerSpec(answer=json.dumps({"const": "x" * 5_000}))
    assert cache.get_answer(large) is cache.get_answer(large)
