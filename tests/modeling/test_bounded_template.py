"""Chat templates that loop or build without end are ended; all others render what transformers renders."""
# ruff: noqa: E501  (a template a line)

from __future__ import annotations

import resource
import threading
import time
from typing import Any

import pytest

from ftkit.errors import ModelError
from ftkit.modeling import bounded_template
from ftkit.modeling.bounded_template import render_chat
from ftkit.modeling.chat_template import ChatTemplate

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi %s {0} \n two"},
    {
        "role": "assistant",
        "content": "Yo",
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, {"b": 2}]}}}],
    },
]

HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops with loop": "{% for a in range(99999) %}{% for b in range(9999) %}{{ loop.index and '' }}{% endfor %}{% endfor %}",
    "a recursive loop": "{% for a in range(3) recursive %}{{ loop(range(3)) }}{% endfor %}",
    "two calls a call": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "filters": "{% for a in range(99999) %}{{ range(99999)|map('string')|select|list|length }}{% endfor %}",
    "calls": "{% for a in range(99999) %}{% set x = 'ab'.upper() %}{% for b in range(99999) %}{{ x.lower() }}{% endfor %}{% endfor %}",
    "doubling": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "adding": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "blocks": "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}"
    "{% set n.x = y %}{% endfor %}{{ n.x }}",
    "times": "{{ 'ab' * 9999999999 }}",
    "times a list": "{{ ([1] * 9999 * 9999 * 99)|length }}",
    "powers": "{{ 9 ** (9 ** 9) }}",
    "squares": "{% set n = namespace(x=9) %}{% for a in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x > 1 }}",
    "center": "{{ 'ab'|center(9999999999) }}",
    "ljust": "{{ 'ab'.ljust(9999999999) }}",
    "format": "{{ '%9999999999d' % 1 }}",
    "format filter": "{{ '%*d'|format(9999999999, 1) }}",
    "format method": "{{ '{:>9999999999}'.format('a') }}",
    "nested format": "{{ '{:>{}}'.format('a', 9999999999) }}",
    "indent": "{{ ('a\n' * 999999)|indent(99999) }}",
    "replace": "{% set x = 'a' * 99999 %}{{ x|replace('a', x)|length }}",
    "replace method": "{% set x = 'a' * 99999 %}{{ x.replace('a', x)|length }}",
    "join": "{% set x = 'a' * 99999 %}{{ x.join(range(99999)|map('string'))|length }}",
    "join filter": "{% set x = 'a' * 99999 %}{{ range(99999)|join(x)|length }}",
    "join a view": "{% set x = 'a' * 99999 %}{{ x.join(dict(range(9998)|map('string')|batch(2)).values())|length }}",
    "join backwards": "{% set x = 'a' * 99999 %}{{ range(99999)|list|reverse|map('string')|join(x)|length }}",
    "lists of lists": "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "tuples": "{% set n = namespace(x=(1,)) %}{% for a in range(99) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ n.x|tojson }}",
    "dicts": "{% set n = namespace(x={}) %}{% for a in range(99) %}{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x }}",
    "dict()": "{% set n = namespace(x={}) %}{% for a in range(99) %}{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}{{ n.x }}",
    "namespaces": "{% set n = namespace(x=1) %}{% for a in range(99) %}{% set n.x = namespace(a=n.x, b=n.x) %}{% endfor %}{{ n.x }}",
    "lorem ipsum": "{{ lipsum(n=99999999)|length }}",
    "bytes": "{{ (1).to_bytes(99999999999, 'big')|length }}",
}


