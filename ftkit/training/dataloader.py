"""The rows of a training run in tokens, and the order in which they are seen."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.training.losses import Loss

__all__ = ["TokenRows", "render_rows"]

_CHUNK = 64
"""Rows that one thread tokenises at a time."""
_MAX_THREADS = 8
"""More would wait for Python's lock."""


@dataclass(frozen=True, slots=True)
class TokenRows:
    """TokenizedConversation rows. A row is more than one example where its template rewrites history.

    Attributes:
        rows: the examples of each row.
        tokens: tokens in all.
        supervised: tokens that carry loss.
        longest: tokens of the longest sequence.
    """

    rows: list[list[Example]]
    tokens: int
    supervised: int
    longest: int

    def batches(self, epoch: int, batch_size: int, seed: int) -> Iterator[list[Example]]:
        """The examples of each optimiser step of an epoch (from 0), rows shuffled anew by ``seed`` and ``epoch``."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self.rows))
        for start in range(0, len(order), batch_size):
            yield [one for row in order[start : start + batch_size] for one in self.rows[row]]

    def examples(self) -> list[Example]:
        """All examples, in the order of the rows."""
        return [one for row in self.rows for one in row]

    def sequences(self) -> list[TokenizedConversation]:
        """All sequences, in the order of the rows."""
        return [sequence for one in self.examples() for sequence in one.sequences]


def render_rows(
    rows: Iterable[Row], chat_template: ChatTemplate, loss: Loss[Any], limit: int | None, *, reserve: int = 0
) -> TokenRows:
    """Render every row; nothing is ever cut.

    Args:
        loss: tokenises a row.
        limit: longest sequence allowed, in tokens.
        reserve: tokens that must be left of it, for answers that are still to be written.

    Raises:
        DataError: a row that is not of the kind that the method learns from, has no supervised token, or is longer than
            ``limit``; names the place.
    """
    rendered: list[list[Example]] = []
    tokens = supervised = longest = 0
    for row, examples in _in_threads(rows, lambda row: loss.render(row, chat_template)):
        for one in (sequence for example in examples for sequence in example.sequences):
            length = len(one.ids)
            if limit is not None and length + reserve > limit:
                more = f" and needs {reserve} more for its answer" if reserve else ""
                raise DataError(
                    f"the row has {length} tokens{more}, and the limit is {limit}; shorten or drop it, or raise "
                    "max_length if the model takes more (ftkit never cuts a row)",
                    place=row.place,
                )
            tokens += length
            supervised += int(one.supervised.sum())
            longest = max(longest, length)
        rendered.append(examples)
    if not rendered:
        raise DataError("there are no rows to train on")
    return TokenRows(rendered, tokens, supervised, longest)


def _in_threads(rows: Iterable[Row], render: Callable[[Row], list[Example]]) -> Iterator[tuple[Row, list[Example]]]:
    """Each row with what ``render`` returns for it, in order.

    Tokenizers release Python's lock, so threads run them in parallel. An exception is raised where it would be without
    threads: after the rows before it.
    """
    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[list[tuple[Row, list[Example]]]]] = deque()
        for chunk, failure in _chunks(rows):
            pending.append(pool.submit(lambda chunk: [(row, render(row)) for row in chunk], chunk))
            while pending and (failure is not None or len(pending) > threads):
                yield from pending.popleft().result()
            if failure is not None:
                raise failure
        for future in pending:
            yield from future.result()


def _chunks(rows: Iterable[Row]) -> Iterator[tuple[list[Row], Exception | None]]:
    """The rows in lists of :data:`_CHUNK`; with the last list, the exception that reading the next row raised."""
    chunk: list[Row] = []
    try:
        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                yield chunk, None
                chunk = []
    except DataError as error:
        yield chunk, error
    else:
        yield chunk, None
