"""Answers that another tool has written, and the document that holds them, read within bounds."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from ftkit.errors import DataError, FormatError, MissingExtraError, Place
from ftkit.extras import require
from ftkit.named_files import irregular_file_kind
from ftkit.task import Message

__all__ = [
    "AFTER_TOOLS",
    "Document",
    "ForeignAnswer",
    "ForeignResults",
    "answer_text",
    "chat_messages",
    "items_of",
    "number",
    "read_document",
    "text_of",
]

MAX_BYTES = 256 * 1024 * 1024
"""Size of the largest file, and of all members of an archive together."""
AFTER_TOOLS = "answered_after_tool_calls"
"""Column of answers before which the model called tools, so that question and answer alone are no row to train on."""
MAX_ROWS = 200_000
_MAX_MEMBERS = 250_000
_ZSTANDARD = 93
"""Number of the compression method in zip archives."""
_LOCAL_HEADER = 30

_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ForeignAnswer:
    """One answer, in ftkit's words.

    Attributes:
        place: where it is.
        id: the question's id. Answers with the same id are answers to the same question.
        prompt: the messages that were sent.
        text: the answer.
        target: the wanted answer; None if the tool has none.
        scores: scores by name, each from 0 to 1 if ``rates``, else any number.
        error: why there is no answer.
        stop: why the answer ended.
        input_tokens: tokens of the request.
        output_tokens: tokens of the answer.
        cached_tokens: input tokens from a cache.
        latency_s: seconds.
        cost_usd: US dollars; None if unknown.
        item: further columns, for graders.
    """

    place: str
    id: str
    prompt: list[Message]
    text: str
    target: str | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None
    stop: Literal["stop", "length", "tool_calls"] = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    latency_s: float = 0.0
    cost_usd: float | None = None
    item: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignResults:
    """All answers of one model to one form of the prompt.

    Attributes:
        model: the model's name, as the tool has it.
        answers: the answers.
        created_at: when they were made, ISO 8601; empty if unknown.
        about: further facts: names of the task, versions.
        primary: the tool's own headline score; None if there are targets, or no scores.
    """

    model: str
    answers: Sequence[ForeignAnswer]
    created_at: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    primary: str | None = None


@dataclass(frozen=True)
class Document:
    """A file of another tool.

    Attributes:
        path: the file.
        content: the JSON value; for JSON Lines the first line, for an archive its header.
        lines: the lines of JSON Lines, with their numbers; None for other files.
        archive: whether it is a zip archive.
    """

    path: Path
    content: Any
    lines: Sequence[tuple[int, Any]] | None = None
    archive: bool = False

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def values(self) -> list[tuple[str, Any]]:
        """List the records of JSON Lines, of a JSON array, or of a list answer of an API (``{"data": […]}``).

        Returns:
            The records, each with its place.

        Raises:
            DataError: it is one page of a list with more pages.
        """
        if self.lines is not None:
            return [(f"{self.name}:{number}", value) for number, value in self.lines]
        content = self.content
        if isinstance(content, dict) and isinstance(content.get("data"), list):
            if content.get("has_more") is True:
                raise DataError(
                    f'{self.name}: "has_more" says that this is one page of a longer list, so the results would be '
                    "those of a part of the rows; get all pages, and write their items as JSON Lines"
                )
            content = content["data"]
        values = content if isinstance(content, list) else [content]
        return [(f"{self.name}: row {number}", value) for number, value in enumerate(values, 1)]

    def members(self, folder: str) -> Iterator[tuple[str, Any]]:
        """Read the JSON members of an archive, one after the other.

        Args:
            folder: their folder, e.g. ``"samples/"``.

        Yields:
            Name and JSON value.

        Raises:
            DataError: the archive is damaged, or is too large when it is expanded.
        """
        left = MAX_BYTES
        with _archive(self.path) as archive:
            for member in archive.infolist():
                if member.filename.startswith(folder) and member.filename.endswith(".json"):
                    content = _member(self.path, archive, member, left)
                    left -= len(content)
                    yield member.filename, _parse(content, f"{self.name}: {member.filename}")


def read_document(path: str | Path) -> Document:
    """Read a file of another tool: JSON, JSON Lines, or a zip archive with a ``header.json``.

    Args:
        path: the file.

    Returns:
        The document.

    Raises:
        DataError: the file cannot be read, is larger than 256 MiB, or is neither.
        FormatError: it is an archive of something else.
    """
    source = Path(path)
    try:
        kind = irregular_file_kind(source)
        if kind is not None:
            raise DataError(f"{source} is {kind}, and a file is expected")
        with source.open("rb") as file:
            content = _bounded(file, source)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from None
    if content[:4] == b"PK\x03\x04":
        with _archive(source) as archive:
            try:
                member = archive.getinfo("header.json")
            except KeyError:
                raise FormatError(f"{source}: an archive without header.json is no log of inspect_ai") from None
            return Document(
                source, _parse(_member(source, archive, member, MAX_BYTES), f"{source.name}: header"), None, True
            )
    try:
        return Document(source, _loads(content))
    except ValueError as error:
        lines = content.split(b"\n")
        if len(lines) < 2:
            raise DataError(f"not JSON: {error}", place=Place(source.name, 1)) from None
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            if len(rows) == MAX_ROWS:
                raise DataError(f"{source.name} has more than {MAX_ROWS:,} rows; split it")
            rows.append((number, _parse(line, f"{source.name}:{number}")))
    return Document(source, rows[0][1] if rows else None, rows)


def chat_messages(value: Any, place: str) -> list[Message]:
    """Read a prompt: a text, or a list of messages whose contents are texts or lists of text parts.

    Args:
        value: the prompt.
        place: where it is, for errors.

    Returns:
        The messages in OpenAI's form.

    Raises:
        DataError: it is something else, e.g. a message with an image.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise DataError(f"{place}: the prompt is neither a text nor a list of messages")
    messages: list[Message] = []
    for turn in value:
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in _ROLES:
            raise DataError(f"{place}: a message of the prompt has no role among {', '.join(_ROLES)}")
        message: dict[str, Any] = {"role": role, "content": text_of(turn.get("content"), place)}
        for name in ("tool_calls", "tool_call_id"):
            if turn.get(name):
                message[name] = turn[name]
        messages.append(message)  # type: ignore[arg-type]
    return messages


