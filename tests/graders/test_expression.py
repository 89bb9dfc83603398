from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.errors import ConfigError
from ftkit.graders.expression import Expression
from ftkit.graders.grade import GradingError

VALUES = {"a": 0.5, "b": 2.0, "c": -3.0}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0.5*a + 0.5*b", 1.25),
        ("a + b^2", 4.5),  # binds as a power, not as Python's exclusive or
        ("2^3^2", 512.0),
        ("-a^2", -0.25),
        ("(a + b) / 2 - 1", 0.25),
        ("min(a, b, c)", -3.0),
        ("max(a, 0)", 0.5),
        ("abs(c) + floor(2.7) + ceil(0.1)", 6.0),
        ("exp(0) + sqrt(4) + log(1)", 3.0),
        ("+b", 2.0),
        (" a ", 0.5),
    ],
)
def test_arithmetic(source: str, value: float) -> None:
    assert Expression(source)(VALUES) == pytest.approx(value)


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('true')",
        "a.real",
        "a[0]",
        "[a][0]",
        "(lambda: 1)()",
        "a if b else c",
        "a < b",
        "a and b",
        "not a",
        "a % b",
        "a // b",
        "a ** 2",
        "a | b",
        "'text'",
        "True",
        "1j",
        "min(*[a])",
        "min(a, key=b)",
        "pow(a, b)",
        "min()",
        "sqrt(a, b)",
        "sqrt",
        "x := 1",
        "",
        "a +",
        "(" * 500 + "a" + ")" * 500,
        "a" * 3000,
        "a\nb",
    ],
)
def test_all_else_is_refused(source: str) -> None:
    with pytest.raises(ConfigError):
        Expression(source)


@pytest.mark.parametrize("source", ["1/(a-a)", "c^0.5", "sqrt(c)", "log(0)", "9^9^9^9", "exp(1000000)"])
def test_where_there_is_no_value_it_says_so(source: str) -> None:
    with pytest.raises(GradingError, match="has no value"):
        Expression(source)(VALUES)


def test_names_are_collected() -> None:
    assert Expression("0.5*a + min(b, 1) + a").names == {"a", "b"}


@pytest.mark.parametrize(
    ("source", "low", "high"),
    [
        ("0.4*a + 0.6*b", 0, 1),
        ("max(a, b)", 0, 1),
        ("a - b", -1, 1),
        ("1 - a", 0, 1),
        ("a^2", 0, 1),
        ("abs(a - 0.5)", 0, 0.5),
        ("2*a", 0, 2),
        ("exp(a)", 1, math.e),
        ("a/b", -math.inf, math.inf),
        ("log(a)", -math.inf, math.inf),
        ("(a - b)^2", -math.inf, math.inf),
        ("min(c, 1)", -math.inf, 1),
        ("a*c", -math.inf, math.inf),
    ],
)
def test_bounds(source: str, low: float, high: float) -> None:
    found = Expression(source).bounds({"a": (0, 1), "b": (0, 1), "c": (-math.inf, math.inf)})
    assert found == pytest.approx((low, high))


@settings(deadline=None)
@given(
    st.sampled_from(
        ["a*b - a", "max(a, b^2) - 0.5*a", "abs(a - b)/2", "exp(a) - b", "a^b", "(a + 1)/(b + 1)", "floor(3*a)"]
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_values_lie_within_the_bounds(source: str, a: float, b: float) -> None:
    low, high = Expression(source).bounds({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    assert low - 1e-9 <= Expression(source)({"a": a, "b": b}) <= high + 1e-9


@settings(deadline=None)
@given(st.text(alphabet="ab12.+-*/^() ,min", max_size=25))
def test_any_text_is_a_formula_or_refused(source: str) -> None:
    try:
        found = Expression(source)({"a": 1.5, "b": 2.0, **dict.fromkeys("min", 1.0)} | {"i": 1.0, "n": 1.0, "m": 1.0})
    except (ConfigError, GradingError, KeyError):  # KeyError: a name such as "ab", which multi refuses beforehand
        return
    assert isinstance(found, float) or math.isnan(found)


NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e12, allow_nan=False).map(lambda value: f"{value:.6f}"),
    st.sampled_from(["0", "1e308", "0.1"]),
)
FORMULAS = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["a", "b", "c"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "^"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(st.sampled_from(["abs", "floor", "ceil", "exp", "sqrt", "log"]), inner).map(
            lambda parts: f"{parts[0]}({parts[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda parts: f"{parts[0]}({', '.join(parts[1])})"
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(FORMULAS, st.lists(st.floats(-10, 10), min_size=3, max_size=3))
def test_every_formula_that_is_accepted_has_bounds_and_grades(source: str, grades: list[float]) -> None:
    expression = Expression(source)
    values = dict(zip("abc", grades, strict=True))
    low, high = expression.bounds({"a": (-10, 10), "b": (-10, 10), "c": (-10, 10)})
    assert low <= high
    try:
        value = expression(values)
    except GradingError:
        return
    if math.isfinite(value):  # a grade that is not finite is an error of the one answer
        assert low == -math.inf or low - 1e-6 * abs(low) <= value
        assert high == math.inf or value <= high + 1e-6 * abs(high)


@pytest.mark.parametrize("source", ["min(a)", "max(a)", "min(2)", "+".join("a" * 200), "-" * 250 + "a"])
def test_formulas_at_the_edge_of_what_is_accepted_grade(source: str) -> None:
    assert math.isfinite(Expression(source)(VALUES))
    low, high = Expression(source).bounds({"a": (0.0, 1.0)})
    assert -math.inf < low <= high


@pytest.mark.parametrize("source", ["1e999", "9" * 400, "-" * 400 + "a", "(" * 400 + "a" + ")" * 400 + "+a" * 350])
def test_formulas_that_could_not_be_evaluated_are_refused_when_they_are_read(source: str) -> None:
    with pytest.raises(ConfigError):
        Expression(source)
