"""Calls are held to the schemas of the tools, whatever the model and however its template writes calls."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest
from openai import OpenAI

from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from tests.server.chat.conftest import client_of, running
from tests.server.chat.test_calling import TEMPLATE as TAGGED
from tests.tiny import save_tiny

_ROLES = "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}"
_END = "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
_TOOLS = "{%- if tools -%}{{- 'tools ' + tools | tojson + '\n' -}}{%- endif -%}"
BARE = '{#- ipython {"name": n, "parameters": p} -#}' + _TOOLS + _ROLES + _END
LISTED = "{#- [TOOL_CALLS] -#}" + _TOOLS + _ROLES + _END
UNKNOWN = "{#- <tool_call><function=name> -#}" + _TOOLS + _ROLES + _END

ASK = [{"role": "user", "content": "Who lies in bed 4?"}]
BED = {"type": "integer", "enum": [4, 5, 12]}


def tool(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    held = {} if parameters is None else {"parameters": parameters}
    return {"type": "function", "function": {"name": name, **held, **more}}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


FIND = tool(
    "find", closed(bed=BED, ward={"$ref": "#/$defs/ward"}) | {"$defs": {"ward": {"enum": ["A", "B"]}}}, strict=True
)
FREE = tool("find_free", closed(kind={"type": ["string", "null"], "enum": ["single", None]}))
STOP = tool("stop")
TOOLS = [FIND, FREE, STOP]


@pytest.fixture(scope="module")
def client(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """Random models: whatever they write, the grammar makes them write it."""
    folder = tmp_path_factory.mktemp("callers")
    models = {}
    for name, template, added in (
        ("tagged", TAGGED, ()),
        ("tokens", TAGGED, ("<tool_call>", "</tool_call>")),
        ("bare", BARE, ()),
        ("listed", LISTED, ("[TOOL_CALLS]",)),
        ("unknown", UNKNOWN, ()),
        ("without", _ROLES + _END, ()),
    ):
        own = copy.deepcopy(tokenizer)
        own.chat_template = template
        own.add_tokens([*added], special_tokens=name == "listed")
        models[name] = save_tiny(folder / name, "llama", own, max_position_embeddings=2048)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_HOME", str(tmp_path_factory.mktemp("server-home")))
        with running(create_app(Settings(models=models, cache_bytes=64 * 2**20))) as url:
            yield client_of(url)


def ask(client: OpenAI, model: str, **options: Any) -> Any:
    options = {"messages": ASK, "tools": TOOLS, "temperature": 1, "seed": 1, "max_tokens": 400, **options}
    return client.chat.completions.create(model=model, **options)


def check(calls: Any, allowed: tuple[str, ...] = ("find", "find_free", "stop")) -> None:
    schemas = {one["function"]["name"]: one["function"].get("parameters", closed()) for one in TOOLS}
    for call in calls:
        assert call.function.name in allowed
        jsonschema.validate(json.loads(call.function.arguments), schemas[call.function.name])
    assert len({call.id for call in calls}) == len(calls)


FORMS = ("tagged", "tokens", "bare", "listed", "unknown", "without")


@pytest.mark.parametrize("model", FORMS)
def test_a_required_call_is_one_of_the_tools_with_valid_arguments(client: OpenAI, model: str) -> None:
    for seed in range(2):
        options = {"tool_choice": "required", "parallel_tool_calls": False, "seed": seed, "temperature": 2}
        [choice] = ask(client, model, **options).choices
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        [call] = choice.message.tool_calls
        check([call])


@pytest.mark.parametrize("model", FORMS)
def test_a_named_function_is_called_once(client: OpenAI, model: str) -> None:
    options = {"tool_choice": {"type": "function", "function": {"name": "find"}}}
    [choice] = ask(client, model, **options).choices
    [call] = choice.message.tool_calls
    check([call], ("find",))
    assert choice.finish_reason == "stop"  # as at OpenAI: the call was not the model's choice
    chunks = [chunk.choices[0] for chunk in ask(client, model, **options, stream=True)]
    parts = [one for chunk in chunks for one in chunk.delta.tool_calls or ()]
    assert (parts[0].id, parts[0].function.name) == (call.id, call.function.name)
    assert "".join(part.function.arguments for part in parts) == call.function.arguments
    assert len(parts) > 2
    assert all(len(chunk.delta.tool_calls or ()) <= 1 for chunk in chunks)
    assert not any(chunk.delta.content for chunk in chunks)
    assert chunks[-1].finish_reason == "stop"


def test_several_calls_and_several_answers(client: OpenAI) -> None:
    counts = set()
    for seed in range(3):
        for choice in ask(
            client, "tokens", tool_choice="required", n=3, seed=seed, temperature=2, max_tokens=60
        ).choices:
            if choice.finish_reason == "tool_calls":
                check(choice.message.tool_calls)
                counts.add(len(choice.message.tool_calls))
    assert max(counts) > 1


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"name": "f"}, {"name": "g"}, {"name": "f"}], "tools[2].function.name"),
        ([{"name": "f"}, {"name": "g", "parameters": {"type": "object", "properties": []}}],
         "tools[1].function.parameters"),
        ([{"name": "f", "parameters": {"type": "array"}}], "tools[0].function.parameters"),
        ([{"name": "f", "parameters": {"properties": {"a": {"type": "text"}}}}], "tools[0].function.parameters"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_tools_that_cannot_be_called_are_refused_by_place(
    client: OpenAI, tools: list[dict[str, Any]], param: str, choice: str
) -> None:
    """Also those that are not strict, whose calls no grammar holds."""
    given = [{"type": "function", "function": tool} for tool in tools]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "tagged", tools=given, tool_choice=choice, max_tokens=1)
    assert caught.value.param == param


def test_only_the_allowed_tools_are_called(client: OpenAI) -> None:
    chosen = {
        "mode": "required",
        "tools": [{"type": "function", "function": {"name": name}} for name in ("stop", "find")],
    }
    for seed in range(4):
        options = {"tool_choice": {"type": "allowed_tools", "allowed_tools": chosen}, "seed": seed, "temperature": 2}
        [choice] = ask(client, "tagged", parallel_tool_calls=False, **options).choices
        check(choice.message.tool_calls, ("find", "stop"))


@pytest.mark.parametrize(("model", "text"), [("tokens", "<tool_call>"), ("listed", "[TOOL_CALLS]")])
def test_a_call_that_the_model_chooses_is_held_where_a_tool_is_strict(
    client: OpenAI, model: str, text: str, tokenizer: Any
) -> None:
    opening = {str(len(tokenizer)): 100}  # the first token that was added
    [choice] = ask(client, model, logit_bias=opening, parallel_tool_calls=False).choices
    assert choice.finish_reason == "tool_calls"
    check(choice.message.tool_calls)
    [free] = ask(client, model, logit_bias={str(len(tokenizer)): -100}, max_tokens=20).choices
    assert free.message.tool_calls is None
    assert free.message.content


@pytest.mark.parametrize("model", ["tagged", "tokens", "bare", "listed", "unknown", "without"])
def test_an_answer_is_in_the_schema_or_a_call(client: OpenAI, model: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "bed", "schema": closed(bed=BED), "strict": True}}
    for seed in range(2):
        options = {"response_format": form, "seed": seed, "temperature": 2, "parallel_tool_calls": False}
        [choice] = ask(client, model, **options).choices
        if choice.message.tool_calls:
            check(choice.message.tool_calls)
        else:
            assert json.loads(choice.message.content)["bed"] in BED["enum"]
        [choice] = ask(client, model, **options, tool_choice="none").choices
        assert json.loads(choice.message.content)["bed"] in BED["enum"]


def test_tools_that_are_not_strict_take_every_keyword_and_name_what_is_not_held(client: OpenAI) -> None:
    loose = tool("tag", {"properties": {"tags": {"type": "array", "items": BED, "uniqueItems": True, "maxItems": 2}}})
    options = {"tools": [loose], "tool_choice": "required", "max_tokens": 60, "parallel_tool_calls": False}
    raw = client.chat.completions.with_raw_response.create(model="tagged", messages=ASK, **options)
    assert raw.headers["x-ftkit-not-held"] == '"uniqueItems" at tag: $.properties.tags'
    [call] = raw.parse().choices[0].message.tool_calls
    assert set(json.loads(call.function.arguments)) <= {"tags"}
    # Where nothing forces a call, such a schema is only described to the model.
    assert ask(client, "tagged", tools=[loose], max_tokens=4).choices[0].finish_reason == "length"


def test_a_call_that_reaches_the_limit_is_returned_as_far_as_it_goes(client: OpenAI) -> None:
    endless = tool("say", closed(text={"type": "string", "minLength": 500}))
    [choice] = ask(client, "tagged", tools=[endless], tool_choice="required", max_tokens=40).choices
    [call] = choice.message.tool_calls
    assert (choice.finish_reason, call.function.name) == ("length", "say")
    assert call.function.arguments.startswith('{"text": "')


def test_earlier_calls_and_results_reach_a_model_whose_template_has_no_place_for_them(client: OpenAI) -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"bed": 4, "ward": "A"}'}}
    turns = [{"role": "assistant", "content": None, "tool_calls": [called]}]
    results = [{"role": "tool", "tool_call_id": "call_1", "content": "Mrs. Hill"}]
    counts = [
        ask(client, "without", messages=[*ASK, *more], tools=tools, max_tokens=1).usage.prompt_tokens
        for more, tools in (([], [STOP]), ([], TOOLS), (turns + results, TOOLS))
    ]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize(
    ("options", "param", "said"),
    [
        ({"tool_choice": "required", "tools": None}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"tool_choice": "always"}, "tool_choice", "expected 'auto'"),
        ({"tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice", "no function 'fly'"),
        ({"tool_choice": {"type": "function", "name": "find"}}, "tool_choice", "function: Field required"),
        (
            {"tools": [STOP, tool("a", {"type": "object", "properties": {"x": BED}}, strict=True)]},
            "tools[1].function.parameters",
            r"Invalid schema for function 'a': \"additionalProperties\" must be false at \$ ",
        ),
        (
            {"tools": [tool("a", closed(x={"oneOf": [BED]}), strict=True)]},
            "tools[0].function.parameters",
            r'"oneOf" is not permitted at \$.properties.x in strict mode',
        ),
        (
            {"tools": [tool("a", closed(x={"type": "string", "pattern": "(?=a)"}), strict=True)]},
            "tools[0].function.parameters",
            r'cannot be constrained to "pattern" at \$.properties.x',
        ),
        (
            {"tools": [tool("a", {"type": "array"})], "tool_choice": "required"},
            "tools[0].function.parameters",
            'must have "type": "object"',
        ),
        (
            {"tools": [tool("a", {"properties": {"x": {"type": "any"}}})], "tool_choice": "required"},
            "tools[0].function.parameters",
            r"at \$.properties.x.type: 'any'",
        ),
        (
            {
                "tools": [tool("a", closed(x={"type": "array", "minItems": 3, "maxItems": 2}))],
                "tool_choice": "required",
            },
            "tools[0].function.parameters",
            r'no answer is valid: nothing satisfies "minItems" at \$.properties.x',
        ),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(client: OpenAI, options: Any, param: str, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        ask(client, "tagged", **options)
    assert refused.value.param == param
    assert not any(word in str(refused.value) for word in ("llguidance", "Unimplemented", "JsonOutput", "Regex"))
