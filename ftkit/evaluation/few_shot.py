"""Few-shot prompting: examples before the question, the baseline that a tuned model has to beat."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ftkit.counts import counted
from ftkit.data import Dataset, Row
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.results.json_values import canonical, plain
from ftkit.task import Message

__all__ = ["few_shot_messages", "with_examples"]

_CANDIDATES_PER_SHOT = 20
_MIN_CANDIDATES = 200


def few_shot_messages(shots: int, examples: Dataset | None, asked: Sequence[Row], seed: int) -> list[Message]:
    """Choose examples and write them as turns of a conversation, without system messages.

    Examples are drawn at random. If targets repeat (labels), each target is used once before any is used twice. Rows
    that are asked themselves are never examples.

    Args:
        shots: number of examples.
        examples: rows to choose from.
        asked: the rows of the evaluation.
        seed: seed of the choice.

    Returns:
        The messages; none if ``shots`` is 0.

    Raises:
        ConfigError: ``shots`` is negative, or there are no or too few examples.
    """
    if shots < 0:
        raise ConfigError(ErrorText(Argument("shots", text="shots"), f" must be a number of examples, not {shots}"))
    if shots == 0:
        return []
    argument = Argument("shots", str(shots), text=f"shots={shots}")
    if examples is None:
        raise ConfigError(
            ErrorText(
                argument, " needs ", Argument("examples"), ": the rows to take them from, e.g. the training split"
            )
        )
    if examples.task.examples:
        raise ConfigError(
            ErrorText(
                argument,
                f" would add to the {counted(len(examples.task.examples), 'example')} that the task has already; "
                "leave it out, or "
                'take the task without them: task.model_copy(update={"examples": ()})',
            )
        )
    asked_prompts = {canonical(plain(row.prompt)) for row in asked}
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)  # noqa: S311 - not a secret
    by_target: dict[str, list[Row]] = {}
    for index in order[: max(shots * _CANDIDATES_PER_SHOT, _MIN_CANDIDATES)]:  # reading a large file takes long
        row = examples[index]
        if row.completion is not None and canonical(plain(row.prompt)) not in asked_prompts:
            by_target.setdefault(canonical(plain(row.target)), []).append(row)
    chosen: list[Row] = []
    while len(chosen) < shots and any(by_target.values()):
        for rows in by_target.values():
            if rows and len(chosen) < shots:
                chosen.append(rows.pop(0))
    if len(chosen) < shots:
        raise ConfigError(
            ErrorText(
                argument,
                f", but only {len(chosen)} of the examples have a wanted answer and are not asked themselves",
            )
        )
    return [
        message
        for row in chosen
        for message in (*(each for each in row.prompt if each["role"] != "system"), row.completion)
        if message is not None
    ]


def with_examples(prompt: Sequence[Message], examples: Sequence[Message]) -> list[Message]:
    """Insert examples into a prompt, after its system messages.

    Args:
        prompt: the messages of the question.
        examples: the messages of the examples.

    Returns:
        The messages to send.
    """
    system = next((index for index, message in enumerate(prompt) if message["role"] != "system"), len(prompt))
    return [*prompt[:system], *examples, *prompt[system:]]
