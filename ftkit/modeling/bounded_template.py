"""Render chat templates within limits of time and memory.

transformers compiles a template in a sandbox that has neither. For :func:`render_chat`, and only there, templates are
compiled in the same sandbox with a counter in every loop, call, filter and operator that can build much.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextvars import ContextVar
from datetime import date
from typing import Any

from jinja2 import Environment, Template, nodes, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils
from typing_extensions import override

from ftkit.modeling.template_budget import GROWING, RenderBudget, TemplateLimitError
from ftkit.modeling.template_day import pin_day

__all__ = ["render_chat"]

_ITERATED, _CONCATENATED, _MADE = "_ftkit_iterated", "_ftkit_concatenated", "_ftkit_made"
"""Filters that no template can name, because the sandbox refuses no filter: they are put in after it is parsed."""
_COMPILED = 32
"""Templates that are kept compiled."""
_LARGEST_POWER = 4_096
"""Bits of the largest power."""
_PATIENCE = 100_000
"""Characters of a conversation that every usable template renders in time."""

_BUDGET: ContextVar[RenderBudget | None] = ContextVar("ftkit_render_budget", default=None)


def render_chat(
    tokenizer: Any,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] | None,
    day: date | None,
    *,
    asks: bool,
) -> str:
    """Render a conversation with a tokenizer's chat template, within limits.

    A template that takes more time or memory for a short conversation than a conversation may is refused from then on
    without another try. It may raise anything, as transformers' own function.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        messages: the conversation, in the template's form.
        tools: the tools offered; None if there are none.
        day: the day that a template with a date writes; None is the day on which it renders.
        asks: whether to append what begins the assistant's next turn.

    Returns:
        The text.
    """
    offered = list(tools) if tools else None
    template = None if day is None else pin_day(tokenizer.get_chat_template(None, offered), day)
    with _bounded(template or str(tokenizer.chat_template), (messages, offered)):
        return str(
            tokenizer.apply_chat_template(
                list(messages),
                tools=offered,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=asks,
            )
        )


@contextlib.contextmanager
def _bounded(template: str, inputs: Any) -> Iterator[None]:
    """Bound what transformers' function takes to render something."""
    known = _REFUSED.get(template)
    if known is not None:
        raise TemplateLimitError(known)
    budget = RenderBudget(inputs)
    token = _BUDGET.set(budget)
    try:
        yield
    except TemplateLimitError as error:
        if budget.size(inputs) < _PATIENCE:
            if len(_REFUSED) >= _COMPILED:
                _REFUSED.clear()
            _REFUSED[template] = str(error)
        raise
    finally:
        _BUDGET.reset(token)


_REFUSED: dict[str, str] = {}
"""By template: why it is refused."""


def _budget() -> RenderBudget:
    """The budget of the rendering in progress; while a template is compiled, constant parts have one each."""
    return _BUDGET.get() or RenderBudget(None)


class _Sandbox(ImmutableSandboxedEnvironment):
    """transformers' sandbox, with counters."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join the parts of a block or a template."""
        found = list(parts)  # as many as loops, which count, and no text is copied yet
        _budget().build(sum(map(len, found)))
        return "".join(found)

    @override
    def _generate(self, source: nodes.Template, *arguments: Any, **options: Any) -> str:
        _count(source)
        return super()._generate(source, *arguments, **options)

    @override
    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        budget = _budget()
        budget.step()
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            budget.build(len(left) + len(right))
            return left + right
        if operator == "*":
            amount = max((value for value in (left, right) if isinstance(value, int)), default=1)
            many = [value for value in (left, right) if isinstance(value, str | list | tuple)]
            budget.build(budget.size(many[0]) * max(amount, 0) if many else budget.size(left) + budget.size(right))
        elif operator == "**":
            bits = abs(right) * left.bit_length() if isinstance(left, int) and isinstance(right, int) else 0
            if bits > _LARGEST_POWER:
                raise TemplateLimitError("it computes a power of more than a thousand digits")
        elif operator == "%" and isinstance(left, str):
            budget.refuse_growth("format", left, right if isinstance(right, tuple) else (right,), {})
        result = super().call_binop(context, operator, left, right)
        if operator == "+" and isinstance(result, list):
            budget.note(result, budget.size(left) + budget.size(right))
        return budget.make(result)

    @override
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  (as in Jinja)
        budget = _budget()
        budget.step()
        name = getattr(__obj, "__name__", None)
        if name in GROWING:
            # The sandbox puts a function of its own in place of ``str.format``.
            subject = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
            if name == "join" and args and isinstance(args[0], Iterator):
                args = (list(budget.counted(args[0])), *args[1:])
            budget.refuse_growth(name, subject, args, kwargs)
        return budget.make(super().call(__context, __obj, *args, **kwargs))


