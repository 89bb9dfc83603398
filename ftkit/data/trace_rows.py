"""From traces to rows: filters by model, time, scores and feedback, and each answer once."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from ftkit.data.dataset import Dataset
from ftkit.data.formats import FORMATS, RawRow
from ftkit.data.formats.traces import TraceFacts, TraceFormat
from ftkit.data.formats.traces.base import time_of
from ftkit.data.sources import Corpus, open_source
from ftkit.data.strict_json import canonical_json, parse_json_objects
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, DataError, FormatError, Place
from ftkit.task import Message, Task

__all__ = ["TraceFilter", "TraceRows", "day_or_time", "read_traces"]

_ENVELOPES = ("data", "items", "runs", "traces")
"""Where answers of list APIs have their records."""
_MAX_ENVELOPE = 3
"""Most keys of an answer that holds one record, such as ``{"message": …, "data": {…}}``."""
_LOOKED_AT = 1_000
"""Most records that are looked at for one of a known format."""
_WHOLE_FILE = 256 * 1024 * 1024
_MAX_CALLS = 5_000_000


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which calls become rows.

    Attributes:
        model: pattern of the model's name, e.g. ``"gpt-4.1*"``.
        since: calls that began at this time or later.
        until: calls that began before this time.
        scores: smallest scores by name.
        feedback: only calls that were found good (True) or bad (False); None takes all.
    """

    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    feedback: bool | None = None

    def reason(self, facts: TraceFacts) -> str | None:
        """Say why a call is left out.

        Args:
            facts: what is known of it.

        Returns:
            The reason, in words; None if it is a row.
        """
        if not facts.is_chat:
            return "not a call of a chat model"
        if facts.error:
            return "failed"
        if facts.is_cut:
            return "cut off"
        if self.model is not None and not fnmatch.fnmatchcase(facts.model, self.model):
            return "another model"
        if (self.since or self.until) and facts.at is None:
            return "its time is not known"
        if facts.at is not None and (
            (self.since is not None and facts.at < self.since) or (self.until is not None and facts.at >= self.until)
        ):
            return "another time"
        for name, least in self.scores.items():
            score = facts.scores.get(name)
            if score is None or score < least:
                return f"{name} is below {least:g}" if score is not None else f"without {name}"
        if self.feedback is not None and facts.feedback is not self.feedback:
            return "without feedback" if facts.feedback is None else "other feedback"
        return None


@dataclass(frozen=True, slots=True)
class TraceRows:
    """Rows made of traces.

    Attributes:
        rows: conversations that end with the recorded answer; with labels, rows for KTO.
        left_out: number of calls that were left out, by reason.
        problems: why calls could not be read, the first hundred; and which files are one page of a longer list.
        format: name of the format.
    """

    rows: Dataset
    left_out: Mapping[str, int]
    problems: Sequence[DataError]
    format: str


