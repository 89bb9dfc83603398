"""JSON Lines as they come: what is accepted, and what each fault says."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest

from ftkit import DataError, Dataset, Task

TASK = Task(input="{a}")


def load(path: str, **options: object) -> Dataset:
    return Dataset.load(path, TASK, **options)  # type: ignore[arg-type]


def fault(path: str, row: int = 0) -> DataError:
    """The error of the only bad row of a file whose first row is good."""
    (error,) = load(path).check()
    return error


def test_plain_file(write):
    data = load(write("a.jsonl", '{"a": "x"}\n{"a": "ü"}\n'))
    assert [row.columns["a"] for row in data] == ["x", "ü"]
    assert [str(row.place) for row in data] == ["a.jsonl:1", "a.jsonl:2"]


def test_bom_crlf_blank_lines_and_no_newline_at_the_end(write):
    data = load(write("a.jsonl", b'\xef\xbb\xbf\r\n{"a": "x"}\r\n  \r\n\n{"a": "y"}\r\n{"a": "z"}'))
    assert [(row.columns["a"], row.place.line) for row in data] == [("x", 2), ("y", 5), ("z", 6)]
    assert data[1].place.line == 5


def test_unicode_line_separators_do_not_end_a_row(write):
    data = load(write("a.jsonl", '{"a": "x\u2028y\x85"}\n{"a": "z"}\n'))
    assert [row.columns["a"] for row in data] == ["x\u2028y\x85", "z"]


def test_bad_utf8_names_the_byte(write):
    error = fault(write("a.jsonl", b'{"a": "x"}\n{"a": "\xe9t\xe9"}\n'))
    assert str(error).startswith("a.jsonl:2: not UTF-8: byte 0xe9 at byte 8 of the row (offset 18 of the file)")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"a": "x", "b": {"k": 1, "k": 2}}', "a.jsonl:2: k: this key is twice"),
        ('{"a": "x", "a": "x"}', "a.jsonl:2: a: this key is twice"),
        ('{"a": NaN}', "a.jsonl:2: a: NaN is not JSON"),
        ('{"a": 1, "b": [{"c": 0}, {"c": -Infinity}], "d": NaN}', "a.jsonl:2: b[1].c: -Infinity is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "too large for a 64-bit float"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ('["x"]', "must be a JSON object, this is a list"),
        ('"x"', "must be a JSON object, this is a text"),
        ('[{"role": "user", "content": "x"}]', 'this is a list of messages; write them as {"messages": [...]}'),
        ('[{"from": "human", "value": "x"}]', 'this is a list of messages; write them as {"messages": [...]}'),
        ('{"a": "x"},', "a comma follows the row"),
        ('{"a": "x"} , \r', "a comma follows the row"),
        ("null", "must be a JSON object, this is null"),
        ('{"a": "x"', "it ends too early"),
        ('{"a": "x', "it ends too early"),
        ('{"a": "x"}{"a": "y"}', "more than one JSON value"),
        ("{'a': 'x'}", "not JSON"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair"),
        ('{"a": "x"}\0', "NUL byte"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_faults_of_a_row(write, line, text):
    error = fault(write("a.jsonl", '{"a": "x"}\n' + line + '\n{"a": "y"}\n'))
    assert text in str(error)
    assert error.place is not None
    assert error.place.line == 2


def test_whole_surrogate_pair_is_a_character(write):
    assert load(write("a.jsonl", '{"a": "\\ud83d\\ude00"}\n'))[0].columns["a"] == "😀"


def test_huge_line_is_refused_with_its_size(write):
    name = write("a.jsonl", '{"a": "x"}\n{"a": "' + "y" * 100 + '"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: a row of 109 bytes, more than the 50 allowed.*max_line_bytes="):
        load(name, max_line_bytes=50)
    assert len(load(name, max_line_bytes=109)) == 2


def test_check_lists_every_bad_row(write):
    data = load(write("a.jsonl", '{"a": 1\n{"a": "x"}\n[]\n{"b": "x"}\n'))
    assert [error.place.line for error in data.check()] == [1, 3, 4]
    with pytest.raises(DataError, match=r"a\.jsonl:1"):
        list(data)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "holds no rows"),
        (b"\n \n", "holds no rows"),
        ('{"a": "x"}\n'.encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PAR1....", "Parquet"),
        (b"PK\x03\x04", "zip"),
        (b"nonsense\n", "a.jsonl:1: not JSON"),
    ],
)
def test_files_that_hold_no_rows(write, content, text):
    with pytest.raises(DataError, match=text):
        load(write("a.jsonl", content))


def test_missing_file_folder_and_unknown_suffix(write, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load("nowhere.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        load(str(tmp_path))
    with pytest.raises(DataError, match=r"must end in \.jsonl"):
        load(write("a.bin", "x"))


def test_a_file_that_changes_after_loading_is_noticed(write):
    name = write("a.jsonl", '{"a": "x"}\n')
    data = load(name)
    write(name, '{"a": "longer"}\n')
    with pytest.raises(DataError, match="has changed since it was loaded"):
        list(data)


def test_byte_order_marks_of_joined_files_are_no_part_of_a_row(write):
    rows = "".join(f'\ufeff{{"a": "{text}"}}\n\ufeff' for text in "xyz")
    data = load(write("a.jsonl", rows))
    assert data.check() == []
    assert [(row.columns, row.place.line) for row in data] == [({"a": text}, at) for at, text in enumerate("xyz", 1)]
    assert [row.columns["a"] for row in load(write("b.jsonl", '{"a": "\\ufeffx\ufeff"}\n'))] == ["\ufeffx\ufeff"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), "socket", "link to a pipe"])
def test_what_is_no_file_is_refused_before_it_is_read(tmp_path, make):
    path = tmp_path / "a.jsonl"
    if make == "socket":
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tmp_path):
            server.bind(path.name)
    elif make == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    else:
        make(path)
    with pytest.raises(DataError, match=r"a\.jsonl is a (pipe|device|socket); rows are read more than once"):
        load(str(path))


def test_a_link_that_leads_to_itself_and_a_name_that_is_none(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "a.jsonl")
    for name in (str(tmp_path / "a.jsonl"), "a\0.jsonl"):
        with pytest.raises(DataError, match="cannot be read"):
            load(name)


def test_a_sparse_file_is_refused_without_reading_it_all(tmp_path):
    path = tmp_path / "a.jsonl"
    path.touch()
    os.truncate(path, 1 << 40)
    start = time.process_time()
    with pytest.raises(DataError, match=r"a\.jsonl:1: a row of at least .* bytes, more than the 1,048,576 allowed"):
        load(str(path), max_line_bytes=1 << 20)
    assert time.process_time() - start < 5
