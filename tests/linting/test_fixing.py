from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftkit as ft
from ftkit.errors import OutputError
from ftkit.linting.fixing.file_edits import fix
from ftkit.linting.fixing.text_fixes import FIXABLE_CODES, fix_answer_text
from ftkit.linting.rules.safety import IGNORABLE_CHARACTERS

RECORD = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "kind": {"enum": ["bug", "Praise"]}, "n": {"type": ["number", "null"]}},
    "required": ["name"],
    "additionalProperties": False,
}
TASKS = [ft.Task(output=RECORD), ft.Task(output=Literal["bug", "Praise"]), ft.Task()]

texts = st.text(st.characters(codec="utf-8") | st.sampled_from(IGNORABLE_CHARACTERS + " \n`{}"), max_size=30)
values = st.fixed_dictionaries(
    {"name": texts}, optional={"n": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                               "kind": st.sampled_from(["bug", "BUG", " praise", "Praise", "other"])}
)  # fmt: skip
jsons = st.builds(
    lambda value, reverse, around: around.replace("@", json.dumps(dict(list(value.items())[:: -1 if reverse else 1]))),
    values, st.booleans(), st.sampled_from(["@", " @\n", "```json\n@\n```", "~~~\n@\n~~~", "Here: @", "\ufeff@"]),
)  # fmt: skip
answers = texts | jsons | st.sampled_from(["BUG", " praise ", "Bug\u200b", "prai\u00adse"])


def said(text: str, task: ft.Task) -> object:
    """What a reader takes from an answer: its value, without what mends may change."""
    plain = text.translate({ord(one): None for one in IGNORABLE_CHARACTERS}).strip()
    while plain.startswith(("```", "~~~")) and plain.endswith(("```", "~~~")) and "{" in plain:
        inner = plain[3:-3].strip().removeprefix("json").strip()
        try:
            json.loads(inner)
        except ValueError:
            break
        plain = inner
    try:
        value = json.loads(plain)
    except ValueError:
        return plain.strip().casefold()
    if isinstance(value, dict):
        made = {key: item.translate({ord(one): None for one in IGNORABLE_CHARACTERS}) if isinstance(item, str) else item
                for key, item in value.items()}  # fmt: skip
        if isinstance(made.get("kind"), str):
            made["kind"] = made["kind"].strip().casefold()
        return made
    return plain.casefold()


@given(answers, st.sampled_from(TASKS), st.sets(st.sampled_from(sorted(FIXABLE_CODES))))
def test_a_mended_answer_says_the_same_and_mending_again_changes_nothing(text, task, codes):
    once = fix_answer_text(text, task, codes)
    assert fix_answer_text(once, task, codes) == once
    assert said(once, task) == said(text, task)
    try:
        before = task.output.parse(text)
    except OutputError:
        return
    after = task.output.parse(once)
    assert said(_text(after), task) == said(_text(before), task)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@given(answers)
def test_nothing_is_mended_that_was_not_asked_for(text):
    assert fix_answer_text(text, TASKS[0], ()) == text


def _line(name: str, asked: str, answer: str, **style: Any) -> str:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return json.dumps({"id": name, "messages": turns}, **{"ensure_ascii": False, **style})