class Tokenizer:
    """transformers' rendering with any template."""

    def __init__(self, real: Any, template: str) -> None:
        self._real, self.chat_template = real, template

    def apply_chat_template(self, messages: Any, *, chat_template: Any = None, **options: Any) -> Any:
        return self._real.apply_chat_template(messages, chat_template=chat_template or self.chat_template, **options)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_ended(tokenizer: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.modeling.template_budget._SECONDS", 0.05)
    monkeypatch.setattr("ftkit.modeling.template_budget._BUILT", 2_000_000)
    monkeypatch.setattr(bounded_template, "_REFUSED", {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hostile = Tokenizer(tokenizer, HOSTILE[name])
    began = time.thread_time()
    with pytest.raises((bounded_template.TemplateLimitError, RecursionError)) as caught:
        render_chat(hostile, MESSAGES, None, None, asks=True)
    assert time.thread_time() - began < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "200 MB"
    if isinstance(caught.value, bounded_template.TemplateLimitError):
        began = time.thread_time()
        with pytest.raises(bounded_template.TemplateLimitError):
            render_chat(hostile, MESSAGES, None, None, asks=True)
        assert time.thread_time() - began < 0.1, "it is not tried again"


def test_a_model_with_such_a_template_is_refused_by_name(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.modeling.template_budget._SECONDS", 0.05)
    monkeypatch.setattr(tokenizer, "chat_template", HOSTILE["loops"] + "{{ messages[0]['content'] }}")
    template = ChatTemplate(tokenizer)
    with pytest.raises(ModelError, match=r"chat template cannot render .* more than 0 s of processor time"):
        template.encode_prompt([{"role": "user", "content": "Hi"}])


USUAL = [
    "{% for m in messages %}{{ loop.index ~ '/' ~ loop.length ~ loop.last }}<{{ m.role }}>{{ m['content'] }}{% endfor %}",
    "{% set n = namespace(l=[], s='') %}{% for m in messages[1:] %}{% set n.l = n.l + [m] %}{% set n.s = n.s + m.content %}"
    "{% endfor %}{{ n.l|tojson(indent=2) }}{{ n.s * 2 }}{{ '%-10s|' % n.s }}{{ '%s=%d'|format('a', 3) }}",
    "{% macro f(x, d=1) %}[{{ x|upper }}{% if d %}{{ f(x, d - 1) }}{% endif %}]{% endmacro %}{{ f('a') }}"
    "{% call(y) f2() %}{{ y }}{% endcall %}{% macro f2() %}({{ caller('z') }}){% endmacro %}",
    "{{ messages|map(attribute='role')|join(', ') }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}"
    "{{ messages|rejectattr('tool_calls', 'defined')|map(attribute='content')|list }}",
    "{% for m in messages if m.tool_calls %}{% for c in m.tool_calls %}{% for k, v in c.function.arguments.items() %}"
    "{{ k }}={{ v|tojson }}{% endfor %}{% endfor %}{% else %}none{% endfor %}",
    "{% for a in [messages[0], messages[1]] %}{{ a.content.split('\n')|last|trim }}{% if not loop.first %}{% break %}{% endif %}"
    "{% endfor %}{{ [1, 2, (3, 4)] }}{{ {'a': messages[0].role} }}{{ messages|length > 2 and 'x' in ['x', messages] }}",
    "{% filter upper %}{{ messages[0].content|replace('b', 'BB')|indent(2)|wordwrap(4) }}{% endfilter %}"
    "{% for b in messages|batch(2) %}{{ b|length }}{% endfor %}{{ messages|groupby('role')|length }}{{ (2 ** 8) % 7 }}",
    "{% for a in [[1, [2]], 3] recursive %}{{ loop(a) if a is iterable else a }},{% endfor %}{{ undefined_name }}"
    "{% for a in undefined_name %}x{% endfor %}{{ strftime_now('%Y')|length }}{{ range(3)|list }}{{ eos_token is defined }}",
    "{% generation %}{{ messages[-1].content }}{% endgeneration %}{{ '{}-{a:>5}'.format(1, a='x') }}{{ 'ab'.center(8) }}",
    "{{ raise_exception('not like this') }}",
]


@pytest.mark.parametrize("template", USUAL, ids=range(len(USUAL)))
def test_what_a_template_renders_is_what_transformers_renders(tokenizer: Any, template: str) -> None:
    options = {"chat_template": template, "tokenize": False, "add_generation_prompt": True}
    try:
        expected = tokenizer.apply_chat_template(MESSAGES, **options)
    except Exception as error:
        with pytest.raises(type(error), match=str(error)):
            render_chat(Tokenizer(tokenizer, template), MESSAGES, None, None, asks=True)
    else:
        assert render_chat(Tokenizer(tokenizer, template), MESSAGES, None, None, asks=True) == expected


def test_a_long_conversation_may_take_longer(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.modeling.template_budget._SECONDS", 0.02)
    monkeypatch.setattr("ftkit.modeling.template_budget._BUILT", 1_000)
    messages = [{"role": "user", "content": "x" * 2_000}] * 1_000
    whole = render_chat(Tokenizer(tokenizer, USUAL[0]), messages, None, None, asks=True)
    assert len(whole) > 2_000_000
    with pytest.raises(bounded_template.TemplateLimitError):
        render_chat(Tokenizer(tokenizer, HOSTILE["doubling"]), messages, None, None, asks=True)


def test_other_callers_and_threads_have_their_own_rendering(tokenizer: Any) -> None:
    template = "{% for a in range(40000) %}{{ 'ab' }}{% endfor %}" * 3
    found: list[int] = []

    def render() -> None:
        found.append(len(render_chat(Tokenizer(tokenizer, template), MESSAGES, None, None, asks=True)))

    threads = [threading.Thread(target=render) for _ in range(2)]
    for thread in threads:
        thread.start()
    plain = tokenizer.apply_chat_template(MESSAGES, chat_template=template, tokenize=False)
    for thread in threads:
        thread.join()
    assert found == [len(plain)] * 2
