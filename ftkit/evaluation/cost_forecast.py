"""What asking a hosted model every row will cost, before any of them is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pydantic import BaseModel, ConfigDict

from ftkit.backends.hosted.token_counter import TokenCounter
from ftkit.catalog import InferencePrice, days_until, load_catalog
from ftkit.data import Dataset
from ftkit.errors import FtkitError
from ftkit.evaluation.costs import Prices
from ftkit.evaluation.few_shot import few_shot_messages
from ftkit.evaluation.probes.base_answers import load_base_report
from ftkit.evaluation.probes.general import GENERAL_OUTPUT_TOKENS, general_set
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.results.number_format import count_text, usd_text
from ftkit.results.result import Result

__all__ = ["Beside", "Forecast", "forecast"]


class Beside(BaseModel):
    """What is asked beside the rows, to see what was forgotten or learnt by heart."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    """The model itself, or its base."""
    questions: int
    total_usd: float | None
    """``None`` when no price is known."""


class Forecast(Result, BaseModel):
    """What the answers will cost. ``str`` says it in a sentence or two."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    rows: int
    input_tokens: int
    output_tokens: int
    """As long as the wanted answers; of rows without one, the longest that may come."""
    exact: bool
    """Whether the model's own tokenizer counted them; else four bytes count as a token."""
    batch: bool
    rows_usd: float | None
    """``None`` when no price is known."""
    beside: tuple[Beside, ...] = ()
    """The probes' questions; none of them is priced as a batch."""
    price_source: str | None
    price_as_of: date | None
    stops_answering: date | None
    """By the catalogue."""

    @property
    def total_usd(self) -> float | None:
        """Rows and probes; ``None`` when a price is not known."""
        parts = [self.rows_usd, *(one.total_usd for one in self.beside)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        said = (
            f"{self.model}: {count_text(self.rows)} rows, {about}{count_text(self.input_tokens)} tokens in and "
            f"{count_text(self.output_tokens)} out: "
        )
        if self.rows_usd is None:
            said += f"no {'batch ' if self.batch else ''}price is known"
        else:
            way = " by batch" if self.batch else ""
            said += f"about {usd_text(self.rows_usd)}{way} ({self.price_source}, {self.price_as_of})"
        for one in self.beside:
            whom = " probe questions" if one.model == self.model else f" to its base {one.model}"
            cost = "no price is known" if one.total_usd is None else f"up to {usd_text(one.total_usd)}"
            said += f"; and {count_text(one.questions)}{whom}: {cost}"
        if self.beside and self.total_usd is not None:
            said += f"; in all, up to {usd_text(self.total_usd)}"
        if self.stops_answering is None:
            return said
        left = days_until(self.stops_answering)
        when = f"in {left} days" if left > 0 else "or has stopped already"
        return f"{said}. It stops answering on {self.stops_answering}, {when}"


def forecast(
    model: EvaluableModel,
    data: Dataset,
    *,
    batch: bool = False,
    samples: int = 1,
    shots: int = 0,
    examples: Dataset | None = None,
    probes: Probes | None = None,
    prices: Prices | None = None,
) -> Forecast:
    """What evaluating ``model`` on ``data`` will cost, by the catalogue's price. Asks nobody.

    Args:
        data: the rows, with the model's task.
        batch: through the batch API.
        samples: answers a row.
        shots: examples from ``examples`` that stand before each question.
        probes: what is asked beside the rows.
        prices: the model's, by token, before those of the catalogue.

    Raises:
        DataError: a row that cannot be read.
        ConfigError: too few examples.
    """
    known, about = load_catalog(), model.about()
    provider, name = _listed(model)
    counter = _counter(model)
    asked, answered = _tokens(counter, data, model.sampling.max_output_tokens)
    if shots:
        asked += len(data) * counter.messages(few_shot_messages(shots, examples, list(data), 0))
    asked, answered = asked * samples, answered * samples
    price = _price(model, batch) if prices is None else _given(provider, name, prices)
    direct = _price(model, False) if prices is None else price
    stops = known.stops(provider, name)
    return Forecast(
        model=model.name,
        rows=len(data) * samples,
        input_tokens=asked,
        output_tokens=answered,
        exact=counter.exact,
        batch=batch,
        rows_usd=None if price is None else price.cost(asked, answered),
        beside=() if probes is None or not about.get("host") else tuple(_beside(model, probes, direct)),
        price_source=None if price is None else price.source,
        price_as_of=None if price is None else price.as_of,
        stops_answering=None if stops is None else stops.on,
    )


def _beside(model: EvaluableModel, probes: Probes, price: InferencePrice | None) -> Iterator[Beside]:
    """The probes' questions to the model, and to its base as far as its answers are not kept."""
    for one in filter(None, (model, probes.base)):
        try:
            if not one.about().get("host"):
                continue  # answers here
            counter, paid = _counter(one), price if one is model else _price(one, False)
        except FtkitError:  # then it cannot be asked either, which the report will say
            continue
        counts = [(0, 0, 0)]
        if probes.general:
            questions = general_set(None if probes.general is True else probes.general)
            if one is model or load_base_report(one, questions.fingerprint) is None:
                counts.append((len(questions), *_tokens(counter, questions, GENERAL_OUTPUT_TOKENS, as_long=False)))
        if probes.retention is not None:
            counts.append(
                (len(probes.retention), *_tokens(counter, probes.retention, model.sampling.max_output_tokens))
            )
        if one is model and probes.train is not None:
            rows = probes.train.take(probes.train_rows)
            counts.append((len(rows), *_tokens(counter, rows, model.sampling.max_output_tokens)))
        if one is model and probes.canaries:
            said = [counter.messages(canary.messages) for canary in probes.canaries]
            counts.append((len(said), sum(said), 0))
        number, asked, answered = map(sum, zip(*counts, strict=True))
        if number:
            yield Beside(
                model=one.name, questions=number, total_usd=None if paid is None else paid.cost(asked, answered)
            )


def _tokens(counter: TokenCounter, data: Dataset, longest: int, *, as_long: bool = True) -> tuple[int, int]:
    """Of the prompts, and of the answers: as long as the wanted ones where those are to be said, else the longest."""
    asked = answered = 0
    for one in data:
        asked += counter.messages(one.prompt, one.tools)
        wanted = None if one.completion is None or not as_long else counter.messages([one.completion])
        answered += longest if wanted is None else wanted
    return asked, answered


def _listed(model: EvaluableModel) -> tuple[str, str]:
    """Under which provider and name the catalogue has it: by its address, not by what it is called here."""
    about = model.about()
    if about.get("host"):
        return load_catalog().provider_at(about["host"]), about["model"]
    provider, _, name = model.name.partition(":")
    return provider, name


def _counter(model: EvaluableModel) -> TokenCounter:
    row = load_catalog().model(*_listed(model))
    return TokenCounter(None if row is None else row.tokenizer)


def _price(model: EvaluableModel, batch: bool) -> InferencePrice | None:
    """That by which the backend prices its answers."""
    listed = model.about().get("batch_price" if batch else "price")
    return InferencePrice.model_validate(listed) if listed else None


def _given(provider: str, name: str, prices: Prices) -> InferencePrice | None:
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
