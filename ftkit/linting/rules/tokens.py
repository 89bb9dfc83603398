"""T: rows in a model's own tokens. Without a local backend, only lengths in characters are checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache

import numpy as np
from typing_extensions import override

from ftkit.errors import DataError, FtkitError, ModelError
from ftkit.extras import check_installed
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, RowRule, Rule, VariantRule
from ftkit.linting.variant_counter import VariantCounter
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.model_source import find_source
from ftkit.modeling.tokenized_example import TokenizedConversation

Tokenized = list[TokenizedConversation] | DataError | ModelError
"""A row as training sequences, or why it has none."""


@lru_cache(maxsize=8)
def load_tokenizer(model: str) -> tuple[ChatTemplate, int | None]:
    """Load a model's tokenizer and no weights.

    Args:
        model: name of a local model.

    Returns:
        Its chat template with the tokenizer, and its context length in tokens.
    """
    check_installed("transformers", extra="local", needed_for="counting a model's tokens")
    from ftkit.modeling.pretrained import context_length, load_config
    from ftkit.modeling.tokenizer import load_chat_template

    source = find_source(model)
    return load_chat_template(source), context_length(load_config(source))


def tokenize(view: RowView, context: LintContext) -> Iterator[tuple[str, Tokenized]]:
    """Tokenise a row for each local model. The result is kept at the row, because several rules need it.

    Args:
        view: the row.
        context: the setting, with the models.

    Yields:
        The model's name, and the row as training sequences or the reason why it has none.
    """
    row = view.row
    if row is None or row.completion is None:
        return
    for model in context.local_models:
        if model not in view.tokenized:
            chat_template, _ = load_tokenizer(model)
            try:
                sequences = chat_template.encode_examples(row.messages, row.tools, row.place)
                if row.rejected is not None:
                    sequences += chat_template.encode_examples(row.rejected_messages, row.tools, row.place)
                view.tokenized[model] = sequences
            except (DataError, ModelError) as error:
                view.tokenized[model] = error
        yield model, view.tokenized[model]


class TokenRule(Rule):
    """A rule that needs the tokenizer of a local model."""

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        models = context.local_models
        if not models:
            return ""
        try:
            for model in models:
                load_tokenizer(model)
        except FtkitError as error:
            return str(error)
        return None


class TooLong(TokenRule, RowRule):
    """The row has more tokens than the model's context length.

    The row has more tokens, in the model's own tokenizer and chat template, than the model's context length. ftkit
    does not truncate rows, so training would stop at it. Other programs truncate it, and the answer at its end is
    lost.

    Shorten the row or delete it.
    """

    code = "T001"
    name = "too-long"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for model, tokenized in tokenize(view, context):
            context_length = load_tokenizer(model)[1]
            if isinstance(tokenized, FtkitError) or context_length is None:
                continue
            longest = max(len(sequence.ids) for sequence in tokenized)
            if longest > context_length:
                yield RuleFinding(f"{longest:,} tokens; the context length of {model} is {context_length:,}")


class NoSupervisedToken(TokenRule, RowRule):
    """No token of the row is supervised.

    No token of the row is supervised: all turns have weight 0, or the chat template omits what should be learned
    (usually tool calls), or it cannot render the conversation.

    The message is that of the training run.
    """

    code = "T002"
    name = "no-supervised-token"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for model, tokenized in tokenize(view, context):
            if isinstance(tokenized, ModelError):
                yield RuleFinding(f"{model}: {tokenized}")
            elif isinstance(tokenized, DataError):
                if tokenized.problem != "no_end_of_turn":
                    yield RuleFinding(f"{model}: {tokenized.message}", tokenized.field)
            elif not any(sequence.supervised.any() for sequence in tokenized):
                yield RuleFinding(f"{model}: no token of the row is supervised")


class EndOfTurn(TokenRule, RowRule):
    """The token that ends the answer is not supervised.

    The end of the answer is not supervised, so the model would not learn to stop. The chat template puts no special
    token after the assistant's turn, or the loss mask excludes it.

    Use another template. ftkit does not train with this one.
    """

    code = "T003"
    name = "end-of-turn-unsupervised"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for model, tokenized in tokenize(view, context):
            if isinstance(tokenized, DataError) and tokenized.problem == "no_end_of_turn":
                yield RuleFinding(f"{model}: {tokenized.message}", tokenized.field)
            elif not isinstance(tokenized, FtkitError):
                stop_ids = load_tokenizer(model)[0].stop_ids
                if any(_lacks_stop_token(sequence, stop_ids) for sequence in tokenized):
                    yield RuleFinding(f"{model}: the last supervised token does not end the turn")


def _lacks_stop_token(sequence: TokenizedConversation, stop_ids: Collection[int]) -> bool:
    """Whether the last supervised token is not a stop token."""
    supervised = np.flatnonzero(sequence.supervised)
    return len(supervised) > 0 and int(sequence.ids[supervised[-1]]) not in stop_ids


class SupervisedShare(TokenRule, VariantRule):
    """Few of the tokens are supervised.

    Few of the tokens are supervised. The others are prompt, which is paid for and computed in every epoch. This is
    not a mistake, but a shorter prompt costs less. ftkit computes a shared prefix once.

    Reported below 5 % of the tokens.
    """

    code = "T004"
    name = "supervised-share"
    severity = "info"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for model, tokenized in tokenize(view, context):
            if not isinstance(tokenized, FtkitError):
                supervised = sum(int(sequence.supervised.sum()) for sequence in tokenized)
                share = supervised / max(1, sum(len(sequence.ids) for sequence in tokenized))
                yield model, f"{min(99, int(share * 100)):02d}"

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for model, variants in counter:
            total = sum(variants.values())
            share = sum((int(variant) + 0.5) * count for variant, count in variants.items()) / total
            if share < 5:
                yield RuleFinding(f"{model}: {share:.1f} % of a row's tokens are supervised on average")


class LengthOutlier(CorpusRule):
    """The answer is many times as long as usual.

    The answer is many times as long as usual. Often it is two records in one, a pasted document, or a template that
    was not filled in.

    Checks lengths in characters, of at least 50 rows. Reported if a length exceeds the upper quartile by ten times the
    interquartile range, and is at least five times the median. Read the row, and shorten or delete it if the length is
    a mistake.
    """

    code = "T005"
    name = "length-outlier"
    severity = "info"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        numbers = np.flatnonzero(corpus.features.answer_length > 0)
        if len(numbers) < 50:
            return
        lengths = corpus.features.answer_length[numbers].astype(np.float64)
        lower, median, upper = np.percentile(lengths, (25, 50, 75))
        limit = max(upper + 10 * (upper - lower), 5 * median)
        for row in numbers[lengths > limit].tolist():
            length = int(corpus.features.answer_length[row])
            yield RuleFinding(f"the answer has {length:,} characters; the median is {median:,.0f}", row=row)
