"""Examples before the question: the baseline that a tuned model has to beat."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ftkit.data import Dataset, Row
from ftkit.errors import ConfigError
from ftkit.results.json_values import canonical, plain
from ftkit.task import Message

__all__ = ["shot_messages", "with_shots"]


def shot_messages(shots: int, examples: Dataset | None, asked: Sequence[Row], seed: int) -> list[Message]:
    """``shots`` examples as turns of a conversation, without system messages.

    They are drawn at random by ``seed``; where wanted answers repeat (labels), one of each is taken before any comes
    twice. Rows that are asked themselves are never examples.

    Raises:
        ConfigError: no examples, or too few.
    """
    if shots < 0:
        raise ConfigError(f"shots must be a number of examples, not {shots}")
    if shots == 0:
        return []
    if examples is None:
        raise ConfigError(f"shots={shots} needs examples=: the rows to take them from, e.g. the training split")
    prompts = {canonical(plain(row.prompt)) for row in asked}
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)  # noqa: S311 - nothing secret
    by_answer: dict[str, list[Row]] = {}
    enough = shots * 20  # rows to look at; all of a large file would take long
    for index in order[: max(enough, 200)]:
        row = examples[index]
        if row.completion is not None and canonical(plain(row.prompt)) not in prompts:
            by_answer.setdefault(canonical(plain(row.target)), []).append(row)
    chosen: list[Row] = []
    while len(chosen) < shots and any(by_answer.values()):
        for rows in by_answer.values():
            if rows and len(chosen) < shots:
                chosen.append(rows.pop(0))
    if len(chosen) < shots:
        raise ConfigError(
            f"shots={shots}, but only {len(chosen)} of the examples have a wanted answer and are not asked themselves"
        )
    return [
        message
        for row in chosen
        for message in (*(one for one in row.prompt if one["role"] != "system"), row.completion)
        if message is not None
    ]


def with_shots(prompt: Sequence[Message], shots: Sequence[Message]) -> list[Message]:
    """``prompt`` with the examples after its system messages."""
    system = next((index for index, one in enumerate(prompt) if one["role"] != "system"), len(prompt))
    return [*prompt[:system], *shots, *prompt[system:]]
