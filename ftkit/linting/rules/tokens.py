"""T: rows in a model's own tokens. Without a backend only lengths in characters are looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ftkit.errors import DataError, FtkitError, ModelError
from ftkit.extras import check_installed
from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, Rule, TallyRule, WholeRule

if TYPE_CHECKING:
    from ftkit.modeling.chat_template import ChatTemplate
    from ftkit.modeling.tokenized_example import TokenizedConversation

    Made = list[TokenizedConversation] | DataError | ModelError

__all__ = ["EndOfTurn", "LengthOutlier", "NoSupervisedToken", "SupervisedShare", "TooLong"]


def local_models(setting: Setting) -> tuple[str, ...]:
    """The models of this machine that the rows are for."""
    return tuple(name.partition(":")[2] for name in setting.backends if name.startswith("local:"))


@cache
def chat_template_of(model: str) -> tuple[ChatTemplate, int | None]:
    """A model's way of writing conversations, and the most tokens that it can read; loads no weights.

    Raises:
        ModelError, MissingExtraError: it cannot be loaded.
    """
    check_installed("transformers", extra="local", needed_for="counting a model's tokens")
    from ftkit.modeling.model_source import find_source
    from ftkit.modeling.pretrained import context_length, load_config
    from ftkit.modeling.tokenizer import load_chat_template

    source = find_source(model)
    chat_template = load_chat_template(source)
    return chat_template, context_length(load_config(source))


def in_tokens(seen: Seen, setting: Setting) -> Iterator[tuple[str, Made]]:
    """Of each local model its name, and the row as its training sequences or why there are none.

    They are kept at the row: several rules ask for them.
    """
    row = seen.row
    if row is None or row.completion is None:
        return
    for model in local_models(setting):
        if model not in seen.in_tokens:
            chat_template, _ = chat_template_of(model)
            try:
                made = chat_template.encode_examples(row.messages, row.tools, row.place)
                if row.rejected is not None:
                    made = [*made, *chat_template.encode_examples(row.rejected_messages, row.tools, row.place)]
                seen.in_tokens[model] = made
            except (DataError, ModelError) as error:
                seen.in_tokens[model] = error
        yield model, seen.in_tokens[model]


class _OnTokens(Rule):
    """A rule that needs a model's tokenizer."""

    def wants(self, setting: Setting) -> str | None:
        models = local_models(setting)
        if not models:
            return ""
        try:
            for model in models:
                chat_template_of(model)
        except FtkitError as error:
            return str(error)
        return None


class TooLong(_OnTokens, RowRule):
    """The row has more tokens, by the model's own tokenizer and chat template, than the model can read. ftkit never
    cuts a row, so training would stop at it; others cut it, and the answer at its end is what is lost.

    Shorten the row or drop it.
    """

    code = "T001"
    name = "too-long"
    summary = "The row has more tokens than the model can read."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for model, made in in_tokens(seen, setting):
            limit = chat_template_of(model)[1]
            if isinstance(made, FtkitError) or limit is None:
                continue
            longest = max(len(one.ids) for one in made)
            if longest > limit:
                yield Found(f"{longest:,} tokens, and {model} reads {limit:,}")


class NoSupervisedToken(_OnTokens, RowRule):
    """In the model's tokens nothing of the row is learned: all turns have weight 0, or the chat template leaves out
    what was to be learned (tool calls, mostly), or it cannot write such a conversation at all.

    The message is what the engine would say.
    """

    code = "T002"
    name = "no-supervised-token"
    summary = "In the model's tokens nothing of the row is learned."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for model, made in in_tokens(seen, setting):
            if isinstance(made, ModelError):
                yield Found(f"{model}: {made}")
            elif isinstance(made, DataError):
                if made.problem != "no_end_of_turn":
                    yield Found(f"{model}: {made.message}", made.field)
            elif not any(one.supervised.any() for one in made):
                yield Found(f"{model}: no token of the row is learned")


class EndOfTurn(_OnTokens, RowRule):
    """The end of the answer is not learned: the model would never learn to stop. The chat template puts no special
    token after the assistant's turn, or the loss mask leaves it out.

    Use another template; ftkit's engine refuses this one.
    """

    code = "T003"
    name = "end-of-turn-unsupervised"
    summary = "The token that ends the answer is not learned."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for model, made in in_tokens(seen, setting):
            if isinstance(made, DataError) and made.problem == "no_end_of_turn":
                yield Found(f"{model}: {made.message}", made.field)
            elif not isinstance(made, FtkitError) and any(
                _ends_elsewhere(one, chat_template_of(model)[0].stop_ids) for one in made
            ):
                yield Found(f"{model}: the last learned token does not end the turn")


def _ends_elsewhere(one: TokenizedConversation, stop_ids: Collection[int]) -> bool:
    learned = np.flatnonzero(one.supervised)
    return len(learned) > 0 and int(one.ids[learned[-1]]) not in stop_ids


class SupervisedShare(_OnTokens, TallyRule):
    """Of all tokens only a few are learned: the rest is prompt, which is paid and computed in every epoch. Not wrong,
    but worth knowing: a shorter prompt costs less, and ftkit's engine computes a shared beginning once.

    Reported below 5 % of the tokens.
    """

    code = "T004"
    name = "supervised-share"
    summary = "Few of the tokens are learned."
    severity = "info"

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for model, made in in_tokens(seen, setting):
            if not isinstance(made, FtkitError):
                learned = sum(int(one.supervised.sum()) for one in made) / max(1, sum(len(one.ids) for one in made))
                yield model, f"{min(99, int(learned * 100)):02d}"

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for model, ways in tally:
            total = sum(ways.values())
            share = sum((int(way) + 0.5) * count for way, count in ways.items()) / total
            if share < 5:
                yield Found(f"{model}: of a row's tokens {share:.1f} % are learned, on average")


class LengthOutlier(WholeRule):
    """The answer is many times as long as is usual here. Often two records in one, a pasted document, or a template
    that was not filled in.

    Looked at in characters: at least 50 rows; reported above the upper quartile by ten times the distance between the
    quartiles, and at least five times the median. Read the row, and cut or drop it where the length is a mistake.
    """

    code = "T005"
    name = "length-outlier"
    summary = "The answer is many times as long as usual."
    severity = "info"

    def check(self, whole: Whole) -> Iterator[Found]:
        numbers = np.flatnonzero(whole.facts.answered > 0)
        if len(numbers) < 50:
            return
        lengths = whole.facts.answered[numbers].astype(np.float64)
        low, middle, high = np.percentile(lengths, (25, 50, 75))
        limit = max(high + 10 * (high - low), 5 * middle)
        for row in numbers[lengths > limit].tolist():
            length = int(whole.facts.answered[row])
            yield Found(f"the answer has {length:,} characters; the median is {middle:,.0f}", row=row)
