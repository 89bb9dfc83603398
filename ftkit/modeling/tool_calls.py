"""Tool calls in a model's answer, in OpenAI's form.

Where the tokenizer brings a ``response_template``, transformers reads the answer by it. Else the chat template tells
which of three ways of writing calls it asks for: ``<tool_call>{"name": …, "arguments": …}</tool_call>`` (Hermes, Qwen
2.5 and 3, SmolLM3), one JSON object with ``name`` and ``parameters`` as the whole answer (Llama 3.1 and later), or
``[TOOL_CALLS][{"name": …, "arguments": …}]`` (Mistral up to tokenizer version 7). Everything else stays text.
Sources: the models' chat templates on the Hugging Face hub; https://huggingface.co/docs/transformers/chat_response_parsing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ftkit.modeling.tokenized_example import Ints

if TYPE_CHECKING:
    from ftkit.modeling.chat_template import ChatTemplate

__all__ = [
    "FormatToolCallParser",
    "ToolCallFormat",
    "ToolCallParser",
    "detect_tool_call_format",
    "parse_tool_calls",
    "tool_call_parser",
]

ToolCallFormat = Literal["tagged", "bare", "listed"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_TAGGED = re.compile(rf"{_OPEN}(.*?)(?:{_CLOSE}|\Z)", re.DOTALL)
_LIST = "[TOOL_CALLS]"


class ToolCallParser(Protocol):
    """Tells calls from text while the answer comes."""

    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        """Take more of the answer, as text and as tokens; returns the part of it that is certainly no call."""
        ...

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the text, and the calls in OpenAI's form. What cannot be read as calls stays text."""
        ...


def tool_call_parser(
    tokenizer: Any, prompt: Ints, tools: Sequence[dict[str, Any]] | None, *, parallel: bool = True
) -> ToolCallParser | None:
    """A reader of one answer; ``None`` where no tools are offered or nothing is known of how the model calls them.

    Args:
        tokenizer: the model's.
        prompt: token ids of what was asked.
        tools: what was offered.
        parallel: whether there may be several calls; else the first is taken.
    """
    if not tools:
        return None
    if getattr(tokenizer, "response_template", None) is not None:
        return _TemplatedCalls(tokenizer, prompt, tools, parallel=parallel)
    form = detect_tool_call_format(str(tokenizer.chat_template))
    return None if form is None else FormatToolCallParser(form, prompt, parallel=parallel)


def parse_tool_calls(
    chat_template: ChatTemplate, prompt: Ints, ids: Sequence[int], tools: Sequence[dict[str, Any]] | None
) -> tuple[str, list[dict[str, Any]]]:
    """The text of a whole answer without its calls, and the calls.

    Args:
        chat_template: of the model that answered.
        prompt, tools: see :func:`tool_call_parser`.
        ids: tokens of the answer.
    """
    text = chat_template.decode(ids)
    reader = tool_call_parser(chat_template.tokenizer, prompt, tools)
    if reader is None:
        return text, []
    said = reader.push(text, ids)
    rest, calls = reader.end()
    return said + rest, calls


def detect_tool_call_format(template: str) -> ToolCallFormat | None:
    """How a chat template has the model write its calls; ``None`` when that is not known."""
    if _OPEN in template and "<function=" not in template:  # Qwen3-Coder writes XML inside the same tags
        return "tagged"
    if "ipython" in template and '"parameters"' in template:
        return "bare"
    if _LIST in template and "[ARGS]" not in template:  # later Mistral templates write name[ARGS]{…}
        return "listed"
    return None


class FormatToolCallParser:
    """Calls in one of the known forms.

    Args:
        form: how calls are written.
        prompt, parallel: see :func:`tool_call_parser`.
    """

    def __init__(self, form: ToolCallFormat, prompt: Ints, *, parallel: bool = True) -> None:
        self._form, self._prompt, self._parallel = form, prompt, parallel
        self._kept = ""
        self._calling = False
        self._begun = False

    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        """See :class:`ToolCallParser`; the tokens are not needed."""
        self._kept += text
        if self._calling:
            return ""
        if self._form != "tagged":
            return self._whole_answer("{" if self._form == "bare" else "[")
        place = self._kept.find(_OPEN)
        if place >= 0:
            self._calling = True
            found, self._kept = self._kept[:place], self._kept[place:]
            return found
        held = next((n for n in range(len(_OPEN) - 1, 0, -1) if self._kept.endswith(_OPEN[:n])), 0)
        certain = len(self._kept) - held
        found, self._kept = self._kept[:certain], self._kept[certain:]
        return found

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """See :class:`ToolCallParser`."""
        rest, self._kept = self._kept, ""
        calls = _calls(self._read(rest) if self._calling else [], self._prompt, parallel=self._parallel)
        return ("", calls) if calls else (rest, [])

    def _read(self, rest: str) -> list[dict[str, Any] | None]:
        if self._form == "tagged":
            return [_call(_json(one)) for one in _TAGGED.findall(rest)]
        if self._form == "bare":
            return [_call(_json(rest), "parameters")]
        # The mark is a special token, which a text of the answer leaves out.
        found = _json(rest.strip().removeprefix(_LIST))
        return [_call(one) for one in found] if isinstance(found, list) else []

    def _whole_answer(self, opening: str) -> str:
        if not self._begun and not self._kept.strip():
            return ""
        if not self._begun and self._kept.lstrip().startswith(opening):
            self._calling = True
            return ""
        self._begun = True
        found, self._kept = self._kept, ""
        return found


class _TemplatedCalls:
    """Calls by the tokenizer's ``response_template``. It is written over special tokens, so nothing is certain before
    the answer is whole."""

    def __init__(self, tokenizer: Any, prompt: Ints, tools: Sequence[dict[str, Any]], *, parallel: bool) -> None:
        self._tokenizer, self._prompt, self._tools, self._parallel = tokenizer, prompt, tools, parallel
        self._text = ""
        self._ids: list[int] = []

    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        self._text += text
        self._ids += ids
        return ""

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        try:
            message = self._tokenizer.parse_response(self._ids, prefix=self._prompt.tolist(), tools=list(self._tools))
        except Exception:  # templates are programs of their own; a broken call may end them in any way
            return self._text, []
        found = [_call(one.get("function")) for one in message.get("tool_calls") or ()]
        calls = _calls(found, self._prompt, parallel=self._parallel)
        return (str(message.get("content") or ""), calls) if calls else (self._text, [])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _calls(found: Sequence[dict[str, Any] | None], prompt: Ints, *, parallel: bool) -> list[dict[str, Any]]:
    """The calls with their ids; none when one of them could not be read.

    Ids follow from what was asked, so that an answer given twice is the same, and differ between turns.
    """
    whole = [one for one in found if one is not None]
    if len(whole) < len(found):
        return []
    digests = (hashlib.sha256(prompt.tobytes() + number.to_bytes(4)) for number in range(len(whole)))
    named = [{"id": f"call_{digest.hexdigest()[:24]}", **one} for digest, one in zip(digests, whole, strict=True)]
    return named if parallel else named[:1]


def _call(found: Any, arguments: str = "arguments") -> dict[str, Any] | None:
    """A call in OpenAI's form, without its id; ``None`` when it is none. Only a bare object needs arguments: nothing
    else tells it from an answer that is JSON."""
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        return None
    said = found.get(arguments, None if arguments == "parameters" else {})
    if isinstance(said, str):
        said = _json(said)
    if not isinstance(said, dict):
        return None
    written = json.dumps(said, ensure_ascii=False)
    return {"type": "function", "function": {"name": found["name"], "arguments": written}}
