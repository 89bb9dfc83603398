"""Features of each row: about a hundred bytes of hashes, and a MinHash sketch of its input if texts are compared."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftkit.data.formats import text_content
from ftkit.linting.row_view import INSTRUCTION_ROLES, RowView
from ftkit.linting.text_normalization import shingles, text_hash
from ftkit.task import Message

__all__ = ["Hashes", "RowFeatures", "RowFeaturesBuilder", "equal_rows"]

Hashes = NDArray[np.uint64]

_WIDTH = 64
"""Hash functions of a MinHash sketch."""
_SEED = 7
_BLOCK = 2_000
_MIN_WORDS = 8
"""A text with fewer words has no sketch: there, one word more or less is another text."""

_COLUMNS = ("content", "system", "input", "answer", "normalized_input", "normalized_answer", "rejected", "id", "group")


class RowFeatures:
    """Columns of numbers, one entry a row. 0 means that the row has no such value.

    Attributes:
        content: hash of all that training sees of the row.
        system: hash of the instructions, the tools, and the tool calls and images in the prompt.
        input, answer, rejected: hashes of the texts, without whitespace around them.
        normalized_input, normalized_answer: hashes of the texts without case, punctuation and spacing; that of the
            input together with ``system``, which is compared as it is.
        id, group: hashes of the row's id and group.
        answer_length: characters of the answer.
        minhash: uint32 [rows, 64], MinHash values of the input's shingles, zero where it is too short; None if no rule
            needs them.
    """

    def __init__(
        self, columns: dict[str, Hashes], answer_length: NDArray[np.uint32], minhash: NDArray[np.uint32] | None
    ) -> None:
        self.content = columns["content"]
        self.system = columns["system"]
        self.input = columns["input"]
        self.answer = columns["answer"]
        self.normalized_input = columns["normalized_input"]
        self.normalized_answer = columns["normalized_answer"]
        self.rejected = columns["rejected"]
        self.id = columns["id"]
        self.group = columns["group"]
        self.answer_length = answer_length
        self.minhash = minhash

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, for :meth:`from_arrays`.

        Returns:
            Arrays with an entry for each row.
        """
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _COLUMNS}
        columns["answer_length"] = self.answer_length
        return columns if self.minhash is None else {**columns, "minhash": self.minhash}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> RowFeatures:
        """Make features of what :meth:`arrays` returned.

        Args:
            arrays: the columns by name.

        Returns:
            The features.

        Raises:
            KeyError: a column is missing.
        """
        columns = {name: arrays[name].astype(np.uint64, copy=False) for name in _COLUMNS}
        return cls(columns, arrays["answer_length"].astype(np.uint32, copy=False), arrays.get("minhash"))

    @classmethod
    def concatenate(cls, parts: Sequence[RowFeatures]) -> RowFeatures:
        """Join the features of successive ranges of rows.

        Args:
            parts: the features, whose columns are freed one by one, so that the peak is little over one copy.

        Returns:
            The features of all rows.
        """
        columns = {}
        for name in _COLUMNS:
            columns[name] = np.concatenate([getattr(part, name) for part in parts])
            for part in parts:
                setattr(part, name, None)
        answer_length = np.concatenate([part.answer_length for part in parts])
        minhash = None
        if all(part.minhash is not None for part in parts):
            minhash = np.empty((len(columns["content"]), _WIDTH), dtype=np.uint32)
            at = 0
            for part in parts:
                block, part.minhash = part.minhash, None
                if block is not None:
                    minhash[at : at + len(block)] = block
                    at += len(block)
        return cls(columns, answer_length, minhash)


