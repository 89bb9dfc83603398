"""``estimate_cost``: the cost of evaluating a hosted model, before any request is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from pydantic import BaseModel, ConfigDict

from ftkit.backends import Sampling
from ftkit.backends.hosted.request_plan import reasoning_limit
from ftkit.backends.hosted.token_counter import TokenCounter
from ftkit.catalog import InferencePrice, days_until, load_catalog
from ftkit.counts import counted
from ftkit.data import Dataset, Row
from ftkit.data.assistant_turns import Turns, rows_of_turns
from ftkit.errors import FtkitError
from ftkit.evaluation.costs import Prices
from ftkit.evaluation.few_shot import few_shot_messages
from ftkit.evaluation.probes.base_answers import load_base_report
from ftkit.evaluation.probes.general import (
    GENERAL_OUTPUT_TOKENS,
    MAX_ASKED_AGAIN,
    PLAIN_EXAMPLES,
    PLAIN_TASK,
    general_set,
    plain_examples,
)
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.results.number_format import count_text, usd_text
from ftkit.results.result import Result

__all__ = [
    "CostEstimate",
    "ProbeCost",
    "as_catalog_price",
    "backend_price",
    "catalog_name",
    "estimate_cost",
    "token_counter",
]


class ProbeCost(BaseModel):
    """Cost of the probes that are asked of one model."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    """The model itself, or its base."""
    questions: int
    total_usd: float | None
    """``None`` when no price is known."""


class CostEstimate(Result, BaseModel):
    """Expected tokens and cost of an evaluation. ``str`` gives it in one or two sentences."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    rows: int
    input_tokens: int
    output_tokens: int
    """As long as the targets; for rows without a target, as long as ``max_output_tokens`` allows."""
    exact: bool
    """Whether the model's own tokenizer counted them; else a token is assumed to be four bytes."""
    batch: bool
    rows_usd: float | None
    """``None`` when no price is known."""
    reasoning_tokens: int = 0
    """Most tokens that the model may use for reasoning on the rows, beside ``output_tokens``."""
    reasoning_usd: float | None = 0.0
    """Their cost; ``None`` when no price is known."""
    probes: tuple[ProbeCost, ...] = ()
    """Cost of the probes, by model. Probes are not sent by batch."""
    price_source: str | None
    price_as_of: date | None
    stops_answering: date | None
    """Shutdown date in the catalogue."""

    @property
    def total_usd(self) -> float | None:
        """Cost of rows, of as much reasoning as is allowed, and of probes; ``None`` if a price is not known."""
        parts = [self.rows_usd, self.reasoning_usd, *(each.total_usd for each in self.probes)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        text = (
            f"{self.model}: {counted(self.rows, 'row')}, {about}{counted(self.input_tokens, 'token')} in and "
            f"{count_text(self.output_tokens)} out: "
        )
        if self.rows_usd is None:
            text += f"no {'batch ' if self.batch else ''}price is known"
        else:
            by_batch = " by batch" if self.batch else ""
            text += f"about {usd_text(self.rows_usd)}{by_batch} ({self.price_source}, {self.price_as_of})"
        if self.reasoning_tokens:
            cost = "no price is known" if self.reasoning_usd is None else f"up to {usd_text(self.reasoning_usd)}"
            text += f"; and up to {count_text(self.reasoning_tokens)} tokens of reasoning: {cost}"
        for each in self.probes:
            recipient = " probe questions" if each.model == self.model else f" to its base {each.model}"
            cost = "no price is known" if each.total_usd is None else f"up to {usd_text(each.total_usd)}"
            text += f"; and {count_text(each.questions)}{recipient}: {cost}"
        if (self.probes or self.reasoning_tokens) and self.total_usd is not None:
            text += f"; in all, up to {usd_text(self.total_usd)}"
        if self.stops_answering is None:
            return text
        left = days_until(self.stops_answering)
        when = f"in {counted(left, 'day')}" if left > 0 else "or has stopped already"
        return f"{text}. It stops answering on {self.stops_answering}, {when}"


def estimate_cost(
    model: EvaluableModel,
    data: Dataset,
    *,
    batch: bool = False,
    samples: int = 1,
    shots: int = 0,
    examples: Dataset | None = None,
    turns: Turns = "last",
    probes: Probes | None = None,
    prices: Prices | None = None,
) -> CostEstimate:
    """Estimate the cost of an evaluation by the catalogue's prices. No request is sent.

    Args:
        model: the model.
        data: the rows, with the model's task.
        batch: whether the batch API is used.
        samples: answers per row.
        shots: number of few-shot examples before each question.
        examples: rows to take them from.
        turns: which assistant turns of a conversation are asked.
        probes: the probes.
        prices: the model's prices by token; they take precedence over the catalogue's.

    Returns:
        Tokens and cost of rows and probes.

    Raises:
        DataError: a row cannot be read.
        ConfigError: too few examples.
    """
    catalog, about = load_catalog(), model.about()
    provider, name = catalog_name(model)
    counter = token_counter(model)
    asked: list[Row] | Dataset = data
    if turns == "all":
        asked = [turn for row in data for turn in rows_of_turns(row, data.task)]
    input_tokens, output_tokens = _tokens(counter, asked, model.sampling.token_limit)
    if shots:
        input_tokens += len(asked) * counter.count_messages(few_shot_messages(shots, examples, list(data), 0))
    input_tokens, output_tokens = input_tokens * samples, output_tokens * samples
    price = backend_price(model, batch) if prices is None else as_catalog_price(provider, name, prices)
    direct = backend_price(model, False) if prices is None else price
    reasoning = reasoning_limit(catalog.parameters(provider, name), model.sampling) * len(asked) * samples
    shutdown = catalog.stops(provider, name)
    return CostEstimate(
        model=model.name,
        rows=len(asked) * samples,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        exact=counter.exact,
        batch=batch,
        rows_usd=None if price is None else price.cost(input_tokens, output_tokens, requests=len(asked) * samples),
        reasoning_tokens=reasoning,
        reasoning_usd=None if price is None else price.cost(0, reasoning, 0, reasoning),
        probes=() if probes is None or not about.get("host") else tuple(_probe_costs(model, probes, direct)),
        price_source=None if price is None else price.source,
        price_as_of=None if price is None else price.as_of,
        stops_answering=None if shutdown is None else shutdown.on,
    )


def _probe_costs(model: EvaluableModel, probes: Probes, price: InferencePrice | None) -> Iterator[ProbeCost]:
    """Cost of the probes of the model, and of its base unless its answers are saved."""
    for target in filter(None, (model, probes.base)):
        try:
            if not target.about().get("host"):
                continue  # a local model
            counter, used_price = token_counter(target), price if target is model else backend_price(target, False)
        except FtkitError:  # it cannot be asked either; the report will say so
            continue
        counts = [(0, 0, 0)]
        asked_again = rows_of_task = 0
        if probes.general:
            questions = general_set(None if probes.general is True else probes.general)
            if target is model or load_base_report(target, questions.fingerprint) is None:
                tokens = _tokens(counter, questions, GENERAL_OUTPUT_TOKENS, by_target=False)
                counts.append((len(questions), *tokens))
            # Any of them may be answered in the task's format and asked again.
            again = questions.take(min(len(questions), MAX_ASKED_AGAIN)).with_task(PLAIN_TASK)
            shots = counter.count_messages(few_shot_messages(PLAIN_EXAMPLES, plain_examples(), [], 0))
            input_tokens, output_tokens = _tokens(counter, again, GENERAL_OUTPUT_TOKENS, by_target=False)
            counts.append((0, input_tokens + len(again) * shots, output_tokens))
            asked_again = len(again)
        if probes.retention is not None:
            tokens = _tokens(counter, probes.retention, model.sampling.token_limit)
            counts.append((len(probes.retention), *tokens))
            rows_of_task += len(probes.retention)
        if target is model and probes.train is not None:
            rows = probes.train.take(probes.train_rows)
            counts.append((len(rows), *_tokens(counter, rows, model.sampling.token_limit)))
            rows_of_task += len(rows)
        if target is model and probes.canaries:
            prompts = [counter.count_messages(canary.messages) for canary in probes.canaries]
            counts.append((len(prompts), sum(prompts), 0))
        questions_sent, input_tokens, output_tokens = map(sum, zip(*counts, strict=True))
        if questions_sent:
            facts = load_catalog().parameters(*catalog_name(target))
            # Only rows are asked with the user's options; questions and canaries with the model's advised effort.
            others = questions_sent - rows_of_task + asked_again
            reasoning = reasoning_limit(facts, model.sampling) * rows_of_task
            reasoning += reasoning_limit(facts, Sampling()) * others
            total = None
            if used_price is not None:
                answered = output_tokens + reasoning
                total = used_price.cost(input_tokens, answered, 0, reasoning, requests=questions_sent)
            yield ProbeCost(model=target.name, questions=questions_sent, total_usd=total)


def _tokens(counter: TokenCounter, data: Iterable[Row], limit: int, *, by_target: bool = True) -> tuple[int, int]:
    """Tokens of the prompts, and of the answers: as long as the targets if ``by_target``, else ``limit``."""
    input_tokens = output_tokens = 0
    for row in data:
        input_tokens += counter.count_messages(row.prompt, row.tools)
        target = row.completion if by_target else None
        output_tokens += limit if target is None else counter.count_messages([target])
    return input_tokens, output_tokens


def catalog_name(model: EvaluableModel) -> tuple[str, str]:
    """Find a model in the catalogue, by its host's address and not by the backend's name.

    Args:
        model: the model.

    Returns:
        Provider and name.
    """
    about = model.about()
    if about.get("host"):
        return load_catalog().provider_at(about["host"]), about["model"]
    provider, _, name = model.name.partition(":")
    return provider, name


def token_counter(model: EvaluableModel) -> TokenCounter:
    """Return what counts a model's tokens.

    Args:
        model: the model.

    Returns:
        The counter of its tokenizer, as far as the catalogue knows it.
    """
    row = load_catalog().model(*catalog_name(model))
    return TokenCounter(None if row is None else row.tokenizer)


def backend_price(model: EvaluableModel, batch: bool) -> InferencePrice | None:
    """Return the price that a backend uses for its answers.

    Args:
        model: the model.
        batch: whether the answers come from the batch API.

    Returns:
        The price; None if none is known.
    """
    listed = model.about().get("batch_price" if batch else "price")
    return InferencePrice.model_validate(listed) if listed else None


def as_catalog_price(provider: str, name: str, prices: Prices) -> InferencePrice | None:
    """Write given prices as a row of the catalogue.

    Args:
        provider: the model's provider.
        name: its name there.
        prices: the prices.

    Returns:
        The row; None for prices by the hour.
    """
    if prices.input_usd is None or prices.output_usd is None:
        return None
    return InferencePrice(
        provider=provider,
        model=name,
        tuned=False,
        input=prices.input_usd,
        cached_input=prices.cached_input_usd,
        output=prices.output_usd,
        source=prices.source,
        as_of=prices.as_of,
    )
