"""Configurations of promptfoo in the forms of its own examples: tests in tables, several prompts in a file, templates.

The repository's examples ``simple-test``, ``simple-csv`` and ``json-output`` have these forms.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.interchange import PromptfooConfig, import_promptfoo_config
from ftkit.interchange.promptfoo_tests import assertion

PROMPTS = "Rephrase this to Pirate: {{body}}\n---\nPretend you're a pirate: {{body}}\n"


def read(folder: Path, config: str, **files: str) -> PromptfooConfig:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    (folder / "promptfooconfig.yaml").write_text(config, encoding="utf-8")
    return import_promptfoo_config(folder / "promptfooconfig.yaml")


@pytest.mark.parametrize("name", ["prompts.txt", "file://prompts.txt"])
def test_a_file_of_text_holds_several_prompts(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, f"prompts: [{name}]\ntests: [{{vars: {{body: x}}}}]", prompts_txt=PROMPTS)
    assert found.task.input == "Rephrase this to Pirate: {body}"
    assert found.left_out == ["1 other prompts"]
    second = import_promptfoo_config(tmp_path / "promptfooconfig.yaml", prompt=1)
    assert second.task.input == "Pretend you're a pirate: {body}"


TABLE = (
    "\ufeffbody,__expected,__expected2,__description\n"
    "Hello,equals:Ahoy,icontains:ahoy,greets\n"
    '"I\'m\nhungry",grub,fn:output.length < 9,\n'
    "bare,,is-json,\n"
)


@pytest.mark.parametrize("name", ["tests.csv", "file://tests.csv", "[file://tests.csv]"])
def test_tests_in_a_table(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, f"prompts: prompts.txt\ntests: {name}", prompts_txt=PROMPTS, tests_csv=TABLE)
    assert list(found.rows) == [
        {"body": "Hello", "expected": "Ahoy"}, {"body": "I'm\nhungry", "expected": "grub"}, {"body": "bare"}
    ]  # fmt: skip
    assert found.left_out[1:] == [f"1 assertions of type {kind}" for kind in ("icontains", "javascript", "is-json")]


def test_tests_in_lines_and_in_several_files(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "prompts: ['{{q}}']\ntests: [file://a.jsonl, {vars: {q: 2}}, b.yaml]",
        a_jsonl='{"vars": {"q": "1"}, "assert": [{"type": "equals", "value": "one"}]}\n\n',
        b_yaml="- vars: {q: 3}\n",
    )
    assert list(found.rows) == [{"q": "1", "expected": "one"}, {"q": 2}, {"q": 3}]


def test_words_are_no_booleans(tmp_path: Path) -> None:
    """By YAML 1.2's core schema, which promptfoo reads."""
    found = read(
        tmp_path,
        "prompts: ['{{q}}']\ntests:\n- vars: {q: Yes, at: 1:30, zip: 02134, on: true, n: 12}\n"
        "  assert: [{type: equals, value: No}]",
    )
    assert found.rows[0] == {"q": "Yes", "at": "1:30", "zip": "02134", "on": True, "n": 12, "expected": "No"}


def test_assertions_by_reference_and_schemas_in_files(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "prompts: ['{{q}}']\n"
        "assertionTemplates: {short: {type: icontains, value: arr}}\n"
        "tests:\n- vars: {q: a}\n  assert: [{$ref: '#/assertionTemplates/short'}, {$ref: '#/nowhere'},"
        " {type: is-json, value: file://schema.json}]",
        schema_json='{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}',
    )
    assert found.left_out == ["1 assertions of type icontains", "1 assertions of type $ref"]
    assert found.task.parse('{"a": "x"}') == {"a": "x"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("icontains:bonjour", ("icontains", "bonjour")),
        ("is-json", ("is-json", None)),
        ("not-equals:x", ("not-equals", "x")),
        ("similar(0.8):hello", ("similar", "hello")),
        ("grade:is polite", ("llm-rubric", "is polite")),
        ("contains", ("equals", "contains")),
        ("note: this is text", ("equals", "note: this is text")),
        ("Yes", ("equals", "Yes")),
        ("cost", ("cost", None)),
    ],
)
def test_assertions_of_tables(text: str, wanted: tuple[str, str | None]) -> None:
    found = assertion(text)
    assert (found["type"], found["value"]) == wanted


@pytest.mark.parametrize(
    ("config", "table", "says"),
    [
        ("prompts: prompts.txt\ntests: tests.csv", "a,b\n1,2,3\n", "tests.csv: row 2 has 3 values"),
        ("prompts: prompts.txt\ntests: tests.csv", 'a\n"open', "tests.csv: not CSV"),
        ("prompts: prompts.txt\ntests: tests.csv", "a,__prefix\n1,Hi \n", "options.prefix is text of one"),
        ("prompts: prompts.txt\ntests: tests.xlsx", "", "only lists, and files of .json, .jsonl"),
        ("prompts: prompts.txt\ntests: file://*.csv", "", "only lists, and files of"),
        ("prompts: prompts.txt\ntests: file://t.js:f", "", "only lists, and files of"),
        ("prompts: file://tests.csv\ntests: [{vars: {a: 1}}]", "", "is no file of text"),
        ("prompts: prompts.txt", "", "tests is no list of tests"),
        ("prompts: ['{{ a | upper }}', '{{a}}']\ntests: [{vars: {a: 1}}]", "", "prompt takes another"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, config: str, table: str, says: str) -> None:
    with pytest.raises(ft.FtkitError, match=says):
        read(tmp_path, config, prompts_txt=PROMPTS, tests_csv=table)
