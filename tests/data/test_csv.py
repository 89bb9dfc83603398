"""CSV and TSV."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftkit import DataError, Dataset, Task

TASK = Task(input="{a}")


def test_quoted_line_breaks_bom_and_crlf(write):
    data = Dataset.load(write("a.csv", b'\xef\xbb\xbfa,b\r\n"x\r\ny, ""z""",1\r\n\r\nplain,\r\n'), TASK)
    assert [(dict(row.columns), row.place.line) for row in data] == [
        ({"a": 'x\r\ny, "z"', "b": "1"}, 2),
        ({"a": "plain", "b": ""}, 5),
    ]
    assert data[1].columns["a"] == "plain"


def test_tsv(write):
    assert Dataset.load(write("a.tsv", "a\tb\nx, y\tz\n"), TASK)[0].columns == {"a": "x, y", "b": "z"}


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
def test_what_pythons_writer_writes_is_read(write, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("a", "b"), *rows])
    data = Dataset.load(write("a.csv", text.getvalue()), TASK)
    assert [tuple(row.columns.values()) for row in data] == rows
    assert [data[at].columns["b"] for at in reversed(range(len(data)))] == [b for _, b in reversed(rows)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is empty; the first line must name the columns"),
        ("a,a\n1,2\n", "two columns of the header are called 'a'"),
        (",a\n1,2\n", "column 1 of the header has no name"),
        ("a;b\n1;2\n", "cells must be separated by commas, and these are separated by semicolons: .* sep=;"),
        ("a\tb\n1\t2\n", r"separated by tabs: give the file a name that ends in \.tsv"),
        ("a|b\n1|2\n", r"separated by bars \(\|\)"),
        ("y" * 300 + ",z\n1,2\n", "the header is missing"),
        ("a,b\n", "holds no rows"),
        ("a,b\rx,y\r", "carriage return"),
    ],
)
def test_faults_of_the_header(write, content, text):
    with pytest.raises(DataError, match=text):
        Dataset.load(write("a.csv", content), TASK)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"x,y,z", "3 cells, but the header names 2 columns"),
        (b"x", "1 cells, but the header names 2 columns"),
        (b'"x"y,z', "continues after its closing quotation mark"),
        (b"x,\xe9", "not UTF-8: byte 0xe9 at byte 3 of the row"),
    ],
)
def test_faults_of_a_row(write, line, text):
    data = Dataset.load(write("a.csv", b"a,b\nx,y\n" + line + b"\nx,y\n"), TASK)
    (error,) = data.check()
    assert text in str(error)
    assert str(error).startswith("a.csv:3: ")
    assert len(data) == 3


def test_open_quote(write):
    data = Dataset.load(write("a.csv", 'a,b\nx,y\n"x,y\nx,y\n'), TASK)
    (error,) = data.check()
    assert "a.csv:3: a quotation mark is opened and never closed" in str(error)
    with pytest.raises(DataError, match=r"a\.csv:3: .*Is a quotation mark left open"):
        Dataset.load(write("a.csv", 'a,b\nx,y\n"x,y\n' + "x,y\n" * 50), TASK, max_line_bytes=40)


def test_cells_longer_than_pythons_limit(write):
    long = "x" * 200_000
    assert Dataset.load(write("a.csv", f"a,b\n{long},y\n"), TASK)[0].columns["a"] == long


@pytest.mark.parametrize("line", ["sep=,\n", "sep=;\r\n", "SEP=\t\n", '"sep=|"\n', "\ufeffsep=;\n"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_line_that_names_the_separator(write, line, suffix):
    mark = next(mark for mark in ",;\t|" if mark in line)
    data = Dataset.load(write(f"a.{suffix}", f"{line}a{mark}b\nx{mark}y\n"), TASK)
    assert [(dict(row.columns), row.place.line) for row in data] == [({"a": "x", "b": "y"}, 3)]


def test_a_tsv_file_with_commas_says_so(write):
    with pytest.raises(DataError, match=r"cells must be separated by tabs, .* by commas: .* ends in \.csv"):
        Dataset.load(write("a.tsv", "a,b\nx,y\n"), TASK)
    assert len(Dataset.load(write("a.tsv", '"a"\n"x, y"\n'), TASK)) == 1
    assert Dataset.load(write("b.csv", '"a,b"\nx\n'), Task(input="{a,b}"))[0].prompt[0]["content"] == "x"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_repeated_header_is_a_bad_row(write, mark):
    data = Dataset.load(write("a.csv", f"{mark}a,b\nx,y\n{mark}a,b\nz,w\n"), TASK)
    (problem,) = data.check()
    assert str(problem) == "a.csv:3: the header is repeated, as where files are joined; delete the line"


def test_many_columns_are_read_quickly_and_listed_briefly(write):
    count = 100_000
    names, cells = ",".join(f"c{number}" for number in range(count)), "," * (count - 1)
    with pytest.raises(DataError) as caught:
        Dataset.load(write("wide.csv", f"{names}\n{cells}\n"))
    assert "c0, c1" in str(caught.value)
    assert f"and {count - 20:,} more" in str(caught.value)
    assert len(str(caught.value)) < 2_000
