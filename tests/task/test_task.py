from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator, model_validator

import ftkit as ft
from ftkit import ConfigError, OutputError, Task
from ftkit.schema import ChoiceOutput, JsonOutput, TextOutput
from tests.schema.records import Mood


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int = Field(ge=0)
    medication: str | None = None

    @field_validator("patient_name")
    @classmethod
    def _named(cls, name: str) -> str:
        if name == "unknown":
            raise ValueError("a name, not 'unknown'")
        return name

    @model_validator(mode="after")
    def _grown(self) -> Visit:
        if self.medication == "aspirin" and self.age < 12:
            raise ValueError("no aspirin for children")
        return self


TASK = Task("Extract the visit.", input="{note}", output=Visit)
GOOD = '{"patient_name": "Zoë", "age": 41, "medication": null}'


def test_a_row_becomes_messages() -> None:
    system, user = TASK.prompt({"note": "Zoë, 41.", "other": 1})
    assert system == {
        "role": "system",
        "content": "Extract the visit.\n\nAnswer with one JSON object with these keys, in this order:\n"
        "- patient_name: string\n- age: integer, at least 0\n- medication: string or null",
    }
    assert user == {"role": "user", "content": "Zoë, 41."}
    assert TASK.columns == ("note",)


def test_the_system_message_holds_what_there_is_to_say() -> None:
    row = {"note": "x"}
    user = {"role": "user", "content": "x"}
    quiet = TASK.model_copy(update={"show_schema": False})
    assert quiet.prompt(row) == [{"role": "system", "content": "Extract the visit."}, user]
    assert Task(input="{note}").prompt(row) == [user]
    assert Task("", input="{note}", output=Visit, show_schema=False).prompt(row) == [user]
    assert Task(input="{note}", output=Literal["a", "b"]).prompt(row)[0]["content"].startswith("Answer with exactly")


def test_examples_stand_between_the_system_message_and_the_question(tmp_path: Path) -> None:
    zoe, al = {"patient_name": "Zoë", "age": 41}, Visit(patient_name="Al", age=3)
    task = TASK.model_copy(update={"examples": [("Zoë, 41.", zoe), {"input": "Al (3)", "output": al}]})
    assert [message["role"] for message in task.prompt({"note": "x"})] == ["system", *["user", "assistant"] * 2, "user"]
    assert task.prompt({"note": "x"})[2] == {"role": "assistant", "content": GOOD}
    task.to_yaml(tmp_path / "task.yaml")
    assert Task.from_yaml(tmp_path / "task.yaml") == task
    assert task.model_copy(update={"show_schema": False}).examples == task.examples
    assert task.fingerprint != TASK.fingerprint
    strings = Task(input="{note}", output=str | int, examples=[("x", '"a"'), ("y", "b"), ("z", 5)])
    assert [example.output for example in strings.examples] == ['"a"', '"b"', "5"]
    assert strings.model_copy().examples == strings.examples


