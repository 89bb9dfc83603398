"""What the rest of a migration costs, before anything is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.backends import Sampling, backend_of
from ftkit.counts import counted
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import FtkitError, RefusedError
from ftkit.evaluation import estimate_cost
from ftkit.migration.names import CandidateName
from ftkit.migration.prompt_search import questions
from ftkit.migration.recipes import fit_recipe
from ftkit.migration.rows import MigrationRows
from ftkit.migration.sampling import model_to_ask
from ftkit.migration.state import MigrationFolder
from ftkit.results.number_format import count_text, usd_text
from ftkit.results.report import Report

__all__ = ["MigrationCosts", "StepCost", "check_budget", "remaining_costs"]


@dataclass(frozen=True, slots=True)
class StepCost:
    """Cost of one step.

    Attributes:
        step: what is paid for.
        usd: US dollars; None if no price is known.
        detail: how the number was computed, or why there is none.
    """

    step: str
    usd: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class MigrationCosts:
    """Costs of the steps that are left.

    Attributes:
        steps: the steps that cost something, or whose cost is not known.
        spent_usd: what earlier steps cost, as far as it is known.
    """

    steps: tuple[StepCost, ...]
    spent_usd: float

    @property
    def known_usd(self) -> float:
        """Sum of the known costs of the steps that are left."""
        return sum(step.usd or 0.0 for step in self.steps)

    @property
    def unknown(self) -> tuple[StepCost, ...]:
        """Steps whose cost is not known."""
        return tuple(step for step in self.steps if step.usd is None)

    def lines(self) -> list[str]:
        """Describe the costs.

        Returns:
            One line for each step, and the sum.
        """
        lines = [
            f"{step.step}: {'no price is known' if step.usd is None else 'about ' + usd_text(step.usd)} ({step.detail})"
            for step in self.steps
        ]
        if not self.steps:
            return ["nothing is left to pay"]
        total = f"in all about {usd_text(self.known_usd)}"
        if self.unknown:
            total += ", and what has no known price"
        if self.spent_usd:
            total += f"; {usd_text(self.spent_usd)} were paid before"
        return [*lines, total]


def remaining_costs(
    folder: MigrationFolder,
    rows: MigrationRows,
    candidates: Sequence[CandidateName],
    *,
    sampling: Sampling,
    shots: int,
    batch: bool,
    spent_usd: float,
    frozen: Report | None,
) -> MigrationCosts:
    """Estimate the steps that are left. No request is sent.

    Args:
        folder: the migration.
        rows: its rows.
        candidates: its candidates.
        sampling: how answers are sampled.
        shots: examples before each question of the candidates that are only prompted.
        batch: whether the old model is asked through the batch API.
        spent_usd: what earlier steps cost.
        frozen: the old model's report, if it was given.

    Returns:
        The costs.
    """
    steps: list[StepCost] = []
    if folder.state.frozen is None and frozen is None:
        old = model_to_ask(str(folder.state.model), rows.task, sampling)
        estimate = estimate_cost(old, rows.test, batch=batch)
        steps.append(StepCost("freeze the old model's answers", estimate.total_usd, str(estimate)))
    for candidate in candidates:
        state = folder.state.candidates.get(candidate.text)
        if state is None or state.report is None:
            steps += _candidate_costs(candidate, rows, sampling, shots)
    return MigrationCosts(tuple(steps), spent_usd)


def _candidate_costs(candidate: CandidateName, rows: MigrationRows, sampling: Sampling, shots: int) -> list[StepCost]:
    train, ask = f"train {candidate.text}", f"ask {candidate.text}"
    try:
        backend: Any = backend_of(candidate.model)
        if candidate.kind == "optimised":
            questions(rows)  # rows that it cannot ask are refused before anything is paid
        if candidate.kind != "tuned":
            model = model_to_ask(backend, rows.task, sampling)
            if model.backend_name == "local" or not model.about().get("host"):  # asking a local model loads it
                return []
            shots = shots if candidate.kind == "prompt" else 0
            estimate = estimate_cost(model, rows.test, shots=shots, examples=rows.train if shots else None)
            steps = [StepCost(ask, estimate.total_usd, str(estimate))]
            if candidate.kind == "optimised":  # it takes what it may
                search = "at most half of what is left of max_cost; examples in its prompt make its answers dearer"
                steps.insert(0, StepCost(f"search for the prompt of {candidate.text}", 0.0, search))
            return steps
        if not hasattr(backend, "quote"):  # trains on this machine
            return []
        recipe, _ = fit_recipe(backend, rows)
        quote = backend.quote(recipe, rows.train, rows.validation)
    except FtkitError as error:  # the candidate will fail with this reason, the others go on
        return [StepCost(train if candidate.kind == "tuned" else ask, 0.0, f"it cannot be started: {error}")]
    answers = None if quote.usd_per_1000_predictions is None else quote.usd_per_1000_predictions * len(rows.test) / 1000
    # A run that has started counts as well, as its cost is not among what was spent yet.
    tokens = f"{count_text(quote.tokens_per_epoch)} tokens × {counted(quote.epochs, 'epoch')}"
    length = f"{counted(len(rows.test), 'answer')} as long as those of the rows"
    return [StepCost(train, quote.training_usd, quote.unlisted or tokens), StepCost(ask, answers, length)]


def check_budget(costs: MigrationCosts, *, max_cost: float | None, yes: bool) -> None:
    """Refuse to go on if the costs were not agreed to.

    Args:
        costs: the costs.
        max_cost: the most that the whole migration may cost, in US dollars.
        yes: whether any cost is agreed to.

    Raises:
        RefusedError: they are higher than ``max_cost``, unknown, or neither ``max_cost`` nor ``yes`` was given.
    """
    if not costs.steps:  # only the certificate is left
        return
    if max_cost is not None:
        total = costs.spent_usd + costs.known_usd
        if total > max_cost:
            reason = f"the migration costs about {usd_text(total)}"
        elif costs.unknown and not yes:
            reason = f"no price is known to {costs.unknown[0].step}"
        else:
            return
        raise RefusedError(
            ErrorText(
                *(Argument("max_cost", text="max_cost"), f" is {usd_text(max_cost)}, but {reason}. "),
                "Nothing of it was asked or started",
            )
        )
    if yes or not (costs.known_usd or costs.unknown):
        return
    raise RefusedError(
        ErrorText(
            "nothing was asked or started yet: " + "; ".join(costs.lines()) + ". To go on, give the same again with ",
            Argument("yes", text="yes=True"),
            " or ",
            Argument("max_cost", "USD", text="max_cost=…"),
        )
    )
