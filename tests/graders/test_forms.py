"""The JSON of graders: there and back, and OpenAI's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ftkit as ft
from ftkit.errors import ConfigError
from ftkit.graders import GraderMessage, SamplingParams, grader_of, load_grader

SPECS = "FTKIT_OPENAPI_SPECS"
"""Names a folder with openai-finetuning-openapi.yaml, against which the forms are checked."""

CHECK = {
    "type": "string_check",
    "name": "Example string check grader",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "operation": "eq",
}
SIMILAR = {
    "type": "text_similarity",
    "name": "Example text similarity grader",
    "input": "{{sample.output_text}}",
    "reference": "{{item.label}}",
    "evaluation_metric": "fuzzy_match",
}
SCORE = {
    "type": "score_model",
    "name": "Example score model grader",
    "model": "gpt-4o-2024-08-06",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "Score {{sample.output_text}}"}]}],
    "range": [0, 10],
    "sampling_params": {"temperature": 1, "top_p": 1, "seed": 42, "max_completions_tokens": 32768},
}
LABEL = {
    "type": "label_model",
    "name": "First label grader",
    "model": "gpt-4o-2024-08-06",
    "input": [
        {"type": "message", "role": "system", "content": {"type": "input_text", "text": "Classify it."}},
        {"role": "user", "content": "Statement: {{item.response}}"},
    ],
    "passing_labels": ["positive"],
    "labels": ["positive", "neutral", "negative"],
}
PYTHON = {
    "type": "python",
    "name": "Example python grader",
    "image_tag": "2025-05-08",
    "source": "def grade(sample: dict, item: dict) -> float:\n    return 1.0 if sample.get('output_text') else 0.0\n",
}
MULTI = {
    "type": "multi",
    "name": "example multi grader",
    "graders": {"similar": SIMILAR, "right": CHECK, "tone": LABEL},
    "calculate_output": "0.5 * similar + 0.3 * right + 0.2 * tone",
}
OPENAIS = [CHECK, SIMILAR, SCORE, LABEL, PYTHON, MULTI]


@pytest.mark.parametrize("form", OPENAIS, ids=[str(form["type"]) for form in OPENAIS])
def test_what_is_read_is_written_again(form: dict[str, Any], tmp_path: Path) -> None:
    grader = grader_of(form)
    assert grader.model_dump(mode="json") == form
    assert json.loads(grader.model_dump_json()) == form
    (tmp_path / "grader.json").write_text(json.dumps(form), encoding="utf-8")
    (tmp_path / "grader.yaml").write_text(yaml.safe_dump(form), encoding="utf-8")
    assert load_grader(tmp_path / "grader.json") == load_grader(tmp_path / "grader.yaml") == grader


def spec() -> dict[str, Any]:
    folder = os.environ.get(SPECS)
    if not folder:
        pytest.skip(f"{SPECS} names no folder with the OpenAPI file")
    text = (Path(folder) / "openai-finetuning-openapi.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return found


def validated(form: dict[str, Any], found: dict[str, Any]) -> None:
    names = {"string_check": "StringCheck", "text_similarity": "TextSimilarity", "score_model": "ScoreModel"}
    names |= {"label_model": "LabelModel", "python": "Python", "multi": "Multi"}
    schema = found["components"]["schemas"][f"Grader{names[form['type']]}"]
    if form["type"] == "multi":
        # The file types the map as one grader, which neither the guide nor the service does; each part is held to it.
        for part in form["graders"].values():
            validated(part, found)
        schema = {**schema, "properties": {**schema["properties"], "graders": {"type": "object"}}}
    schema = {**schema, "additionalProperties": False, "components": found["components"]}
    jsonschema.Draft202012Validator(schema).validate(form)


def test_the_forms_are_openais() -> None:
    found = spec()
    made = [
        ft.StringCheckGrader(reference="x"),
        ft.TextSimilarityGrader(reference="x", evaluation_metric="rouge_l"),
        ft.ScoreModelGrader(model="m", input=[GraderMessage(content="x")]),
        ft.ScoreModelGrader(
            model="m", input=[GraderMessage(content="x")], sampling_params=SamplingParams(reasoning_effort="low")
        ),
        ft.PythonGrader(source="def grade(sample, item): return 1.0"),
    ]
    forms = [*OPENAIS, *(one.model_dump(mode="json") for one in made)]
    for form in forms:
        validated(form, found)
    with pytest.raises(jsonschema.ValidationError):  # it does notice
        validated({**CHECK, "operation": "neq"}, found)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "name": st.text(min_size=1, max_size=10),
            "input": st.text(alphabet="ab{} .", max_size=10),
            "reference": st.sampled_from(["{{item.a}}", "x", "{{sample.output_json.a[0]}}"]),
            "operation": st.sampled_from(["eq", "ne", "like", "ilike"]),
        }
    )
)
def test_any_check_is_read_back_or_refused(fields: dict[str, Any]) -> None:
    try:
        grader = grader_of({"type": "string_check", **fields})
    except ConfigError:
        return
    assert grader_of(json.loads(grader.model_dump_json())) == grader


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"type": "strong_check"}, "there is no grader type 'strong_check'. Did you mean 'string_check'?"),
        ({**CHECK, "operation": "neq"}, "operation: should be 'eq', 'ne', 'like' or 'ilike'"),
        ({**CHECK, "reference": "{{row.x}}"}, 'reference: "{{row.x}}": a variable begins with'),
        ({**SIMILAR, "pass_threshold": 0.8}, "pass_threshold: there is no such field"),
        ({**MULTI, "calculate_output": "a.b"}, "is not allowed in a formula"),
        ([], "a grader is a mapping of fields, not list"),
    ],
)
def test_what_is_no_grader_says_where(form: Any, why: str, tmp_path: Path) -> None:
    file = tmp_path / "grader.json"
    file.write_text(json.dumps(form), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_grader(file)
    assert str(caught.value).startswith(str(file))
    assert why in str(caught.value)


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the grader"):
        load_grader(tmp_path / "none.json")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad.yaml:1: not valid YAML"):
        load_grader(tmp_path / "bad.yaml")


def test_ftkits_own_types_say_that_they_are() -> None:
    own = ft.RewardModelGrader(model="local:r")
    assert own.foreign == ("reward_model",)
    assert ft.MultiGrader(graders={"a": grader_of(CHECK), "b": own}, calculate_output="a+b").foreign == (
        "reward_model",
    )
    assert grader_of(MULTI).foreign == ()