def test_a_task_without_examples_is_dumped_as_before_there_were_any() -> None:
    assert "examples" not in TASK.model_dump(mode="json")
    assert "examples" not in TASK.to_yaml()
    plain = Task("Say it.", input="{note}")
    assert plain.fingerprint == "sha256:b15fa64ed34e3bf53d158e12db41634d5e95b38b4093291f57827d662a7eb2f2"


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([("Zoë", {"patient_name": "Zoë"})], r"examples: \[0\]: the answer is none of this task.*age"),
        ([("x", GOOD), "y"], r"examples: \[1\]: must be a pair"),
        ([(1, GOOD)], "the text of a user message"),
        ([{"question": "x"}], r"must have input and output.*question"),
        ("abc", "must be a list of pairs"),
    ],
)
def test_examples_that_are_none_are_refused_by_number(examples: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TASK.model_copy(update={"examples": examples})


def test_examples_without_a_template_are_refused() -> None:
    with pytest.raises(ConfigError, match="examples: need an input template"):
        Task(examples=[("a", "b")])


def test_a_task_without_input_passes_messages_through() -> None:
    task = Task()
    messages = [{"role": "user", "content": "hi"}]
    assert task.prompt({"messages": messages}) == messages
    assert task.columns == ()
    for row in ({}, {"messages": []}, {"messages": "hi"}):
        with pytest.raises(ConfigError, match="no input template"):
            task.prompt(row)


def test_answers_are_typed_when_the_class_is_known() -> None:
    assert TASK.parse(GOOD) == Visit(patient_name="Zoë", age=41)
    assert Task.from_yaml(TASK.to_yaml()).parse(GOOD) == {"patient_name": "Zoë", "age": 41, "medication": None}
    assert Task(output=Mood).parse("low") is Mood.LOW
    assert Task(output=list[Visit]).parse(f"[{GOOD}]") == [Visit(patient_name="Zoë", age=41)]
    assert Task(output=Literal["a", "b"]).parse("a") == "a"
    assert Task().parse("    return x\n") == "    return x\n"


@pytest.mark.parametrize(
    ("text", "problem", "path"),
    [
        ("Zoë is 41.", "not_json", "$"),
        ('{"patient_name": "Zoë"}', "missing_field", "$.age"),
        ('{"patient_name": "Zoë", "age": "41"}', "wrong_type", "$.age"),
        ('{"patient_name": "Zoë", "age": -1}', "invalid_value", "$.age"),
        ('{"patient_name": "unknown", "age": 1}', "invalid_value", "$.patient_name"),
        ('{"patient_name": "Al", "age": 3, "medication": "aspirin"}', "invalid_value", "$"),
    ],
)
def test_a_wrong_answer_is_an_output_error_also_when_only_the_class_refuses_it(
    text: str, problem: str, path: str
) -> None:
    with pytest.raises(OutputError) as caught:
        TASK.parse(text)
    assert (caught.value.problem, caught.value.path, caught.value.text) == (problem, path, text)


def test_the_place_in_a_list_of_alternatives_is_a_json_path() -> None:
    task = Task(output=list[Visit | None])
    with pytest.raises(OutputError) as caught:
        task.parse('[null, {"patient_name": "unknown", "age": 1}]')
    assert caught.value.path == "$[1].patient_name"
    assert caught.value.message == "a name, not 'unknown'"


def test_targets_are_canonical_and_can_be_parsed() -> None:
    assert TASK.target({"age": 41, "patient_name": "Zoë"}) == GOOD
    assert TASK.target(Visit(patient_name="Zoë", age=41)) == GOOD
    assert TASK.target(' {"age": 41, "patient_name": "Zo\\u00eb"}') == GOOD
    assert Task(output=Mood).target(Mood.LOW) == Task(output=Mood).target("low") == "low"
    with pytest.raises(OutputError, match="unknown"):
        TASK.target({"patient_name": "unknown", "age": 1})


def test_targets_do_not_depend_on_whether_the_class_is_known() -> None:
    loaded = Task.from_yaml(TASK.to_yaml())
    assert loaded.target({"age": 41, "patient_name": "Zoë"}) == GOOD


def test_yaml_is_the_dumped_task(tmp_path: Path) -> None:
    task = Task("Read the note.\n\n  Be exact: yes\n", input="{note}", output=Visit)
    file = tmp_path / "task.yaml"
    text = task.to_yaml(file)
    assert file.read_text() == text
    assert "instructions: |\n  Read the note.\n" in text
    assert text.index("patient_name:") < text.index("age:") < text.index("medication:")
    for loaded in (Task.from_yaml(file), Task.from_yaml(str(file)), Task.from_yaml(text)):
        assert loaded == task
        assert loaded.fingerprint == task.fingerprint
    assert task.output.name == "Visit"


_outputs = st.one_of(
    st.just(TextOutput()),
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"])).map(str.strip).filter(bool), min_size=2, unique=True
    ).map(lambda choices: ChoiceOutput(choices=tuple(choices))),
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.sampled_from([{"type": "integer", "maximum": 1e-05}, {"enum": ["yes", "2024-01-01", None, 1.5]}]),
    ).map(lambda properties: JsonOutput(json_schema={"type": "object", "properties": properties})),
)


@given(st.none() | st.text(st.characters(exclude_categories=["Cs"])), _outputs, st.booleans())
def test_any_task_survives_yaml(instructions: str | None, output: Any, show_schema: bool) -> None:
    task = Task(instructions, input="{a}", output=output, show_schema=show_schema)
    loaded = Task.from_yaml(task.to_yaml())
    assert loaded == task
    assert loaded.model_dump() == task.model_dump()
    assert loaded.fingerprint == task.fingerprint


