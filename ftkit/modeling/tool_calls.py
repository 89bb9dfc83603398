"""Parse tool calls in a model's answer, into OpenAI's form.

If the tokenizer has a ``response_template``, transformers parses the answer with it. Else the chat template shows which
of three formats the model uses: ``<tool_call>{"name": …, "arguments": …}</tool_call>`` (Hermes, Qwen 2.5 and 3,
SmolLM3), one JSON object with ``name`` and ``parameters`` as the whole answer (Llama 3.1 and later), or
``[TOOL_CALLS][{"name": …, "arguments": …}]`` (Mistral up to tokenizer version 7). Everything else remains text.
Sources: the models' chat templates on the Hugging Face hub; https://huggingface.co/docs/transformers/chat_response_parsing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from typing_extensions import override

from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.response_template import ResponseReader, response_reader
from ftkit.modeling.tokenized_example import Ints

__all__ = [
    "TOOL_CALL_MARKERS",
    "CheckedToolCallParser",
    "FormatToolCallParser",
    "RequiredToolCallParser",
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

TOOL_CALL_MARKERS = (_OPEN, _CLOSE, _LIST)
"""Texts around calls that some vocabularies have as one token."""


class ToolCallParser(Protocol):
    """Separates tool calls from text in a streamed answer."""

    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        """Add a piece of the answer.

        Args:
            text: the piece.
            ids: its token ids.

        Returns:
            Text that is certainly not part of a tool call.
        """
        ...

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """End the answer.

        Returns:
            The remaining text, and the tool calls in OpenAI's form. What cannot be parsed remains text.
        """
        ...


def tool_call_parser(
    tokenizer: Any, prompt: Ints, tools: Sequence[dict[str, Any]] | None, *, parallel: bool = True
) -> ToolCallParser | None:
    """Make a parser for one answer.

    Args:
        tokenizer: the model's tokenizer.
        prompt: token ids of the prompt.
        tools: the tools offered, as JSON schemas.
        parallel: whether several calls are allowed; else only the first is returned.

    Returns:
        The parser; None if no tools are offered, or the model's format is not known.

    Raises:
        ModelError: the tokenizer's ``response_template`` cannot be used.
    """
    if not tools:
        return None
    reader = response_reader(tokenizer)
    if reader is not None:
        return _TemplateToolCallParser(reader, tokenizer, prompt, tools, parallel=parallel)
    form = detect_tool_call_format(str(tokenizer.chat_template))
    return None if form is None else FormatToolCallParser(form, prompt, parallel=parallel)


def parse_tool_calls(
    chat_template: ChatTemplate, prompt: Ints, ids: Sequence[int], tools: Sequence[dict[str, Any]] | None
) -> tuple[str, list[dict[str, Any]]]:
    """Parse a complete answer.

    Args:
        chat_template: chat template of the model.
        prompt: token ids of the prompt.
        ids: token ids of the answer.
        tools: the tools offered, as JSON schemas.

    Returns:
        The text without tool calls, and the tool calls in OpenAI's form.
    """
    text = chat_template.decode(ids)
    parser = tool_call_parser(chat_template.tokenizer, prompt, tools)
    if parser is None:
        return text, []
    beginning = parser.push(text, ids)
    rest, calls = parser.end()
    return beginning + rest, calls


def detect_tool_call_format(template: str) -> ToolCallFormat | None:
    """Detect the format of tool calls from a chat template.

    Args:
        template: the Jinja template.

    Returns:
        The format; None if it is not known.
    """
    if _OPEN in template and "<function=" not in template:  # Qwen3-Coder writes XML inside the same tags
        return "tagged"
    if "ipython" in template and '"parameters"' in template:
        return "bare"
    if _LIST in template and "[ARGS]" not in template:  # later Mistral templates write name[ARGS]{…}
        return "listed"
    return None


class FormatToolCallParser(ToolCallParser):
    """Parses tool calls in one of the known formats.

    Args:
        form: the format.
        prompt: token ids of the prompt, of which the ids of calls are derived.
        parallel: whether several calls are allowed.
    """

    def __init__(self, form: ToolCallFormat, prompt: Ints, *, parallel: bool = True) -> None:
        self._form, self._prompt, self._parallel = form, prompt, parallel
        self._buffer = ""
        self._in_call = False
        self._in_text = False

    @override
    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        self._buffer += text
        if self._in_call:
            return ""
        if self._form != "tagged":
            return self._whole_answer("{" if self._form == "bare" else "[")
        place = self._buffer.find(_OPEN)
        if place >= 0:
            self._in_call = True
            found, self._buffer = self._buffer[:place], self._buffer[place:]
            return found
        partial = next((n for n in range(len(_OPEN) - 1, 0, -1) if self._buffer.endswith(_OPEN[:n])), 0)
        certain = len(self._buffer) - partial
        found, self._buffer = self._buffer[:certain], self._buffer[certain:]
        return found

    @override
    def end(self) -> tuple[str, list[dict[str, Any]]]:
        rest, self._buffer = self._buffer, ""
        calls = _calls(self._read(rest) if self._in_call else [], self._prompt, parallel=self._parallel)
        return ("", calls) if calls else (rest, [])

    def _read(self, rest: str) -> list[dict[str, Any] | None]:
        if self._form == "tagged":
            return [_call(_json(one)) for one in _TAGGED.findall(rest)]
        if self._form == "bare":
            return [_call(_json(rest), "parameters")]
        # The marker is a special token, which the text of an answer omits.
        found = _json(rest.strip().removeprefix(_LIST))
        return [_call(one) for one in found] if isinstance(found, list) else []

    def _whole_answer(self, opening: str) -> str:
        if not self._in_text and not self._buffer.strip():
            return ""
        if not self._in_text and self._buffer.lstrip().startswith(opening):
            self._in_call = True
            return ""
        self._in_text = True
        found, self._buffer = self._buffer, ""
        return found


class CheckedToolCallParser(ToolCallParser):
    """Leaves calls that are not valid in the text.

    Args:
        parser: finds the calls.
        accepts: whether all calls of an answer are valid.
    """

    def __init__(self, parser: ToolCallParser, accepts: Callable[[list[dict[str, Any]]], bool]) -> None:
        self._parser, self._accepts = parser, accepts
        self._text = ""
        self._given = 0

    @override
    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        self._text += text
        new = self._parser.push(text, ids)
        self._given += len(new)
        return new

    @override
    def end(self) -> tuple[str, list[dict[str, Any]]]:
        rest, calls = self._parser.end()
        if calls and not self._accepts(calls):
            return self._text[self._given :], []
        return rest, calls


_BEGINNING = re.compile(r'\{"name": "([^"]*)", "(?:arguments|parameters)": ')
_IN_ARGUMENTS = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


class RequiredToolCallParser(ToolCallParser):
    """Parses an answer that a grammar holds to calls, so that it is nothing else, while it is written.

    Args:
        prompt: token ids of the prompt, of which the ids of calls are derived.
    """

    def __init__(self, prompt: Ints) -> None:
        self._prompt = prompt
        self._text = ""
        self._place = self._depth = 0
        self._in_arguments = self._in_string = False
        self._calls: list[dict[str, Any]] = []
        self._pieces: list[dict[str, Any]] = []

    @override
    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        self._text += text
        while self._read_arguments() if self._in_arguments else self._read_beginning():
            pass
        return ""

    @override
    def end(self) -> tuple[str, list[dict[str, Any]]]:
        # At the limit of tokens the last call has its arguments as far as they go, as OpenAI returns it.
        return ("", self._calls) if self._calls else (self._text, [])

    def pieces(self) -> list[dict[str, Any]]:
        """Take what is new of the calls since the last time.

        Returns:
            Parts of calls in the form of OpenAI's streams, each with the index of its call.
        """
        pieces, self._pieces = self._pieces, []
        return pieces

    def _read_beginning(self) -> bool:
        begun = _BEGINNING.search(self._text, self._place)
        if begun is None:
            return False
        self._place, self._in_arguments = begun.end(), True
        function = {"name": begun[1], "arguments": ""}
        call = {"id": _call_id(self._prompt, len(self._calls)), "type": "function", "function": function}
        self._pieces.append({"index": len(self._calls), **call, "function": dict(function)})
        self._calls.append(call)
        return True

    def _read_arguments(self) -> bool:
        """Read on to the end of the arguments, or of the text; returns whether the arguments ended."""
        start = place = self._place
        while found := (_IN_STRING if self._in_string else _IN_ARGUMENTS).search(self._text, place):
            place = found.end()
            if found[0] == "\\":
                if place == len(self._text):  # what is escaped is still to come
                    place -= 1
                    break
                place += 1
            elif found[0] == '"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if found[0] in "{[" else -1
                if self._depth == 0:
                    self._in_arguments = False
                    break
        else:
            place = len(self._text)
        self._place = place
        if place > start:
            piece = self._text[start:place]
            self._calls[-1]["function"]["arguments"] += piece
            self._pieces.append({"index": len(self._calls) - 1, "function": {"arguments": piece}})
        return not self._in_arguments


class _TemplateToolCallParser(ToolCallParser):
    """Parses calls with the tokenizer's ``response_template``, which needs the complete answer with special tokens."""

    def __init__(
        self,
        reader: ResponseReader,
        tokenizer: Any,
        prompt: Ints,
        tools: Sequence[dict[str, Any]],
        *,
        parallel: bool,
    ) -> None:
        self._reader, self._tokenizer = reader, tokenizer
        self._prompt, self._tools, self._parallel = prompt, tools, parallel
        self._text = ""
        self._ids: list[int] = []

    @override
    def push(self, text: str, ids: Sequence[int] = ()) -> str:
        self._text += text
        self._ids += ids
        return ""

    @override
    def end(self) -> tuple[str, list[dict[str, Any]]]:
        message = self._reader.read(self._tokenizer, self._prompt, self._ids, self._tools)
        listed = message.get("tool_calls")
        found = [
            _call(one.get("function") if isinstance(one, Mapping) else None)
            for one in (listed if isinstance(listed, list) else ())
        ]
        calls = _calls(found, self._prompt, parallel=self._parallel)
        return (str(message.get("content") or ""), calls) if calls else (self._text, [])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _calls(parsed: Sequence[dict[str, Any] | None], prompt: Ints, *, parallel: bool) -> list[dict[str, Any]]:
    """The calls with their ids; empty if any call could not be parsed."""
    calls = [call for call in parsed if call is not None]
    if len(calls) < len(parsed):
        return []
    with_ids = [{"id": _call_id(prompt, number), **call} for number, call in enumerate(calls)]
    return with_ids if parallel else with_ids[:1]


def _call_id(prompt: Ints, number: int) -> str:
    """Derived from the prompt: the same when an answer is repeated, and different between turns."""
    return f"call_{hashlib.sha256(prompt.tobytes() + number.to_bytes(4)).hexdigest()[:24]}"


def _call(found: Any, arguments: str = "arguments") -> dict[str, Any] | None:
    """A call in OpenAI's form, without its id; None if it is not a call."""
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        return None
    # Only a bare object must have arguments, because nothing else distinguishes it from an answer that is JSON.
    values = found.get(arguments, None if arguments == "parameters" else {})
    if isinstance(values, str):
        values = _json(values)
    if not isinstance(values, dict):
        return None
    text = json.dumps(values, ensure_ascii=False)
    return {"type": "function", "function": {"name": found["name"], "arguments": text}}
