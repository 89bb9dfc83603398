"""One JSON array of rows."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftkit import DataError, Dataset, Task

TASK = Task(input="{a}")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_pretty_printed_array_keeps_line_numbers(write):
    data = Dataset.load(write("a.json", '\n[\n  {\n    "a": "x,]}\\"\\n"\n  },\n\n  {"a": "y"}\n]\n'), TASK)
    assert [(row.columns["a"], row.place.line) for row in data] == [('x,]}"\n', 3), ("y", 7)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": VALUES}), min_size=1, max_size=5), indent=st.sampled_from([None, 0, 2])
)
def test_any_array_gives_its_elements(write, rows, indent):
    data = Dataset.load(write("a.json", json.dumps(rows, indent=indent)), TASK)
    assert [row.columns for row in data] == rows


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[]", "holds no rows"),
        ('[{"a": "x"}', "never closed"),
        ('[{"a": "x', "never closed"),
        ('[{"a": "x"}] x', "something follows"),
        ('[{"a": "x"}]\n[{"a": "y"}]', r"a\.json:2: another array follows .*; join them"),
        ('[{"a": "x"}],\n', "a comma follows the array"),
        ('[{"role": "user"}]\n[{"role": "user"}]', r"a\.json:2: another array follows .*write each as an object"),
        ('[{"from": "human", "value": 1}]\n\n[', r"a\.json:3: another array follows .*write each as an object"),
    ],
)
def test_broken_arrays(write, content, text):
    with pytest.raises(DataError, match=text):
        Dataset.load(write("a.json", content), TASK)


@pytest.mark.parametrize("cut", ['x \\"', "x,", "\n", "\\\\", '\\"}, {\\"'])
def test_an_array_cut_off_inside_a_string_is_refused_in_linear_time(write, cut):
    path = write("a.json", '[{"a": "y"},\n{"a": "' + cut * (400_000 // len(cut)))
    start = time.process_time()
    with pytest.raises(DataError, match=r"a\.json:2: the array that begins the file is never closed"):
        Dataset.load(path, TASK)
    assert time.process_time() - start < 2


def test_a_bad_element_is_one_bad_row(write):
    data = Dataset.load(write("a.json", '[{"a": "x"},\n3,\n{"a": "y",}, ]'), TASK)
    wanted = ["a.json:2: a row must be a JSON object", "a.json:3: not JSON", "a.json:3: empty, but JSON was expected"]
    problems = [str(error) for error in data.check()]
    assert [problem[: len(text)] for problem, text in zip(problems, wanted, strict=True)] == wanted


def test_rows_that_share_a_line_are_named_by_their_number(write):
    data = Dataset.load(write("a.json", '[{"a": "x"}, 3, {"a": "y"},\n{"a": "z"},\n  5, {}]'), TASK)
    assert [str(row) for row in map(data.place, range(6))] == [
        *("a.json: row 1", "a.json: row 2", "a.json: row 3"),
        *("a.json:2", "a.json: row 5", "a.json: row 6"),
    ]
    assert [str(problem)[:15] for problem in data.check()] == ["a.json: row 2: ", "a.json: row 5: ", "a.json: row 6: "]
    assert [place.line for place in map(data.place, range(6))] == [1, 1, 1, 2, 3, 3]


def test_byte_order_marks_between_elements(write):
    data = Dataset.load(write("a.json", '\ufeff[\ufeff{"a": "x"}, \ufeff {"a": "\ufeffy"}]\ufeff\n'), TASK)
    assert [row.columns["a"] for row in data] == ["x", "\ufeffy"]


def test_long_space_between_elements_takes_little_memory(write):
    path = write("a.json", '[{"a": "x"},' + " \n" * 1_000_000 + '{"a": "y"}]')
    tracemalloc.start()
    try:
        assert Dataset.load(path, TASK).place(1).line == 1_000_001
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_huge_element_is_refused(write):
    with pytest.raises(DataError, match=r"a\.json:2: a row of .* more than the 40 allowed"):
        Dataset.load(write("a.json", '[{"a": "x"},\n{"a": "' + "y" * 50 + '"}]'), TASK, max_line_bytes=40)


def test_a_json_file_may_hold_lines(write):
    assert len(Dataset.load(write("a.json", '{"a": "x"}\n{"a": "y"}\n'), TASK)) == 2