def test_yaml_may_be_written_by_hand() -> None:
    task = Task.from_yaml("instructions: Label it.\ninput: '{text}'\noutput: {kind: choice, choices: [good, bad]}")
    assert task == Task("Label it.", input="{text}", output=Literal["good", "bad"])
    schema = Task.from_yaml("output:\n  type: object\n  properties:\n    day: {default: 2024-01-31}\n").output
    assert schema.fields() == {"day": {"default": "2024-01-31"}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("instructions: a\ninstructoins: b", "instructoins: there is no such field; a task has instructions, input"),
        ("instructions: a\ninstructions: b", ':2: the key "instructions" is duplicated'),
        ("instructions: [a", "not valid YAML"),
        ("- a\n- b", "expected a mapping"),
        ("", "expected a mapping"),
        ("instructions: [a]", "instructions: should be a valid string"),
        ("input: '{a'", "input: .*not closed"),
        ("show_schema: perhaps", "show_schema: "),
        ("output: {kind: choice, choices: [yes, no]}", "put it in quotes"),
        ("output: {kind: json, json_schema: {type: objekt}}", r"json_schema: not a valid JSON Schema .* at \$\.type"),
        ("output: {kind: jsn}", "output: there is no kind 'jsn'"),
    ],
)
def test_yaml_that_is_no_task_is_refused_with_file_and_field(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        Task.from_yaml(file)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        Task.from_yaml("nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"instructions: \xe9t\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Task.from_yaml(tmp_path / "latin.yaml")


def test_the_fingerprint_is_over_everything_that_reaches_the_model() -> None:
    def sizes(first: str, second: str) -> dict[str, Any]:
        return {"type": "object", "properties": {first: {"type": "integer"}, second: {"type": "integer"}}}

    tasks = [
        Task("a", input="{x}", output=sizes("w", "h")),
        Task("b", input="{x}", output=sizes("w", "h")),
        Task("a", input="{y}", output=sizes("w", "h")),
        Task("a", input="{x}", output=sizes("h", "w")),
        Task("a", input="{x}", output=sizes("w", "h"), show_schema=False),
    ]
    assert len({task.fingerprint for task in tasks}) == len(set(tasks)) == 5
    turned = dict(reversed(sizes("w", "h").items()))
    assert Task("a", input="{x}", output=turned) == tasks[0]


def test_the_fingerprint_is_the_same_everywhere() -> None:
    assert TASK.fingerprint == "sha256:4a5bb4d124f177b678e37f921d0034fe492eeb6168ed36eb6053a029866c7ecf"
    code = (
        "import ftkit as ft; from typing import Literal;"
        "print(ft.Task('Grüße', input='{x}', output=Literal['b', 'a']).fingerprint)"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == Task("Grüße", input="{x}", output=Literal["b", "a"]).fingerprint


def test_a_docstring_is_no_part_of_the_task() -> None:
    class Documented(BaseModel):
        x: int

    class Other(BaseModel):
        """Newly documented."""

        x: int

    Other.__name__ = "Documented"
    assert Task(output=Documented).fingerprint == Task(output=Other).fingerprint


def test_tasks_are_equal_whether_they_know_their_class_or_not() -> None:
    loaded = Task.from_yaml(TASK.to_yaml())
    assert loaded == TASK
    assert hash(loaded) == hash(TASK)
    assert TASK != "task"
    for twin in (copy.deepcopy(TASK), pickle.loads(pickle.dumps(TASK)), Task.model_validate(TASK.model_dump())):
        assert twin == TASK
    assert Task.model_validate_json(TASK.model_dump_json()) == TASK
    assert pickle.loads(pickle.dumps(TASK)).parse(GOOD) == TASK.parse(GOOD)


def test_a_changed_copy_is_checked() -> None:
    assert TASK.model_copy(update={"instructions": "x"}).parse(GOOD) == TASK.parse(GOOD)
    assert TASK.model_copy(update={"output": str}).parse("x") == "x"
    with pytest.raises(ConfigError, match="reads no column"):
        TASK.model_copy(update={"input": "note"})


def test_a_class_is_bound_to_a_loaded_task() -> None:
    loaded = Task.from_yaml(TASK.to_yaml())
    bound = loaded.bind(Visit)
    assert bound.parse(GOOD) == Visit(patient_name="Zoë", age=41)
    assert bound == loaded
    assert isinstance(loaded.parse(GOOD), dict)
    assert Task.from_yaml(Task(output=Mood).to_yaml()).bind(Mood).parse("low") is Mood.LOW


def test_a_class_of_another_schema_is_not_bound() -> None:
    class Older(BaseModel):
        patient_name: str
        age: float = Field(ge=0)
        medication: str | None = None

    class Turned(BaseModel):
        age: int = Field(ge=0)
        patient_name: str
        medication: str | None = None

    with pytest.raises(ConfigError, match=r'differ at properties\.age.type: "integer" and "number"'):
        TASK.bind(Older)
    with pytest.raises(ConfigError, match="the order patient_name, age, medication and the order age"):
        TASK.bind(Turned)
    with pytest.raises(ConfigError, match="kind: json and choice"):
        TASK.bind(Mood)


def test_arguments_that_make_no_sense_are_refused() -> None:
    arguments: list[tuple[dict[str, Any], str]] = [
        ({"outptu": Visit}, "outptu: there is no such field in Task; did you mean output"),
        ({"output": Visit(patient_name="a", age=1)}, "give the class itself: output=Visit"),
        ({"output": {"type": 3}}, r"output: .*at \$\.type"),
        ({"instructions": 3}, "instructions: should be a valid string"),
        ({"input": "note"}, "reads no column"),
    ]
    for given_, why in arguments:
        with pytest.raises(ConfigError, match=why):
            Task(**given_)
    with pytest.raises(ConfigError, match="Task is frozen, so input cannot be changed"):
        TASK.input = "{x}"


def test_declaring_a_task_with_text_loads_no_validator() -> None:
    code = (
        "import sys, ftkit as ft; ft.Task('Hi', input='{x}').prompt({'x': 1});"
        "print([name for name in ('jsonschema', 'yaml', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_names_of_the_package() -> None:
    assert ft.Task is Task
    assert json.loads(ft.Task(output=Visit).output.format({"patient_name": "a", "age": 1}))["medication"] is None