def _count(template: nodes.Template) -> None:
    """Put counters into a parsed template."""
    for node in list(template.find_all(nodes.Node)):
        for field in node.fields:
            value = getattr(node, field)
            if isinstance(value, nodes.Node):
                setattr(node, field, _counting(value))
            elif isinstance(value, list):  # in place, because what stands for this node may have the same list
                value[:] = [_counting(one) if isinstance(one, nodes.Node) else one for one in value]
        if isinstance(node, nodes.For):
            node.iter = _filtered(node.iter, _ITERATED)


def _counting(node: nodes.Node) -> nodes.Node:
    if isinstance(node, nodes.Concat):
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _CONCATENATED)
    is_container = isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
    if is_container and (node.find(nodes.Name) or node.find(nodes.Call)) is not None:  # anything but constants
        return _filtered(node, _MADE)
    return node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Iterated:
    """What a loop goes through, counted."""

    def __init__(self, values: Iterable[Any], budget: RenderBudget) -> None:
        self._values, self._budget = values, budget

    def __iter__(self) -> Iterator[Any]:
        return self._budget.counted(self._values)


class _SizedIterated(_Iterated):
    """The same with a length, for ``loop.length``."""

    def __len__(self) -> int:
        return len(self._values)  # type: ignore[arg-type]


@pass_context
def _iterated(context: Any, values: Any) -> _Iterated:
    return (_SizedIterated if isinstance(values, Sized) else _Iterated)(values, _budget())


@pass_context
def _concatenated(context: Any, parts: list[Any]) -> str:
    """Jinja's ``~``."""
    budget = _budget()
    budget.step()
    budget.build(sum(len(part) if isinstance(part, str) else budget.size(part) for part in parts))
    return "".join(map(str, parts))


@pass_context
def _made(context: Any, value: Any) -> Any:
    return _budget().make(value)


def _counted_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts what it takes."""
    first = int(getattr(function, "jinja_pass_arg", None) is not None)

    @functools.wraps(function)
    def counted(*arguments: Any, **options: Any) -> Any:
        budget = _budget()
        budget.step()
        values = list(arguments)
        if len(values) > first:
            if isinstance(values[first], Iterator):
                values[first] = list(budget.counted(values[first])) if name == "join" else budget.counted(values[first])
            if name in GROWING:
                budget.refuse_growth(name, values[first], values[first + 1 :], options)
        result = function(*values, **options)
        return budget.counted(result) if isinstance(result, Iterator) else budget.make(result)

    return counted


@functools.lru_cache(maxsize=_COMPILED)
def _compile(template: str) -> Template:
    environment: Environment = chat_template_utils._cached_compile_jinja_template("").environment
    environment.__class__ = _Sandbox
    counted = {name: _counted_filter(name, function) for name, function in environment.filters.items()}
    own = {_ITERATED: _iterated, _CONCATENATED: _concatenated, _MADE: _made}
    environment.filters = {**counted, **own}
    return environment.from_string(template)


_compile_unbounded = chat_template_utils._compile_jinja_template


def _compile_for_caller(template: str) -> Template:
    return _compile_unbounded(template) if _BUDGET.get() is None else _compile(template)


# transformers has no place to put another sandbox in. Callers other than ftkit get what they got.
chat_template_utils._compile_jinja_template = _compile_for_caller