def text_of(content: Any, place: str) -> str:
    """Join the texts of a message's content. Thoughts are left out.

    Args:
        content: a text, null, or a list of parts.
        place: where it is, for errors.

    Returns:
        The text.

    Raises:
        DataError: a part is no text.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind not in ("reasoning", "thinking"):
            raise DataError(f"{place}: a message has a part of type {kind!r}; only texts can be read")
    return "".join(texts)


def answer_text(turn: Any, place: str) -> str:
    """Read the text of a message that is a model's answer.

    Args:
        turn: the message; anything but an object has no text.
        place: where it is, for errors.

    Returns:
        The text.

    Raises:
        DataError: the answer calls tools, or a part is no text.
    """
    if not isinstance(turn, dict):
        return ""
    if turn.get("tool_calls") or turn.get("function_call"):
        raise DataError(f"{place}: the answer calls tools; only texts can be read")
    return text_of(turn.get("content"), place)


def items_of(value: Any, place: str, name: str) -> list[Any]:
    """Read a list that may be left out.

    Args:
        value: the list, or null.
        place: where it is, for errors.
        name: its name, for errors.

    Returns:
        The list; empty for null.

    Raises:
        DataError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"{place}: {name} is no list")
    return value


def number(value: Any) -> float | None:
    """Read a number.

    Args:
        value: a number, a boolean, or anything else.

    Returns:
        The number; None for anything else, NaN and infinity.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _bounded(file: IO[bytes], path: Path) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB; split it")
    return content


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: a damaged archive: {error}") from None
    if len(archive.filelist) > _MAX_MEMBERS:
        raise DataError(f"{path}: the archive has more than {_MAX_MEMBERS:,} members")
    return archive


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, left: int) -> bytes:
    try:
        if member.compress_type == _ZSTANDARD:
            content = _zstandard_member(path, member, left)
        else:
            with archive.open(member) as file:
                content = file.read(left + 1)
    except MissingExtraError:
        raise
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise DataError(f"{path}: {member.filename} cannot be read: {error}") from None
    except Exception as error:  # zlib.error and others have no common base
        raise DataError(f"{path}: {member.filename} cannot be expanded: {type(error).__name__}") from None
    if len(content) > left:
        raise DataError(f"{path}: the archive is larger than {MAX_BYTES >> 20} MiB when it is expanded")
    return content


def _zstandard_member(path: Path, member: zipfile.ZipInfo, left: int) -> bytes:
    """The content of a member in Zstandard, in which inspect_ai writes and which zipfile reads from Python 3.14 on."""
    zstandard = require("zstandard", extra="openai", needed_for="reading a log that is compressed with Zstandard")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member has no header")
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file.read(member.compress_size))
        content: bytes = reader.read(left + 1)
    if len(content) <= left and zlib.crc32(content) != member.CRC:
        raise zipfile.BadZipFile("its checksum is wrong")
    return content


def _loads(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _parse(content: bytes, place: str) -> Any:
    try:
        return _loads(content)
    except ValueError as error:
        raise DataError(f"{place}: not JSON: {error}") from None
