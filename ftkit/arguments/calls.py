"""Explain calls whose arguments do not fit the function."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from typing import ParamSpec, TypeVar

from ftkit.arguments.other_names import other_name, our_name
from ftkit.errors import ConfigError

__all__ = ["explain_calls"]

P = ParamSpec("P")
R = TypeVar("R")


def explain_calls(
    *,
    instead: str = "",
    fields: Callable[[], Mapping[str, Container[str]]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a decorator that turns a call with other arguments into an error that names the right call.

    The function's own ``TypeError`` stays as it is. Calls that fit cost nothing.

    Args:
        instead: the right call, for arguments without a name that the function does not take.
        fields: returns for arguments that are objects the names of their fields: ``{"sampling=ft.Sampling": {…}}``.

    Returns:
        The decorator. Its functions raise :class:`~ftkit.errors.ConfigError`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                signature = inspect.signature(function)
                try:
                    signature.bind(*args, **kwargs)
                except TypeError as problem:
                    name = function.__qualname__.removesuffix(".__init__")
                    sentence = _explain(name, signature, args, kwargs, instead, fields)
                    raise ConfigError(sentence or f"{name}: {problem}") from None
                raise

        return call

    return decorate


def _explain(
    name: str,
    signature: inspect.Signature,
    positional: Sequence[object],
    given: Mapping[str, object],
    instead: str,
    fields: Callable[[], Mapping[str, Container[str]]] | None,
) -> str | None:
    """What is wrong with the first argument that the function does not know, or with arguments without a name."""
    known = [parameter for parameter in signature.parameters if parameter not in ("self", "cls")]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    unknown = next((argument for argument in given if argument not in known and not takes_any), None)
    if unknown is None:
        missing = _missing(signature, positional, given)
        if missing is not None:
            return f"{name} needs {missing}{f'; write {instead}' if instead else ''}"
        return instead and f"{name} takes fewer arguments without a name; write {instead}"
    for place, names in (fields() if fields is not None else {}).items():
        if unknown in names:
            return f"{name} has no argument {unknown}; it is a field: {place}({unknown}={given[unknown]!r:.40})"
        ours = our_name(unknown, names)
        if ours is not None:
            field = f"{place}({ours}={given[unknown]!r:.40})"
            return f"{name} has no argument {unknown}; {unknown} is {ours} here, a field: {field}"
    other = other_name(unknown, known)
    if other is not None:
        return f"{name} has no argument {unknown}; {other}"
    close = difflib.get_close_matches(unknown, known, n=1)
    return f"{name} has no argument {unknown}; " + (
        f"did you mean {close[0]}?" if close else f"its arguments are {', '.join(known)}"
    )


def _missing(signature: inspect.Signature, positional: Sequence[object], given: Mapping[str, object]) -> str | None:
    """The first argument that must be given and is not, as it is written; None if other arguments are too many."""
    try:
        bound = signature.bind_partial(*positional, **given).arguments
    except TypeError:
        return next(
            (
                f"{name}="
                for name, parameter in signature.parameters.items()
                if parameter.default is parameter.empty
                and parameter.kind is parameter.KEYWORD_ONLY
                and name not in given
            ),
            None,
        )
    for name, parameter in signature.parameters.items():
        if parameter.default is parameter.empty and name not in bound:
            if parameter.kind is parameter.KEYWORD_ONLY:
                return f"{name}="
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                return name
    return None
