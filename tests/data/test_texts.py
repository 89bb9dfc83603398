"""Rows of plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.data import Dataset
from ftkit.errors import ConfigError, DataError, FormatError


def test_texts_are_read_from_rows_and_from_files(tmp_path: Path):
    data = Dataset.from_rows([{"text": "One.", "id": 7, "url": "u"}, {"text": "Two."}])
    assert (data.kind, data.format, data.check()) == ("texts", "text", [])
    first, second = data
    assert (first.text, first.prompt, first.completion, first.id) == ("One.", [], None, "7")
    assert (second.text, data.unread_columns()) == ("Two.", {"url": 1})
    files = [tmp_path / "a.txt", tmp_path / "b.md"]
    files[0].write_bytes("\ufeffEin Satz – mit Strich.\n".encode())
    files[1].write_text("# Title\n\nText.\n", encoding="utf-8")
    read = Dataset.load(files)
    assert [row.text for row in read] == ["Ein Satz – mit Strich.\n", "# Title\n\nText.\n"]
    assert list(Dataset.from_spec(read.to_spec())) == list(read)
    other = Dataset.from_rows([{"body": "One."}], columns={"text": "body"})
    assert (other.kind, other[0].text) == ("texts", "One.")
    read.write_trl(tmp_path / "texts.jsonl")
    assert [row.text for row in Dataset.load(tmp_path / "texts.jsonl")] == [row.text for row in read]
    with pytest.raises(DataError, match=r"not a plain text|no answer"):
        data.write_openai(tmp_path / "no.jsonl")


def test_a_text_beside_other_columns_is_no_document_unless_it_is_said(tmp_path: Path):
    rows = [{"text": "great", "label": "positive"}]
    with pytest.raises(FormatError):
        Dataset.from_rows(rows)
    assert Dataset.from_rows(rows, format="text").kind == "texts"
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert Dataset.from_rows([{"messages": turns, "text": "<s>q a</s>"}]).kind == "demonstrations"
    assert Dataset.from_rows(rows, ft.Task(input="{text}"), target="label").kind == "demonstrations"
    with pytest.raises(ConfigError, match="plain texts"):
        Dataset.from_rows([{"text": "a", "name": "b"}], target="name")


def test_faulty_texts_are_named(tmp_path: Path):
    data = Dataset.from_rows([{"text": "fine"}, {"text": " "}, {"text": None}, {"text": "a", "weight": 0}])
    assert [(error.place.line, error.field) for error in data.check()] == [(2, "text"), (3, "text"), (4, "weight")]
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="UTF-8"):
        list(Dataset.load(broken))
    (tmp_path / "long.txt").write_text("12345")
    with pytest.raises(DataError, match="more than the 4 allowed"):
        Dataset.load(tmp_path / "long.txt", max_line_bytes=4)


def test_texts_are_linted_as_texts():
    data = Dataset.from_rows([{"text": f"Ward {n} has {n} beds."} for n in (1, 2, 3, 3)])
    assert [(finding.code, finding.line) for finding in ft.lint(data).findings if finding.code[0] == "U"] == [
        ("U001", 4)
    ]
