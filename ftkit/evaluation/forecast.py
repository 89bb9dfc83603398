"""What asking a hosted model every row will cost, before any of them is asked."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from ftkit.backends.hosted.tokens import TokenCounter
from ftkit.catalog import InferencePrice, days_until, load_catalog
from ftkit.data import Dataset
from ftkit.evaluation.asking import Answering
from ftkit.evaluation.figures import count_text, usd_text
from ftkit.shown import Shown

__all__ = ["Forecast", "forecast"]


class Forecast(Shown, BaseModel):
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
    total_usd: float | None
    """``None`` when no price is known."""
    price_source: str | None
    price_as_of: date | None
    stops_answering: date | None
    """By the catalogue."""

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        said = (
            f"{self.model}: {count_text(self.rows)} rows, {about}{count_text(self.input_tokens)} tokens in and "
            f"{count_text(self.output_tokens)} out: "
        )
        if self.total_usd is None:
            said += f"no {'batch ' if self.batch else ''}price is known"
        else:
            way = " by batch" if self.batch else ""
            said += f"about {usd_text(self.total_usd)}{way} ({self.price_source}, {self.price_as_of})"
        if self.stops_answering is None:
            return said
        left = days_until(self.stops_answering)
        when = f"in {left} days" if left > 0 else "or has stopped already"
        return f"{said}. It stops answering on {self.stops_answering}, {when}"


def forecast(model: Answering, data: Dataset, *, batch: bool = False) -> Forecast:
    """What evaluating ``model`` on ``data`` will cost, by the catalogue's price. Asks nobody.

    Args:
        data: the rows, with the model's task.
        batch: through the batch API.

    Raises:
        DataError: a row that cannot be read.
    """
    provider, _, name = model.name.partition(":")
    known = load_catalog()
    row = known.model(provider, name)
    counter = TokenCounter(None if row is None else row.tokenizer)
    asked = answered = 0
    for one in data:
        asked += counter.messages(one.prompt, one.tools)
        wanted = None if one.completion is None else counter.messages([one.completion])
        answered += model.sampling.max_output_tokens if wanted is None else wanted
    listed = model.about().get("batch_price" if batch else "price")
    price = None if not listed else InferencePrice.model_validate(listed)
    stops = known.stops(provider, name)
    return Forecast(
        model=model.name,
        rows=len(data),
        input_tokens=asked,
        output_tokens=answered,
        exact=counter.exact,
        batch=batch,
        total_usd=None if price is None else price.cost(asked, answered),
        price_source=None if price is None else price.source,
        price_as_of=None if price is None else price.as_of,
        stops_answering=None if stops is None else stops.on,
    )
