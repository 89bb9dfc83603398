"""The formula of ``multi``: ``0.5*exact + 0.5*min(format, 1)``. Parsed into a tree of arithmetic, never evaluated as
Python."""

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

FUNCTIONS: dict[str, tuple[Callable[..., float], int | None]] = {
    "min": (min, None),
    "max": (max, None),
    "abs": (abs, 1),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "exp": (math.exp, 1),
    "sqrt": (math.sqrt, 1),
    "log": (math.log, 1),
}
"""Functions by name with how many values they take; None: one or more
(https://platform.openai.com/docs/guides/graders#multigraders)."""

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

    Raises:
        ConfigError: it holds anything else, or is no formula.
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
            raise ConfigError(f'"{source}" is no formula; write for example 0.5*a + 0.5*b') from None
        self._root = tree.body
        names: set[str] = set()
        try:
            self._look(self._root, names)
        except RecursionError:
            raise ConfigError("the formula is nested too deep") from None
        self.names = frozenset(names)

    @staticmethod
    @functools.lru_cache(maxsize=128)
    def of(source: str) -> Expression:
        """The formula of ``source``, kept."""
        return Expression(source)

    def __call__(self, values: Mapping[str, float]) -> float:
        """The formula's value.

        Raises:
            GradingError: it has none there (a division by zero, the root of a negative number).
        """
        try:
            return float(_value(self._root, values))
        except (ArithmeticError, ValueError) as error:
            shown = ", ".join(f"{name}={value:g}" for name, value in values.items())
            raise GradingError("other_error", f"{self._source} has no value for {shown}: {error}") from None

    def bounds(self, values: Mapping[str, _Interval]) -> _Interval:
        """Between what the value lies when each name lies between its two; (−∞, ∞) where that cannot be told."""
        low, high = _between(self._root, values)
        return (low, high) if not math.isnan(low + high) else _UNBOUNDED

    def _look(self, node: ast.expr, names: set[str]) -> None:
        """Refuse what is no arithmetic; collect the names."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return
            case ast.Name(id=name):
                if name in FUNCTIONS:
                    raise ConfigError(f"{name} is a function; write {name}(…)")
                names.add(name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._look(operand, names)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                self._look(left, names)
                self._look(right, names)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                takes = FUNCTIONS[name][1]
                if not arguments or (takes is not None and len(arguments) != takes):
                    raise ConfigError(f"{name} takes {takes or 'at least 1'} value(s), not {len(arguments)}")
                for argument in arguments:
                    self._look(argument, names)
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
            found = [_value(argument, values) for argument in arguments]
            return float(FUNCTIONS[name][0](*found))
    raise AssertionError(ast.dump(node))  # refused when the formula was read


def _between(node: ast.expr, values: Mapping[str, _Interval]) -> _Interval:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            low, high = _between(operand, values)
            return -high, -low
        case ast.UnaryOp(operand=operand):
            return _between(operand, values)
        case ast.BinOp(left=left, op=operation, right=right):
            return _combined(operation, _between(left, values), _between(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            ends = [_between(argument, values) for argument in arguments]
            if name == "abs":
                low, high = ends[0]
                return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
            try:  # every other function rises with each of its values, so its ends are at theirs
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
        # Each of these rises or falls all along one side, so the ends are among the corners.
        corners = [_OPERATORS[type(operation)](one, other) for one in left for other in right]
    except (ArithmeticError, ValueError):
        return _UNBOUNDED
    return min(corners), max(corners)
