"""The rows of a training run in tokens, and their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Example
from ftkit.training.row_length import is_huge

__all__ = ["TokenRows", "in_threads", "render_rows"]

T = TypeVar("T")

_CHUNK = 64
"""Rows that one thread tokenises at a time."""
_MAX_THREADS = 8
"""More would wait for Python's lock."""


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Tokenised rows. A row is more than one example where the chat template rewrites history.

    Attributes:
        rows: the examples of each row.
        tokens: tokens of all sequences.
        supervised: tokens that carry loss.
        longest: tokens of the longest sequence.
    """

    rows: list[list[Example]]
    tokens: int
    supervised: int
    longest: int

    def batches(self, epoch: int, batch_size: int, seed: int) -> Iterator[list[Example]]:
        """Yield the batches of an epoch; the rows are shuffled again for each epoch.

        Args:
            epoch: from 0.
            batch_size: rows per batch; the last batch may be smaller.
            seed: random seed of the order.

        Yields:
            The examples of each batch.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self.rows))
        for start in range(0, len(order), batch_size):
            yield [example for row in order[start : start + batch_size] for example in self.rows[row]]

    def examples(self) -> list[Example]:
        """List all examples in the order of the rows.

        Returns:
            The examples.
        """
        return [example for row in self.rows for example in row]


def render_rows(
    rows: Iterable[Row],
    chat_template: ChatTemplate,
    render: Callable[[Row, ChatTemplate], list[Example]],
    limit: int | None,
    *,
    reserve: int = 0,
) -> TokenRows:
    """Tokenise every row. Nothing is ever truncated.

    Args:
        rows: to be tokenised.
        chat_template: the model's tokenizer and chat template.
        render: tokenises a row, see :meth:`ftkit.training.losses.Loss.render`.
        limit: longest sequence allowed, in tokens.
        reserve: tokens that must be left free of it, for answers that will be sampled.

    Returns:
        The rows in tokens.

    Raises:
        DataError: a row that is not of a kind that the loss trains on, has no supervised token, or is longer than
            ``limit``; names the place.
    """

    def checked(row: Row) -> list[Example]:
        if is_huge(row, chat_template, limit):
            error = _too_long(row, f"more than {limit} tokens", limit)
            raise error
        return render(row, chat_template)

    rendered: list[list[Example]] = []
    tokens = supervised = longest = 0
    for row, examples in in_threads(rows, checked):
        for sequence in (sequence for example in examples for sequence in example.sequences):
            length = len(sequence.ids)
            if limit is not None and length + reserve > limit:
                more = f" and needs {reserve} more for its answer" if reserve else ""
                error = _too_long(row, f"{length} tokens{more}", limit)
                raise error
            tokens += length
            supervised += int(sequence.supervised.sum())
            longest = max(longest, length)
        rendered.append(examples)
    if not rendered:
        raise DataError("there are no rows to train on")
    return TokenRows(rendered, tokens, supervised, longest)


def _too_long(row: Row, length: str, limit: int | None) -> DataError:
    return DataError(
        f"the row has {length}, and the limit is {limit}; shorten or drop it, or raise max_length if the model takes "
        "more (ftkit never cuts a row)",
        place=row.place,
    )


def in_threads(rows: Iterable[Row], render: Callable[[Row], T]) -> Iterator[tuple[Row, T]]:
    """Yield each row with what ``render`` returns for it, in order.

    Tokenizers release Python's lock, so threads run them in parallel. An exception is raised where it would be without
    threads: after the rows before it.

    Args:
        rows: the rows.
        render: what to do with each.

    Yields:
        Row and result.
    """
    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[list[tuple[Row, T]]]] = deque()
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