@pytest.fixture
def file(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [
        _line("a", "é", ' {"n": 1, "name": "x"}'),
        "",
        _line("b", "é", '```\n{"name": "y"}\n```', ensure_ascii=True, separators=(",", ":")),
        _line("c", "q", '{"name": "z"}').replace(": [", ":  ["),
        "not json",
        _line("d", "q", '{"name": "", "kind": "BUG"}').replace('{"id"', '{"ftkit_ignore": "J007", "id"'),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes("\r\n".join(lines).encode())
    return path


def test_a_new_file_has_the_mended_lines_and_all_others_byte_for_byte(file):
    before = file.read_bytes()
    shown = []
    data = ft.Dataset.load("rows.jsonl", TASKS[0], format="openai")
    (done,) = fix(data, on_change=lambda name, change: shown.append((name, change.line)))
    assert file.read_bytes() == before
    assert (done.target, done.changes) == (Path("rows.fixed.jsonl"), 2)
    assert shown == [("rows.jsonl", 1), ("rows.jsonl", 3)]
    old, new = before.split(b"\r\n"), Path("rows.fixed.jsonl").read_bytes().split(b"\r\n")
    assert [new[at] for at in (1, 3, 4, 5)] == [old[at] for at in (1, 3, 4, 5)]
    assert json.loads(new[0])["messages"][-1]["content"] == '{"name": "x", "n": 1}'
    assert "é".encode() in new[0]
    assert b'"content":"\\u00e9"' in new[2]  # as tight, and as escaped, as it was


def test_fixing_the_fixed_file_writes_nothing(file):
    fix(ft.Dataset.load("rows.jsonl", TASKS[0], format="openai"))
    (again,) = fix(ft.Dataset.load("rows.fixed.jsonl", TASKS[0], format="openai"))
    assert (again.target, again.changes) == (None, 0)
    assert not Path("rows.fixed.fixed.jsonl").exists()


def test_looking_only_writes_nothing(file):
    (done,) = fix(ft.Dataset.load("rows.jsonl", TASKS[0], format="openai"), write=False)
    assert done.changes
    assert list(file.parent.glob("*.fixed.jsonl")) == []


def test_answers_in_columns_are_mended_where_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"q": "a", "r": {"kind": "BUG", "name": "x\u200b"}}, {"q": "b", "r": {"name": "y"}}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ft.Dataset.load("rows.jsonl", ft.Task("x", input="{q}", output=RECORD), target="r")
    assert [found.code for found in ft.lint(data, select=["J007"]).errors] == ["J007"]
    fix(data)
    lines = Path("rows.fixed.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["r"] == {"kind": "bug", "name": "x"}
    assert json.loads(lines[1]) == rows[1]


def test_only_what_is_mended_is_marked(tmp_path):
    rows = [("a", "BUG"), ("b", "misc"), ("c", "bug"), ("d", "other")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": asked, "r": label}) + "\n" for asked, label in rows))
    data = ft.Dataset.load(path, ft.Task("x", input="{q}", output=Literal["bug", "Praise"]), target="r")
    report = ft.lint(data, select=["J007"])
    assert [(found.line, found.fixable) for found in report.errors] == [(1, True), (2, False), (4, False)]
    assert report.counts[0].fixable
    left = ft.lint(ft.Dataset.load(fix(data)[0].target, data.task, target="r"), select=["J007"])
    assert (left.counts[0].count, left.counts[0].fixable) == (2, False)


def test_whitespace_of_code_and_of_pairs_is_reported_and_left_alone(chats, tmp_path):
    code = chats(("write it", "    return x\n"), ("answer", "yes "), name="code.jsonl")
    report = ft.lint(code, select=["C006"])
    assert [(found.line, found.fixable) for found in report.findings] == [(1, False), (2, True)]
    (fixed,) = fix(code, codes=["C006"])
    lines = [json.loads(line)["messages"][-1]["content"] for line in Path(fixed.target).read_text().splitlines()]
    assert lines == ["    return x\n", "yes"]

    pair = {"prompt": "q", "chosen": " good", "rejected": "bad"}
    rows = [pair, {**pair, "rejected": " bad"}, {**pair, "chosen": "good", "rejected": "bad\n"}]
    pairs = chats(*rows, name="pairs.jsonl", format="trl_preference")
    found = [(found.line, found.message) for found in ft.lint(pairs, select=["C006"]).findings]
    assert (1, "only the chosen answer begins with whitespace, a difference that the model learns") in found
    assert (3, "only the rejected answer ends with whitespace, a difference that the model learns") in found
    assert [line for line, message in found if "only the" in message] == [1, 3]
    assert not any(found.fixable for found in ft.lint(pairs, select=["C006"]).findings)
    (unchanged,) = fix(pairs, codes=["C006"])
    assert unchanged.changes == 0


SPACED = [f" answer {number} " for number in range(3)]
CHATS = [
    {"messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": text}]}
    for number, text in enumerate(SPACED)
]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FORMS = {
    "messages": CHATS,
    "parts": [
        {"messages": [row["messages"][0], {"role": "assistant", "content": [{"type": "text", "text": text}]}]}
        for row, text in zip(CHATS, SPACED, strict=True)
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": f"q{number}"}, {"from": "gpt", "value": text}]}
        for number, text in enumerate(SPACED)
    ],
    "assistant": [{"conversations": row["messages"]} for row in CHATS],
    "alpaca": [{"instruction": f"q{number}", "output": text} for number, text in enumerate(SPACED)],
    "pairs": [{"prompt": f"q{number}", "completion": text} for number, text in enumerate(SPACED)],
    "calls": [
        {"messages": [row["messages"][0], {"role": "assistant", "content": text, "tool_calls": [CALL]}]}
        for row, text in zip(CHATS, SPACED, strict=True)
    ],
    "chosen": [{"prompt": f"q{number}", "chosen": text, "rejected": "  no "} for number, text in enumerate(SPACED)],
    "code": [{"prompt": f"q{number}", "completion": f"  def f():\n    return {number}\n"} for number in range(3)],
}
WRITERS = {
    "a.jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "lines.json": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "array.json": lambda rows: json.dumps(rows, indent=1),
    "array.jsonl": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_finding_is_fixable_where_and_only_where_fix_changes_the_row(form: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(WRITERS[name](FORMS[form]))
    before = path.read_bytes()
    data = ft.Dataset.load(path)
    report = ft.lint(data, select=sorted(FIXABLE_CODES), workers=1)
    (fixed,) = fix(data)
    assert sum(finding.fixable for finding in report.findings) == fixed.changes
    assert any(count.fixable for count in report.counts) == bool(fixed.changes)
    assert path.read_bytes() == before
    if fixed.target is not None:
        again = ft.Dataset.load(fixed.target)
        assert again.check() == []
        assert not any(finding.fixable for finding in ft.lint(again, select=sorted(FIXABLE_CODES)).findings)


def test_fences_among_json_are_fixable_where_fix_removes_them(tmp_path: Path) -> None:
    answers = ['{"a": 1}'] * 8 + ['```json\n{"a": 2}\n```'] * 2
    rows = [{"prompt": f"q{number}", "completion": answer} for number, answer in enumerate(answers)]
    for name, expected in (("a.jsonl", 2), ("array.json", 0)):
        (tmp_path / name).write_text(WRITERS[name](rows))
        data = ft.Dataset.load(tmp_path / name)
        findings = ft.lint(data, select="C008").findings
        assert (len(findings), sum(finding.fixable for finding in findings)) == (2, expected)
        assert fix(data)[0].changes == expected


def test_a_byte_order_mark_in_the_middle_of_a_file_is_no_part_of_the_fixed_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"\ufeff{json.dumps(row)}\n" for row in CHATS))
    (fixed,) = fix(ft.Dataset.load(path))
    assert fixed.changes == 3
    assert [row.completion["content"] for row in ft.Dataset.load(fixed.target)] == [text.strip() for text in SPACED]
