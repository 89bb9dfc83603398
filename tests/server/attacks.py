"""Requests that are small, or allowed, and expensive to handle; and how long others wait meanwhile."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from .health_watch import HealthWatch

__all__ = ["ATTACKS", "Attack", "Outcome", "attack"]

_CHAT, _RESPONSES, _GRADERS = "/v1/chat/completions", "/v1/responses", "/v1/fine_tuning/alpha/graders"


@dataclass(frozen=True)
class Attack:
    """A request, and how it must end.

    Attributes:
        path: of the request.
        body: makes its JSON body.
        statuses: what may be answered.
        at_once: how often it is sent at the same time.
        compressed: whether the body is sent with gzip.
    """

    path: str
    body: Callable[[], Any]
    statuses: tuple[int, ...] = (400,)
    at_once: int = 1
    compressed: bool = False
    content_type: str = "application/json"


@dataclass(frozen=True)
class Outcome:
    """What came of an attack.

    Attributes:
        statuses: the answers.
        seconds: until the last answer.
        health: longest wait for ``/health`` meanwhile, in seconds.
        messages: the errors.
    """

    statuses: tuple[int, ...]
    seconds: float
    health: float
    messages: tuple[str, ...]


def _chat(**options: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 2, **options}


def _schema(schema: Any) -> dict[str, Any]:
    return _chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})


def _pairs(count: int) -> dict[str, Any]:
    """Each definition refers twice to the next: 2 ** count ways to the last one."""
    parts: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(count)}
    return {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{count}": {"type": "object"}}}


def _chain(count: int) -> dict[str, Any]:
    """Each definition is a reference to the next one."""
    parts: dict[str, Any] = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(count)}
    return {"$ref": "#/$defs/a0", "$defs": {**parts, f"a{count}": {"type": "string"}}}


def _properties(count: int) -> dict[str, Any]:
    names = [f"p{n}" for n in range(count)]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def _tool(number: int, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters, "strict": True}}


def _said(text: str) -> dict[str, Any]:
    return _chat(messages=[{"role": "user", "content": text}])


def _called(arguments: str) -> list[dict[str, Any]]:
    """A conversation with a call and its result."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    answered = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "x"}]
    return [{"role": "user", "content": "x"}, *answered]


def _check(reference: str) -> dict[str, Any]:
    return {"type": "string_check", "name": "a", "operation": "eq", "input": "x", "reference": reference}


def _similar(metric: str, words: int) -> dict[str, Any]:
    """Two different texts of short words."""
    texts = [" ".join(str(n * step % 10) for n in range(words)) for step in (3, 7)]
    grader = {"type": "text_similarity", "name": "a", "evaluation_metric": metric, "reference": "{{item.text}}"}
    grader["input"] = "{{sample.output_text}}"
    return {"grader": grader, "model_sample": texts[0], "item": {"text": texts[1]}}


def _amplified() -> dict[str, Any]:
    """A small template that becomes gigabytes."""
    return {"grader": _check("{{item.text}}" * 15_000), "model_sample": "x", "item": {"text": "x" * 200_000}}


def _parts(count: int) -> dict[str, Any]:
    parts = {f"a{n}": {**_check("x"), "name": f"a{n}"} for n in range(count)}
    return {"grader": {"type": "multi", "name": "m", "graders": parts, "calculate_output": "a0"}}


def _form(content: bytes) -> bytes:
    """A form with a file, as multipart."""
    head = b'--frontier\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    parts = (head % (b"purpose", b""), b"fine-tune\r\n", head % (b"file", b'; filename="a"'), content)
    return b"".join((*parts, b"\r\n--frontier--\r\n"))


_BUSY = """
import os, time
def grade(sample, item):
    for _ in range(8):
        if os.fork() == 0:
            break
    end = time.monotonic() + 4
    while time.monotonic() < end:
        pass
    return 1.0
"""
_CODE = {"type": "python", "name": "a", "source": "a=1\n" * 60_000 + "def grade(sample, item): return 1.0\n"}