def read_traces(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    format: str = "auto",  # noqa: A002
    where: TraceFilter | None = None,
    labels: bool = False,
) -> TraceRows:
    """Make rows of traces. Equal conversations become one row.

    Args:
        path: a file, or several: OTLP JSON, JSON, JSON Lines or CSV.
        format: name of a format of traces; ``"auto"`` finds out from the first record.
        where: which calls become rows; all that have an answer by default.
        labels: write ``prompt``, ``completion`` and ``label`` from users' feedback (rows for KTO). Calls without
            feedback are left out, and answers that were found good and bad, too.

    Returns:
        The rows, and what was left out.

    Raises:
        DataError: a file cannot be read, or no call is left.
        FormatError: the records are of no known format of traces.
        ConfigError: ``format`` is no format of traces.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    where = where or TraceFilter()
    chosen = None if format == "auto" else _named(format)
    left_out: Counter[str] = Counter()
    problems: list[DataError] = []
    found: dict[str, dict[str, Any]] = {}
    conflicts: set[str] = set()
    judges: dict[str, set[str]] = {}
    unscaled: set[str] = set()
    count = 0

    def on_page(place: Place) -> None:
        message = "one page of a longer list: rows of the other pages are missing; fetch them, and give all files"
        problems.append(DataError(message, place=place))

    records = _records(paths, on_page)
    if chosen is None:
        chosen, records = _detected(records)
    if chosen is None:
        raise DataError(f"{', '.join(map(str, paths))}: there are no records")
    for place, record in records:
        for number, call in enumerate(chosen.records(record), 1):
            count += 1
            at = place if call is record else Place(str(place), place.line, number)
            if count > _MAX_CALLS:
                raise DataError(f"there are more than {_MAX_CALLS:,} calls; give fewer files at once")
            facts = chosen.facts(call)
            unscaled |= {name for name, number in facts.scaled.items() if number > 1}
            reason = where.reason(facts)
            if reason is None and labels and facts.feedback is None:
                reason = "without feedback"
            if reason is not None:
                left_out[reason] += 1
                continue
            try:
                conversation = chosen.read(RawRow(call, at, True, Task()))
                if conversation.messages[-1]["role"] != "assistant":
                    raise DataError("there is no answer", place=at, problem="no_answer")
            except DataError as error:
                left_out["cannot be read"] += 1
                problems += [error] if len(problems) < 100 else []
                continue
            row: dict[str, Any] = {"messages": conversation.messages}
            if conversation.tools:
                row["tools"] = conversation.tools
            if conversation.parallel_tool_calls is not None:
                row["parallel_tool_calls"] = conversation.parallel_tool_calls
            key = canonical_json(row)
            if labels:
                row = _labelled(conversation.messages, row, bool(facts.feedback))
            if labels or where.feedback is not None:
                judges.setdefault(key, set()).update(facts.scaled)
            if key in found:
                left_out["repeated"] += 1
                if labels and found[key]["label"] is not row["label"]:
                    conflicts.add(key)
                continue
            found[key] = row
    for key in conflicts:
        del found[key]
        left_out["found good and bad"] += 1
    for key in [key for key, names in judges.items() if key in found and names & unscaled]:
        del found[key]
        left_out["feedback in numbers of a scale that goes above 1"] += 1
    if not found:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.most_common())
        first = f" The first: {problems[0]}" if problems else ""
        raise DataError(f"no call is left to be a row: {reasons or 'there are none'}.{first}")
    rows = Dataset.from_rows(found.values(), name=Path(paths[0]).name)
    return TraceRows(rows, dict(left_out), problems, chosen.name)


def _labelled(messages: Sequence[Message], row: Mapping[str, Any], label: bool) -> dict[str, Any]:
    return {
        "prompt": list(messages[:-1]),
        "completion": [messages[-1]],
        **{name: value for name, value in row.items() if name != "messages"},
        "label": label,
    }


def _records(
    paths: Sequence[str | os.PathLike[str]], on_page: Callable[[Place], None]
) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for path in paths:
        objects = _objects(Path(path))
        if objects:
            records = []
            for whole in objects:
                inside = _enveloped(whole)
                records += inside
                if inside != [whole] and _more_pages(whole):
                    on_page(Place(Path(path).name, 1))
            for number, record in enumerate(records, 1):
                if not isinstance(record, dict):
                    raise DataError("a record must be an object", place=Place(Path(path).name, 1, number))
                yield Place(Path(path).name, 1, number), record
            continue
        corpus = Corpus([open_source(path)])
        with corpus.open(sequential=True) as reader:
            for number in range(len(corpus)):
                _, place, columns = reader.read(number)
                yield place, columns


def _enveloped(whole: dict[str, Any]) -> list[Any]:
    """The records in an answer of an API, or the one that the object itself is."""
    trace, observations = whole.get("trace"), whole.get("observations")
    if isinstance(trace, dict) and isinstance(observations, list):  # a trace as Langfuse's page downloads it
        return [{**trace, "observations": observations}]
    for name in _ENVELOPES:
        inside = whole.get(name)
        if isinstance(inside, list) and all(isinstance(one, dict) for one in inside):
            return inside
        if isinstance(inside, dict) and len(whole) <= _MAX_ENVELOPE:
            return [inside]
    return [whole]


def _more_pages(whole: Mapping[str, Any]) -> bool:
    """Whether an answer of a list API says that there are others."""
    meta = whole.get("meta")
    if isinstance(meta, dict) and isinstance(meta.get("totalPages"), int) and meta["totalPages"] > 1:
        return True
    cursors = whole.get("cursors")
    cursor = cursors.get("next") if isinstance(cursors, dict) else whole.get("next_cursor")
    return whole.get("has_more") is True or bool(cursor)


def _objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a ``.json`` file: one, as OTLP's and the answers of list APIs, or several after each other.

    The console exporter of OpenTelemetry's SDK writes each span over many lines.

    Args:
        path: the file.

    Returns:
        The objects; none of files of other forms, which are read by line.

    Raises:
        DataError: the file is too large.
    """
    if path.suffix.lower() != ".json" or not path.is_file():
        return []
    with path.open("rb") as file:
        first = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if first != b"{":
            return []
        file.seek(0)
        content = file.read(_WHOLE_FILE + 1)
    if len(content) > _WHOLE_FILE:
        raise DataError(f"{path} is larger than {_WHOLE_FILE >> 20} MiB; write it as JSON Lines")
    try:
        text = content.decode("utf-8-sig")
        return parse_json_objects(text, Place(path.name, 1))
    except ValueError:  # faults are named when the lines are read
        return []


def _named(name: str) -> TraceFormat:
    format_ = FORMATS.get(name)
    if not isinstance(format_, TraceFormat):
        known = ", ".join(key for key, each in FORMATS.items() if isinstance(each, TraceFormat))
        raise ConfigError(
            ErrorText(
                *(Argument("format", name), f" is no format of traces; they are {known}. "), "Load rows as they are"
            )
        )
    return format_


def _detected(
    records: Iterator[tuple[Place, Mapping[str, Any]]],
) -> tuple[TraceFormat | None, Iterator[tuple[Place, Mapping[str, Any]]]]:
    """The format of the first record that has one: spans of other work may come before those of a model."""
    known = [each for each in dict(FORMATS.items()).values() if isinstance(each, TraceFormat)]
    before: list[tuple[Place, Mapping[str, Any]]] = []
    for place, record in records:
        before.append((place, record))
        found = [each for each in known if each.matches(record)]
        if len(found) == 1:
            return found[0], itertools.chain(before, records)
        if found:
            names = " or ".join(each.name for each in found)
            raise FormatError(ErrorText(f"the record may be {names}; name it with ", Argument("format")), place=place)
        if len(before) == _LOOKED_AT:
            break
    if not before:
        return None, iter(())
    keys = ", ".join(f"{key:.40}" for key in list(before[0][1])[:8])
    raise FormatError(
        ErrorText(
            f"no record is of {', '.join(each.name for each in known)}; the first has {keys or 'no keys'}. ",
            "Name one with ",
            Argument("format"),
        ),
        place=before[0][0],
    )


def day_or_time(text: str) -> datetime:
    """Read a day or a time.

    Args:
        text: ISO 8601, e.g. ``"2026-11-01"``; in UTC if it names no zone.

    Returns:
        The time.

    Raises:
        ConfigError: it is none.
    """
    try:
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
    except ValueError:
        found = time_of(text)
    if found is None:
        raise ConfigError(f"{text!r} is no day or time; write e.g. 2026-11-01 or 2026-11-01T12:00Z")
    return found
