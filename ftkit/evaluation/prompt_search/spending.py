"""What a search for a prompt has cost, and the most that its next requests can cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.backends import Answer, Request, Sampling
from ftkit.backends.hosted.request_plan import reasoning_limit
from ftkit.catalog import InferencePrice, load_catalog
from ftkit.counts import counted
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, RefusedError
from ftkit.evaluation.cost_estimate import as_catalog_price, backend_price, catalog_name, token_counter
from ftkit.evaluation.costs import Prices
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.results.number_format import usd_text

__all__ = ["PricedModel", "Spending"]

_ESTIMATE_FACTOR = 2
"""A token is assumed to have four bytes where the tokenizer is not known; a text may have twice as many tokens."""


@dataclass
class PricedModel:
    """A model with its price, which counts what it has cost.

    Attributes:
        model: the model.
        sampling: how it answers.
        price: its price by token; None for a model on this machine, and where no price is known.
        hosted: whether its answers are paid.
        given: whether the user gave the price, which then counts instead of the backend's.
        usd: what its answers have cost, those of an interrupted search included.
        requests: number of requests that were answered.
        input_tokens: tokens of their prompts.
        output_tokens: tokens of their answers.
    """

    model: EvaluableModel
    sampling: Sampling
    price: InferencePrice | None
    hosted: bool
    given: bool = False
    usd: float = 0.0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @classmethod
    def of(cls, model: EvaluableModel, sampling: Sampling, prices: Prices | None, argument: str) -> PricedModel:
        """Look up a model's price.

        Args:
            model: the model.
            sampling: how it answers.
            prices: its prices by token, which take precedence over the catalogue's.
            argument: name of the argument for prices, for messages.

        Returns:
            The model with its price.

        Raises:
            ConfigError: the prices are by the hour.
        """
        hosted = bool(model.about().get("host"))
        if prices is None:
            return cls(model, sampling, backend_price(model, False), hosted)
        price = as_catalog_price(*catalog_name(model), prices)
        if price is None:
            raise ConfigError(ErrorText(Argument(argument), " must be prices by token: input_usd and output_usd"))
        return cls(model, sampling, price, hosted=True, given=True)

    def add(self, answer: Answer, request: Request) -> None:
        """Count an answer. One whose tokens the host does not say counts as the most that it can have cost.

        Args:
            answer: the answer.
            request: what it answers.
        """
        self.requests += 1
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens
        if answer.input_tokens == 0 and answer.finish_reason != "error":
            self.usd += self.most(1, self.tokens([request]))
        elif answer.cost_usd is not None and not self.given:
            self.usd += answer.cost_usd
        elif self.price is not None:
            self.usd += self.price.cost(
                answer.input_tokens, answer.output_tokens, answer.cached_tokens, answer.reasoning_tokens
            )

    def most(self, requests: int, input_tokens: int) -> float:
        """Return the most that requests can cost.

        Args:
            requests: their number.
            input_tokens: tokens of their prompts in all.

        Returns:
            US dollars; 0 without a price.
        """
        if self.price is None or not requests:
            return 0.0
        reasoning = reasoning_limit(load_catalog().parameters(*catalog_name(self.model)), self.sampling) * requests
        output = self.sampling.token_limit * requests + reasoning
        return self.price.cost(input_tokens, output, 0, reasoning, requests=requests)

    def tokens(self, requests: Sequence[Request]) -> int:
        """Count the tokens of prompts, rather too many than too few.

        Args:
            requests: the requests.

        Returns:
            The number of tokens.
        """
        counter = token_counter(self.model)
        factor = 1 if counter.exact else _ESTIMATE_FACTOR
        return factor * sum(counter.count_messages(request.messages, request.tools) for request in requests)


@dataclass
class Spending:
    """The cost of a search and its limit.

    Attributes:
        models: the models that are paid.
        max_cost: the most that the search may cost, in US dollars; None for no limit.
        reserved: what the last step, the measurement of the result, may still cost.
    """

    models: tuple[PricedModel, ...]
    max_cost: float | None
    reserved: float = 0.0

    @property
    def usd(self) -> float:
        """What all answers have cost so far."""
        return sum(model.usd for model in self.models)

    @property
    def paid(self) -> bool:
        """Whether a host answers, which is paid."""
        return any(model.hosted for model in self.models)

    def allows(self, usd: float) -> bool:
        """Say whether something may still be paid, beside what is reserved.

        Args:
            usd: the most that it can cost.

        Returns:
            Whether it stays within the limit.
        """
        return self.max_cost is None or self.usd + usd + self.reserved <= self.max_cost

    def agree(self, least: float, all_rounds: float, rounds: int) -> str:
        """Check before the first request that the cost was agreed to.

        Args:
            least: the most that it costs to ask the start prompt and to measure the result.
            all_rounds: the most that the search costs with all its rounds.
            rounds: their number.

        Returns:
            A sentence with the cost, for the user.

        Raises:
            RefusedError: no limit is given for models that are paid, no price is known, or the limit is too low.
        """
        if not self.paid:
            return "cost: models on this machine have no price"
        unknown = [one.model.name for one in self.models if one.hosted and one.price is None]
        if unknown:
            raise RefusedError(
                f"no price is known for {unknown[0]}, so the cost cannot be bounded; add a row to your catalogue "
                "(docs/catalog.md), or pass ft.Prices. Nothing was asked",
                fields=("max_cost",),
            )
        if self.max_cost is None:
            raise RefusedError(
                ErrorText(
                    f"the search can cost up to {usd_text(all_rounds)} in {counted(rounds, 'round')}, and at least "
                    f"{usd_text(least)} is needed; nothing was asked yet. Say how much it may cost with ",
                    Argument("max_cost", "USD", text="max_cost=…"),
                ),
                fields=("max_cost",),
            )
        if least > self.max_cost:
            raise RefusedError(
                ErrorText(
                    *(Argument("max_cost"), f" is {usd_text(self.max_cost)}, but to ask the start prompt and to "),
                    f"measure the result can cost {usd_text(least)} alone. Nothing was asked",
                ),
                fields=("max_cost",),
            )
        return f"cost: at most {usd_text(min(all_rounds, self.max_cost))}"
