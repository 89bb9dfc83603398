"""What is kept of each row: about a hundred bytes, and a sketch of its input where texts are compared."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.row_view import INSTRUCTIONS, Seen
from ftkit.linting.text_normalization import key, shingles

if TYPE_CHECKING:
    from ftkit.task import Message

__all__ = ["WIDTH", "Facts", "FactsBuilder", "Hashes"]

Hashes = NDArray[np.uint64]

WIDTH = 64
"""Hash functions of a sketch."""
_SEED = 7
_BLOCK = 2_000
MIN_WORDS = 8
"""A text with fewer words has no sketch: there, one word more or less is another text."""

_COLUMNS = ("whole", "system", "input", "answer", "normal_input", "normal_answer", "rejected", "id", "group")


class Facts:
    """Columns of numbers, one entry a row. 0 stands for "the row has none".

    Attributes:
        whole: hash of all that training sees of the row.
        system: of the instructions, the tools, and the calls in the prompt.
        input, answer, rejected: of the texts, without blanks around them.
        normal_input, normal_answer: of the texts without case, punctuation and spacing; of the input together with
            ``system``, as it is.
        id, group: of the row's id and group.
        answered: characters of the answer.
        sketches: [rows, WIDTH] MinHash values of the input's shingles, zero where it is too short; None when not asked.
    """

    def __init__(self, columns: dict[str, Hashes], answered: NDArray[np.uint32], sketches: Any) -> None:
        self.whole = columns["whole"]
        self.system = columns["system"]
        self.input = columns["input"]
        self.answer = columns["answer"]
        self.normal_input = columns["normal_input"]
        self.normal_answer = columns["normal_answer"]
        self.rejected = columns["rejected"]
        self.id = columns["id"]
        self.group = columns["group"]
        self.answered = answered
        self.sketches: NDArray[np.uint32] | None = sketches

    @classmethod
    def joined(cls, parts: list[Facts]) -> Facts:
        """The rows of all parts. Frees each part's columns as it goes, so that the peak is little over one copy."""
        columns = {}
        for name in _COLUMNS:
            columns[name] = np.concatenate([getattr(part, name) for part in parts])
            for part in parts:
                setattr(part, name, None)
        answered = np.concatenate([part.answered for part in parts])
        sketches = None
        if all(part.sketches is not None for part in parts):
            sketches = np.empty((len(columns["whole"]), WIDTH), dtype=np.uint32)
            at = 0
            for part in parts:
                block, part.sketches = part.sketches, None
                if block is not None:
                    sketches[at : at + len(block)] = block
                    at += len(block)
        return cls(columns, answered, sketches)


class FactsBuilder:
    """Takes rows one by one."""

    def __init__(self, *, sketches: bool) -> None:
        self._columns = {name: array("Q") for name in _COLUMNS}
        self._answered = array("I")
        self._blocks: list[NDArray[np.uint32]] | None = [] if sketches else None
        self._pending: list[list[str]] = []

    def add(self, seen: Seen) -> None:
        row, columns = seen.row, self._columns
        if row is None:
            for values in columns.values():
                values.append(0)
            self._answered.append(0)
        else:
            turns = "\x1e".join([f"{turn['role']}\x1f{_said(turn)}" for turn in row.prompt])
            answer = _said(row.completion) if row.completion is not None else ""
            rejected = _said(row.rejected) if row.rejected is not None else ""
            tools = repr(row.tools) if row.tools else ""
            unlearned = str([at for at, turn in enumerate(row.messages) if turn.get("weight") == 0])
            asked = key("\x1d".join((turns, tools)))
            beside = "\x1e".join([_said(turn) for turn in row.prompt if is_beside(turn)]) + tools
            columns["system"].append(key(beside))
            columns["input"].append(asked)
            columns["answer"].append(key(answer.strip()) if answer else 0)
            columns["whole"].append(key("\x1d".join((turns, answer, rejected, tools, unlearned))))
            columns["rejected"].append(key(rejected.strip()) if rejected else 0)
            normal = seen.normalised_input
            columns["normal_input"].append(key(f"{normal}\x1d{beside}") if normal else asked)
            words = seen.answer_words
            columns["normal_answer"].append(key(" ".join(words)) if words else columns["answer"][-1])
            columns["id"].append(key(row.id))
            columns["group"].append(0 if row.group is None else key(row.group))
            self._answered.append(min(len(answer), 2**32 - 1))
        if self._blocks is not None:
            words = seen.input_words if row is not None else []
            self._pending.append(shingles(words) if len(words) >= MIN_WORDS else [])
            if len(self._pending) >= _BLOCK:
                self._blocks.append(self._sketched())

    def done(self) -> Facts:
        sketches = None
        if self._blocks is not None:
            if self._pending:
                self._blocks.append(self._sketched())
            sketches = np.concatenate(self._blocks) if self._blocks else np.empty((0, WIDTH), dtype=np.uint32)
        return Facts(
            {name: np.frombuffer(values, dtype=np.uint64) for name, values in self._columns.items()},
            np.frombuffer(self._answered, dtype=np.uint32),
            sketches,
        )

    def _sketched(self) -> NDArray[np.uint32]:
        """Sketches of the rows that wait for theirs."""
        import rensa

        block = np.zeros((len(self._pending), WIDTH), dtype=np.uint32)
        long = [number for number, some in enumerate(self._pending) if some]
        if long:
            given = [self._pending[number] for number in long]
            block[long] = rensa.RMinHash.digest_matrix_from_token_sets(given, WIDTH, _SEED).to_rows()
        self._pending.clear()
        return block


def is_beside(turn: Message) -> bool:
    """Whether a turn of the prompt is instructions or calls tools: such turns are compared letter by letter."""
    return turn["role"] in INSTRUCTIONS or "tool_calls" in turn


def _said(turn: Message) -> str:
    content = turn.get("content")
    text = content if isinstance(content, str) else "" if content is None else repr(content)
    calls = turn.get("tool_calls")
    if not calls:
        return text
    return text + "\x1c" + repr([(call["function"]["name"], call["function"]["arguments"]) for call in calls])