class RowFeaturesBuilder:
    """Computes the features of rows, one by one.

    Args:
        minhash: whether to compute MinHash sketches.
    """

    def __init__(self, *, minhash: bool) -> None:
        self._columns = {name: array("Q") for name in _COLUMNS}
        self._answer_length = array("I")
        self._blocks: list[NDArray[np.uint32]] | None = [] if minhash else None
        self._pending: list[list[str]] = []
        self._exact, self._exact_hash = "", text_hash("")

    def add(self, view: RowView) -> None:
        """Add the features of the next row.

        Args:
            view: the row.
        """
        row, columns = view.row, self._columns
        if row is None:
            for values in columns.values():
                values.append(0)
            self._answer_length.append(0)
        else:
            prompt = [(turn, _turn_text(turn)) for turn in row.prompt]
            turns = row.text or "\x1e".join([f"{turn['role']}\x1f{text}" for turn, text in prompt])
            answer = _turn_text(row.completion) if row.completion is not None else ""
            rejected = _turn_text(row.rejected) if row.rejected is not None else ""
            tools = repr(row.tools) if row.tools else ""
            without_loss = [at for at, turn in enumerate(view.messages) if "weight" in turn and turn["weight"] == 0]
            media = view.media  # a question about another image is another question
            prompt_hash = text_hash("\x1d".join((turns, tools, media)))
            exact = "\x1e".join([text for turn, text in prompt if _is_compared_exactly(turn)]) + tools + media
            if exact != self._exact:  # most rows have the same instructions
                self._exact, self._exact_hash = exact, text_hash(exact)
            columns["system"].append(self._exact_hash)
            columns["input"].append(prompt_hash)
            columns["answer"].append(text_hash(answer.strip()) if answer else 0)
            content = (turns, answer, rejected, tools, str(without_loss), media)
            columns["content"].append(text_hash("\x1d".join(content)))
            columns["rejected"].append(text_hash(rejected.strip()) if rejected else 0)
            normalized = view.normalized_input
            columns["normalized_input"].append(text_hash(f"{normalized}\x1d{exact}") if normalized else prompt_hash)
            words = view.answer_words
            columns["normalized_answer"].append(text_hash(" ".join(words)) if words else columns["answer"][-1])
            columns["id"].append(text_hash(row.id))
            columns["group"].append(0 if row.group is None else text_hash(row.group))
            self._answer_length.append(min(len(answer), 2**32 - 1))
        if self._blocks is not None:
            words = view.input_words if row is not None else []
            self._pending.append(shingles(words) if len(words) >= _MIN_WORDS else [])
            if len(self._pending) >= _BLOCK:
                self._blocks.append(self._minhash_block())

    def build(self) -> RowFeatures:
        """Return the features of all rows added.

        Returns:
            The features.
        """
        minhash = None
        if self._blocks is not None:
            if self._pending:
                self._blocks.append(self._minhash_block())
            minhash = np.concatenate(self._blocks) if self._blocks else np.empty((0, _WIDTH), dtype=np.uint32)
        return RowFeatures(
            {name: np.frombuffer(values, dtype=np.uint64) for name, values in self._columns.items()},
            np.frombuffer(self._answer_length, dtype=np.uint32),
            minhash,
        )

    def _minhash_block(self) -> NDArray[np.uint32]:
        """Sketches of the pending rows."""
        import rensa

        block = np.zeros((len(self._pending), _WIDTH), dtype=np.uint32)
        long = [number for number, some in enumerate(self._pending) if some]
        if long:
            sets = [self._pending[number] for number in long]
            block[long] = rensa.RMinHash.digest_matrix_from_token_sets(sets, _WIDTH, _SEED).to_rows()
        self._pending.clear()
        return block


def equal_rows(values: Hashes, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
    """Group the rows that have a value in common.

    Args:
        values: uint64 [all rows], one value a row; 0 is no value.
        rows: int64, only these rows; all by default.

    Yields:
        The numbers of two or more rows with the same value, in ascending order.
    """
    numbers = np.arange(len(values), dtype=np.int64) if rows is None else rows
    chosen = values if rows is None else values[rows]
    order = np.argsort(chosen, kind="stable")
    ordered = chosen[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, dtype=np.int64)
    ends = np.r_[starts[1:], len(ordered)]
    several = (ends - starts > 1) & (ordered[starts] != 0) if len(starts) else np.empty(0, dtype=bool)
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield numbers[order[start:end]]


def _is_compared_exactly(turn: Message) -> bool:
    """Whether a turn of the prompt holds instructions or tool calls: those are compared without normalization."""
    return turn["role"] in INSTRUCTION_ROLES or "tool_calls" in turn


def _turn_text(turn: Message) -> str:
    content = turn.get("content")
    text = content if isinstance(content, str) else text_content(turn) or ""
    calls = turn.get("tool_calls")
    if not calls:
        return text
    return text + "\x1c" + repr([(call["function"]["name"], call["function"]["arguments"]) for call in calls])