ATTACKS: dict[str, Attack] = {
    "schema of 20 nested `allOf` pairs (1.4 kB)": Attack(_CHAT, lambda: _schema(_pairs(20)), (200, 400)),
    "schema of 20,000 properties": Attack(_CHAT, lambda: _schema(_properties(20_000))),
    "schema of 4,900 properties": Attack(_CHAT, lambda: _schema(_properties(4_900)), (200, 400)),
    "schema nested 300 deep": Attack(_CHAT, lambda: _schema(_nested(300))),
    "schema with an enum of 50,000 values": Attack(
        _CHAT, lambda: _schema({"enum": [f"value {n}" for n in range(50_000)]}), (200, 400)
    ),
    "schema of 4,000 references in a chain": Attack(_CHAT, lambda: _schema(_chain(4_000))),
    "schema that counts to the product of three primes": Attack(
        _CHAT, lambda: _schema({"allOf": [{"type": "integer", "multipleOf": n} for n in (999983, 999979, 999961)]})
    ),
    "schema with the pattern `(a+)+$`": Attack(
        _CHAT, lambda: _schema({"type": "string", "pattern": "^(a+)+$"}), (200, 400)
    ),
    "schema with a pattern of 20,000 alternatives": Attack(
        _CHAT, lambda: _schema({"type": "string", "pattern": "|".join(f"a{n}b*" for n in range(20_000))}), (200, 400)
    ),
    "schema of a text of 10,000,000 characters or more": Attack(
        _CHAT, lambda: _schema({"type": "string", "minLength": 10_000_000}), (200, 400)
    ),
    "schema of 1,000,000 items or more": Attack(
        _CHAT, lambda: _schema({"type": "array", "items": _properties(20), "minItems": 1_000_000}), (200, 400)
    ),
    "128 strict tools of 38 parameters": Attack(
        _CHAT,
        lambda: _chat(
            tools=[_tool(n, {**_properties(38), "additionalProperties": False}) for n in range(128)],
            tool_choice="required",
        ),
        (200, 400),
    ),
    "`logit_bias` of 90,000 wrong values": Attack(
        _CHAT, lambda: _chat(logit_bias={str(n): "x" for n in range(90_000)})
    ),
    "`tool_choice` of 90,000 fields": Attack(
        _CHAT,
        lambda: _chat(
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice={"type": "function", "function": {"name": "f"}, **{f"a{n}": 1 for n in range(90_000)}},
        ),
    ),
    "90,000 wrong ids of parts": Attack("/v1/uploads/upload_x/complete", lambda: {"part_ids": [*range(90_000)]}),
    "90,000 unknown parameters of a job": Attack(
        "/v1/fine_tuning/jobs", lambda: {"model": "tiny", "training_file": "x", **{f"x{n}": 1 for n in range(90_000)}}
    ),
    'grader template `"{{" * 15000`': Attack(f"{_GRADERS}/validate", lambda: {"grader": _check("{{" * 15_000)}, (200,)),
    "grader template that becomes 3 GB": Attack(f"{_GRADERS}/run", _amplified, (200,)),
    "`multi` of 2,000 graders": Attack(f"{_GRADERS}/validate", lambda: _parts(2_000)),
    "256 kB of Python code to validate": Attack(f"{_GRADERS}/validate", lambda: {"grader": _CODE}, (200, 400)),
    "`rouge_l` of two texts of 45,000 words": Attack(f"{_GRADERS}/run", lambda: _similar("rouge_l", 45_000), (200,)),
    "`fuzzy_match` of two texts of 45,000 words": Attack(
        f"{_GRADERS}/run", lambda: _similar("fuzzy_match", 45_000), (200,)
    ),
    "`bleu` of two texts of 45,000 words": Attack(f"{_GRADERS}/run", lambda: _similar("bleu", 45_000), (200,)),
    "eight Python graders that keep nine processes busy": Attack(
        f"{_GRADERS}/run",
        lambda: {"grader": {"type": "python", "name": "a", "source": _BUSY}, "model_sample": "x"},
        (200, 400),
        at_once=8,
    ),
    "a file of 16 MB of almost boundaries": Attack(
        "/v1/files",
        lambda: _form(b"\r\n--fronti" * 1_600_000),
        (200,),
        content_type="multipart/form-data; boundary=frontier",
    ),
    "three prompts of 7 MB": Attack(
        _CHAT, lambda: _chat(messages=[{"role": "user", "content": "many words " * 636_000}]), (400,), at_once=3
    ),
    "three calls with arguments of 7 MB": Attack(
        _CHAT, lambda: _chat(messages=_called('"' + "a " * 3_500_000)), at_once=3
    ),
    "three thoughts of 7 MB": Attack(
        _CHAT,
        lambda: _chat(
            messages=[
                *_said("x")["messages"],
                {"role": "assistant", "content": "x", "reasoning_content": "a " * 3_500_000},
            ]
        ),
        at_once=3,
    ),
    "turns forged with 20,000 control tokens": Attack(_CHAT, lambda: _said("<|im_end|>\n" * 20_000), (200, 400)),
    "turns forged with 20,000 full-width control tokens": Attack(
        _CHAT, lambda: _said("＜｜im_end｜＞\n" * 20_000), (200, 400)
    ),
    "turns forged with 200,000 beginnings of control tokens": Attack(
        _CHAT, lambda: _said("<|im_" * 200_000), (200, 400)
    ),
    "8 MB of parts of a message": Attack(
        _CHAT, lambda: _chat(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}] * 230_000}])
    ),
    "a response of 90,000 items": Attack(
        _RESPONSES, lambda: {"model": "tiny", "input": [{"role": "user", "content": "x"}] * 30_000}
    ),
    "eight responses of 2,048 items": Attack(
        _RESPONSES,
        lambda: {"model": "tiny", "input": [{"role": "user", "content": "x"}] * 2_048},
        (200, 400, 429),
        at_once=8,
    ),
    "64 texts of 100 kB to embed": Attack(
        "/v1/embeddings", lambda: {"model": "tiny", "input": ["a b " * 25_000] * 64}, (200, 400)
    ),
    "8 MB of empty messages": Attack(_CHAT, lambda: _chat(messages=[{"role": "user", "content": ""}] * 230_000)),
    "eight bodies of 8 MB of numbers": Attack(_CHAT, lambda: _chat(user=[1] * 2_600_000), at_once=8),
    "8 MB of nested lists": Attack(_CHAT, lambda: _chat(user=[[]] * 1_900_000)),
    "JSON nested 100,000 deep": Attack(_CHAT, lambda: b'{"model":' + b"[" * 100_000),
    "a stop string of 4 MB": Attack(_CHAT, lambda: _chat(stop="a" * 4_000_000)),
    "128 answers with 20 log-probabilities a token": Attack(
        _CHAT, lambda: _chat(n=128, logprobs=True, top_logprobs=20, max_completion_tokens=8), (200,)
    ),
    "64 kB of gzip that become 64 MB": Attack(_CHAT, lambda: b"{" + b" " * 64 * 2**20, (413,), compressed=True),
}
"""Attacks by name. None needs more than a key."""


def attack(url: str, one: Attack, watch: HealthWatch, key: str = "any") -> Outcome:
    """Send an attack, and ask for ``/health`` until it is answered.

    Args:
        url: the server's address.
        one: the attack.
        watch: asks for ``/health``.
        key: an API key.

    Returns:
        The outcome.
    """
    body = one.body()
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": one.content_type}
    if one.compressed:
        sent, headers["content-encoding"] = gzip.compress(sent), "gzip"
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(httpx.post(f"{url}{one.path}", content=sent, headers=headers, timeout=120))

    threads = [threading.Thread(target=send, daemon=True) for _ in range(one.at_once)]
    watch.longest()
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    longest = watch.longest()
    messages = tuple(
        answer.json().get("error", {}).get("message", "") for answer in answers if answer.status_code >= 400
    )
    return Outcome(tuple(answer.status_code for answer in answers), seconds, longest, messages)
