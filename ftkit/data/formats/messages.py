"""Check chat messages, and convert them to OpenAI's form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ftkit.data.formats.content import REASONING, join_text_parts, read_parts_of_text, text_content
from ftkit.data.formats.content_blocks import thought_of
from ftkit.data.formats.learning_marks import LEARNING_MARKS, PARTIAL_MARKS, is_like_mark, read_mark
from ftkit.data.formats.response_items import ITEM_KEYS, chat_turns
from ftkit.data.formats.sharegpt_turn import SHAREGPT_FIELDS, is_sharegpt_turn, read_sharegpt_turn
from ftkit.data.strict_json import parse_json
from ftkit.error_text import name_list
from ftkit.errors import DataError, DataProblem, Place
from ftkit.task import Message

__all__ = [
    "MEDIA",
    "MESSAGE_KEYS",
    "read_messages",
    "read_parts",
    "read_system",
    "read_turns",
    "unread_keys",
]

_ROLES = ("system", "developer", "user", "assistant", "tool")
MEDIA = ("images", "image", "audios", "audio", "videos", "video")
"""Columns of a row, and keys of a message, that hold what no local model reads."""
_REASONING_LISTS = ("reasoning_details", "thinking_blocks")
"""Keys of OpenRouter and LiteLLM, which repeat a thought as a list of blocks."""
_MESSAGE_MARKS = (
    *("weight", *LEARNING_MARKS, *PARTIAL_MARKS, *MEDIA, *REASONING, *_REASONING_LISTS),
    *("name", "refusal", "tool_calls", "tool_call_id", "function_call"),
)
"""Keys of a message, beside role and content, that a format must not drop."""
MESSAGE_KEYS = frozenset({"role", "content", "from", "value", "id", *_MESSAGE_MARKS})
"""Keys of a message that are read or refused."""
_MEDIA_SET, _MARKS_SET = frozenset(MEDIA), frozenset((*LEARNING_MARKS, *PARTIAL_MARKS))
_TEXTS_SET = frozenset((*REASONING, *_REASONING_LISTS, "refusal"))
_ROLE_HINTS = {
    "function": 'the deprecated form; write role "tool" with the tool_call_id of the call',
    "human": 'write "user"',
    "gpt": 'write "assistant"',
    "model": 'write "assistant"',
    "bot": 'write "assistant"',
    "chatbot": 'write "assistant"',
    **dict.fromkeys(("tool_response", "observation", "ipython"), 'write "tool"'),
    **dict.fromkeys(("tool_call", "function_call"), 'write "assistant" with tool_calls'),
    **{role: f'write "{role}"' for role in _ROLES},  # of other cases
}


def read_messages(value: list[Any], place: Place, field: str) -> list[Message]:
    """Check a list of messages, and convert them to one form.

    Null entries of a message are dropped. Parts of text are joined to one text. Arguments of tool calls become JSON
    texts. Calls without an ``id`` (TRL's form), and the tool messages that answer them, get ``call_1``, ``call_2``, ….
    Other tools' marks of turns that are not learned (``loss``, ``train``, ``masked``, …) become ``weight``. A message
    may also be a turn of ShareGPT's form, with ``from`` and ``value``, hold Anthropic's blocks (``thinking``,
    ``tool_use``, ``tool_result``), or be an item of OpenAI's Responses API.

    Args:
        value: the list.
        place: of the row.
        field: the list's field in the row, for errors, e.g. ``"messages"``.

    Returns:
        The messages, as copies.

    Raises:
        DataError: a wrong role or order of roles, an empty assistant turn, a bad weight, a tool message without its
            call, or a value of the wrong type; the field is e.g. ``messages[2].role``.
    """
    return read_parts([(field, value)], place)


def read_parts(parts: Sequence[tuple[str, list[Any]]], place: Place) -> list[Message]:
    """Check a conversation whose messages are in several lists, as :func:`read_messages` checks one list.

    Args:
        parts: the lists in their order, each with its field, which errors name.
        place: of the row.

    Returns:
        The messages, as copies.

    Raises:
        DataError: as for :func:`read_messages`.
    """
    turns = [turn for field, value in parts for turn in chat_turns(field, value, place)]
    if not turns:
        raise DataError("empty; a conversation needs at least one message", place=place, field=parts[0][0])
    return read_turns(turns, place)


def read_turns(turns: Sequence[tuple[str, Any]], place: Place) -> list[Message]:
    """Check a conversation whose messages are anywhere in a row, as :func:`read_messages` checks one list.

    Args:
        turns: the messages in their order, each with its field, which errors name.
        place: of the row.

    Returns:
        The messages, as copies.

    Raises:
        DataError: as for :func:`read_messages`.
    """
    reader = _Reader(place)
    return [reader.message(item, field, number) for number, (field, item) in enumerate(turns)]


def read_system(messages: list[Message], value: Any, place: Place, field: str = "system") -> None:
    """Insert the text of a ``system`` column as the first message of a conversation.

    Args:
        messages: the conversation, which is changed.
        value: the column: a text, or a list of parts of text; None or empty if there is none.
        place: of the row.
        field: the column's name, for errors.

    Raises:
        DataError: the conversation has another system message, or the column holds something else.
    """
    if value is None or value == "" or value == []:
        return
    text = join_text_parts(value)
    if not isinstance(text, str):
        raise DataError("must be a text, or a list of parts of text", place=place, field=field)
    if messages[0]["role"] not in ("system", "developer"):
        messages.insert(0, {"role": "system", "content": text})
    elif text_content(messages[0]) != text:
        raise DataError(
            "the conversation begins with a system turn of its own, which differs; leave out one of them",
            place=place,
            field=field,
        )


def unread_keys(turns: Any) -> list[str]:
    """List the keys of messages that hold something and that nothing reads.

    Args:
        turns: a column: a list of messages, also as JSON, or one message. Of other values nothing is listed.

    Returns:
        The keys.
    """
    if isinstance(turns, str) and turns.lstrip().startswith("["):  # a cell of a CSV file
        try:
            turns = parse_json(turns, Place("", 0))
        except DataError:
            return []
    found: dict[str, None] = {}
    for turn in turns if isinstance(turns, list) else [turns]:
        if isinstance(turn, (dict, Mapping)) and not turn.keys() <= MESSAGE_KEYS and ("role" in turn or "from" in turn):
            known = MESSAGE_KEYS | ITEM_KEYS if turn.get("type") == "message" else MESSAGE_KEYS
            unknown = [key for key in turn if key not in known and turn[key] not in (None, "", [], {})]
            found |= dict.fromkeys(f"{key:.60}" for key in unknown)
    return list(found)


class _Reader:
    """Reads the messages of a conversation in order, and remembers which tool calls have no answer yet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._unnamed = 0
        self._unanswered: list[str] = []
        self._after_call = False
        self._turn = ""
        self._is_sharegpt = False

    def _error(self, message: str, field: str, problem: DataProblem | None = None) -> DataError:
        if self._is_sharegpt and field.startswith(f"{self._turn}."):
            inside = field[len(self._turn) + 1 :]
            name = re.split(r"[.\[]", inside, maxsplit=1)[0]
            rest = inside.removeprefix(name) if name == "content" else ""
            field = f"{self._turn}.{SHAREGPT_FIELDS[name]}{rest}" if name in SHAREGPT_FIELDS else field
        return DataError(message, place=self._place, field=field, problem=problem)

    def message(self, item: Any, field: str, number: int) -> Message:
        self._turn, self._is_sharegpt = field, is_sharegpt_turn(item)
        raw = item
        if self._is_sharegpt:
            item = read_sharegpt_turn(item, self._place, field, _MESSAGE_MARKS)
        if not isinstance(item, (dict, Mapping)):
            raise self._error(f"must be an object with role and content, this is a {type(item).__name__}", field)
        self._refuse_unknown_marks(raw, field)
        message = {key: value for key, value in item.items() if value is not None}
        role = message.get("role")
        if role not in _ROLES:
            hint = (
                _ROLE_HINTS.get(role.lower(), f"it must be one of {', '.join(_ROLES)}") if isinstance(role, str) else ""
            )
            shown = "missing" if role is None else f"{role!r} is no role"
            raise self._error(f"{shown}; {hint or 'it must be one of ' + ', '.join(_ROLES)}", f"{field}.role", "role")
        if role in ("system", "developer") and number:
            raise self._error(f"a {role} message can only be the first one", f"{field}.role", "role")
        if "function_call" in message:
            raise self._error(
                "the deprecated form of a call is not supported; write tool_calls", f"{field}.function_call"
            )
        self._check_weight(message, field)
        self._read_learning_marks(message, field)
        self._refuse_media(message, field)
        self._read_content(message, field)
        self._read_texts(message, field)
        if "name" in message and not isinstance(message["name"], str):
            raise self._error("must be a text", f"{field}.name")
        if role == "assistant":
            self._assistant(message, field)
        elif "tool_calls" in message:
            raise self._error(f"only the assistant calls tools, not {role}", f"{field}.tool_calls")
        if role == "tool":
            self._tool(message, field)
        elif role != "assistant":
            self._after_call = False
        return cast(Message, message)

    def _check_weight(self, message: dict[str, Any], field: str) -> None:
        if "weight" not in message:
            return
        weight = message["weight"]
        if message["role"] != "assistant":
            raise self._error("only assistant messages have a weight", f"{field}.weight")
        if isinstance(weight, bool) or weight not in (0, 1):
            raise self._error(f"must be 0 (not learned) or 1 (learned), this is {weight!r}", f"{field}.weight")
        message["weight"] = int(weight)

    def _read_learning_marks(self, message: dict[str, Any], field: str) -> None:
        if _MARKS_SET.isdisjoint(message):
            return
        for name in PARTIAL_MARKS:
            if name in message:
                raise self._error(
                    "a part of a turn cannot be left out of training; give the turn weight 0, or split it in two",
                    f"{field}.{name}",
                )
        for name in LEARNING_MARKS:
            if name not in message:
                continue
            value = message.pop(name)
            mark = read_mark(name, value)
            if mark is None:
                raise self._error(f"must be false or 0, or true or 1, this is {value!r:.60}", f"{field}.{name}")
            if message["role"] != "assistant":
                if mark:
                    raise self._error("only assistant messages are learned", f"{field}.{name}")
                continue
            if message.setdefault("weight", int(mark)) != mark:
                raise self._error(
                    "says otherwise than the message's other marks of whether it is learned; keep one of them",
                    f"{field}.{name}",
                )

    def _refuse_unknown_marks(self, item: Mapping[str, Any], field: str) -> None:
        if item.get("from") is not None and item.get("value") is not None and not self._is_sharegpt:
            raise self._error("holds two turns: one of role and content, and one of from and value", field)
        if item.keys() <= MESSAGE_KEYS:
            return
        for name, value in item.items():
            if isinstance(name, str) and name not in MESSAGE_KEYS and is_like_mark(name, value):
                raise self._error(
                    "looks like a mark of whether the turn is learned, and ftkit does not know it; write weight 0 or 1 "
                    "instead, or rename the key if it is something else",
                    f"{field}.{name:.60}",
                )

    def _read_texts(self, message: dict[str, Any], field: str) -> None:
        """Read keys that hold text beside the content: reasoning and refusals."""
        if _TEXTS_SET.isdisjoint(message):
            return
        for name in (*REASONING, "refusal"):
            if name in message:
                message[name] = join_text_parts(message[name])
                if not isinstance(message[name], str):
                    raise self._error("must be a text", f"{field}.{name}")
        for name in _REASONING_LISTS:
            blocks = message.pop(name, None)
            if blocks and not any(message.get(key) for key in REASONING):
                thought = thought_of(blocks)
                if thought is None:
                    raise self._error("not read; write the thought as a text to reasoning_content", f"{field}.{name}")
                message[REASONING[0]] = thought
        if message.get("refusal"):
            raise self._error(
                "a refusal beside the content cannot be learned; write it to the content", f"{field}.refusal"
            )

    def _refuse_media(self, message: Mapping[str, Any], field: str) -> None:
        if _MEDIA_SET.isdisjoint(message):
            return
        for name in MEDIA:
            if message.get(name) not in (None, "", [], {}):
                raise self._error(
                    f"{name} beside the text cannot be learned or read; write parts of the content for a host that "
                    "takes them, or leave the row out",
                    f"{field}.{name}",
                )

    def _read_content(self, message: dict[str, Any], field: str) -> None:
        content = message["content"] = read_parts_of_text(message.get("content"))
        if content is None:
            del message["content"]
            if message["role"] != "assistant":
                raise self._error("missing", f"{field}.content")
        elif isinstance(content, list):
            for number, part in enumerate(content):
                at = f"{field}.content[{number}]"
                if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                    raise self._error('a part must be an object such as {"type": "text", "text": …}', at)
                if part["type"] in ("text", "input_text", "output_text") and not isinstance(part.get("text"), str):
                    raise self._error("must be a text", f"{at}.text")
            message["content"] = join_text_parts(content)
        elif not isinstance(content, str):
            raise self._error(
                f"must be a text or a list of parts, this is a {type(content).__name__}", f"{field}.content"
            )

    def _assistant(self, message: dict[str, Any], field: str) -> None:
        calls = message.get("tool_calls")
        if calls == []:
            del message["tool_calls"]
            calls = None
        content = message.get("content")
        if calls is None:
            if content is None or not (content.strip() if isinstance(content, str) else content):
                lacks = "its value is blank" if self._is_sharegpt else "it has neither content nor tool_calls"
                raise self._error(f"an empty assistant turn: {lacks}", field, "empty_answer")
            self._after_call = False
            return
        if not isinstance(calls, list):
            raise self._error("must be a list of calls", f"{field}.tool_calls")
        message["tool_calls"] = [self._call(call, f"{field}.tool_calls[{n}]") for n, call in enumerate(calls)]
        self._unanswered = [call["id"] for call in message["tool_calls"]]
        if len(set(self._unanswered)) != len(self._unanswered):
            raise self._error("two calls have the same id", f"{field}.tool_calls")
        self._after_call = True

    def _call(self, call: Any, field: str) -> dict[str, Any]:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise self._error('must be {"id": …, "type": "function", "function": {"name": …, "arguments": …}}', field)
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if not isinstance(arguments, str):
            raise self._error("must be the arguments as a JSON text or an object", f"{field}.function.arguments")
        identity = call.get("id")
        if identity is None:
            self._unnamed += 1
            identity = f"call_{self._unnamed}"
        elif not isinstance(identity, str):
            raise self._error("must be a text", f"{field}.id")
        return {"id": identity, "type": "function", "function": {"name": function["name"], "arguments": arguments}}

    def _tool(self, message: dict[str, Any], field: str) -> None:
        if not self._after_call:
            raise self._error(
                "a tool message must follow the assistant turn that calls the tool", f"{field}.role", "role"
            )
        identity = message.get("tool_call_id")
        if identity is None and self._unanswered:
            identity = message["tool_call_id"] = self._unanswered[0]
        if identity is None and self._is_sharegpt:
            raise self._error("there is no call that waits for an answer", f"{field}.tool_call_id")
        if identity not in self._unanswered:
            waiting = name_list(self._unanswered, "none: each is answered")
            raise self._error(f"{identity!r} is no call that waits for an answer ({waiting})", f"{field}.tool_call_id")
        self._unanswered.remove(identity)
