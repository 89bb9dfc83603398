"""The formula of ``multi``, such as ``0.5*exact + 0.5*min(format, 1)``.

A formula is parsed into a tree of arithmetic. It is never evaluated as Python.
"""

from __future__ import annotations

import ast
import functools
import math
import warnings
from collections.abc import Callable, Mapping

from ftkit.errors import ConfigError
from ftkit.graders.grade import GradingError

__all__ = ["FUNCTIONS", "Expression"]

_MAX_LENGTH = 2_000
"""Longest formula, in characters."""

_MAX_DEPTH = 300
"""Deepest nesting, so that evaluating a formula that was accepted never reaches Python's recursion limit."""

FUNCTIONS: dict[str, tuple[Callable[..., float], int | None]] = {
    "min": (lambda *values: min(values), None),
    "max": (lambda *values: max(values), None),
    "abs": (abs, 1),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "exp": (math.exp, 1),
    "sqrt": (math.sqrt, 1),
    "log": (math.log, 1),
}
"""Functions by name, with the number of values that each takes; None means one or more.

Source: https://platform.openai.com/docs/guides/graders#multigraders
"""

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Pow: math.pow,
}


_Interval = tuple[float, float]
_UNBOUNDED: _Interval = (-math.inf, math.inf)


class Expression:
    """A formula over grades: numbers, names, ``+ - * / ^``, parentheses and :data:`FUNCTIONS`.

    Args:
        source: the formula.

    Raises:
        ConfigError: the text is not a formula, holds anything else, or is too long or nested too deep.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        if len(source) > _MAX_LENGTH:
            raise ConfigError(f"the formula has {len(source)} characters, more than {_MAX_LENGTH}")
        if "**" in source:
            raise ConfigError(f'"{source}": a power is written ^, as in a^2')
        try:
            # ^ binds loosely in Python; as ** it binds as a power does. There are no strings in which it could stand.
            with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
                tree = ast.parse(source.strip().replace("^", "**"), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConfigError(f'"{source}" is not a formula; write for example 0.5*a + 0.5*b') from None
        self._root = tree.body
        names: set[str] = set()
        self._validate(self._root, names, depth=1)
        self.names = frozenset(names)
        """Names of the grades that the formula reads."""

    @staticmethod
    @functools.lru_cache(maxsize=128)
    def of(source: str) -> Expression:
        """Parse a formula, or return it from a cache.

        Args:
            source: the formula.

        Returns:
            The parsed formula.
        """
        return Expression(source)

    def __call__(self, values: Mapping[str, float]) -> float:
        """Compute the value of the formula.

        Args:
            values: the grade of each name.

        Returns:
            The value.

        Raises:
            GradingError: the formula has no value there (division by zero, the root of a negative number).
        """
        try:
            return float(_value(self._root, values))
        except (ArithmeticError, ValueError) as error:
            shown = ", ".join(f"{name}={value:g}" for name, value in values.items())
            raise GradingError("other_error", f"{self._source} has no value for {shown}: {error}") from None

    def bounds(self, values: Mapping[str, _Interval]) -> _Interval:
        """Bound the value of the formula by interval arithmetic.

        Args:
            values: the lowest and the highest grade of each name.

        Returns:
            The lowest and the highest value that the formula can have; (−∞, ∞) if it cannot be bounded.
        """
        return _interval(self._root, values)

    def _validate(self, node: ast.expr, names: set[str], depth: int) -> None:
        """Refuse everything but arithmetic, and collect the names."""
        if depth > _MAX_DEPTH:
            raise ConfigError(f"the formula is nested more than {_MAX_DEPTH} levels deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                try:
                    finite = math.isfinite(float(value))
                except OverflowError:
                    finite = False
                if not finite:
                    raise ConfigError("a number in the formula is larger than a float can hold")
            case ast.Name(id=name):
                if name in FUNCTIONS:
                    raise ConfigError(f"{name} is a function; write {name}(…)")
                names.add(name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._validate(operand, names, depth + 1)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                self._validate(left, names, depth + 1)
                self._validate(right, names, depth + 1)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                takes = FUNCTIONS[name][1]
                if not arguments or (takes is not None and len(arguments) != takes):
                    raise ConfigError(f"{name} takes {takes or 'at least 1'} value(s), not {len(arguments)}")
                for argument in arguments:
                    self._validate(argument, names, depth + 1)
            case _:
                known = ", ".join(FUNCTIONS)
                raise ConfigError(
                    f'"{ast.unparse(node)}" is not allowed in a formula: it may hold numbers, names of graders, '
                    f"+ - * / ^, parentheses and the functions {known}"
                )


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=operator, operand=operand):
            inner = _value(operand, values)
            return -inner if isinstance(operator, ast.USub) else inner
        case ast.BinOp(left=left, op=operation, right=right):
            return _OPERATORS[type(operation)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return float(FUNCTIONS[name][0](*(_value(argument, values) for argument in arguments)))
    raise AssertionError(ast.dump(node))  # _validate refuses everything else


def _interval(node: ast.expr, values: Mapping[str, _Interval]) -> _Interval:
    low, high = _raw_interval(node, values)
    # Infinite bounds can cancel to NaN, which compares as neither higher nor lower than anything.
    return _UNBOUNDED if math.isnan(low) or math.isnan(high) else (low, high)


def _raw_interval(node: ast.expr, values: Mapping[str, _Interval]) -> _Interval:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            low, high = _interval(operand, values)
            return -high, -low
        case ast.UnaryOp(operand=operand):
            return _interval(operand, values)
        case ast.BinOp(left=left, op=operation, right=right):
            return _combined(operation, _interval(left, values), _interval(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            ends = [_interval(argument, values) for argument in arguments]
            if name == "abs":
                low, high = ends[0]
                return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
            try:  # every other function rises with each argument, so its bounds are at the arguments' bounds
                low, high = (float(FUNCTIONS[name][0](*(end[side] for end in ends))) for side in (0, 1))
            except (ArithmeticError, ValueError):
                return _UNBOUNDED
            return low, high
    value = _value(node, {})
    return value, value


def _combined(operation: ast.operator, left: _Interval, right: _Interval) -> _Interval:
    if isinstance(operation, ast.Sub):
        return left[0] - right[1], left[1] - right[0]
    if isinstance(operation, ast.Div) and right[0] <= 0 <= right[1]:
        return _UNBOUNDED
    if isinstance(operation, ast.Pow) and left[0] < 0:
        return _UNBOUNDED
    try:
        # Each operator is monotone in each operand, so its bounds are among the corners.
        corners = [_OPERATORS[type(operation)](first, second) for first in left for second in right]
    except (ArithmeticError, ValueError):
        return _UNBOUNDED
    if any(math.isnan(corner) for corner in corners):
        return _UNBOUNDED
    return min(corners), max(corners)
