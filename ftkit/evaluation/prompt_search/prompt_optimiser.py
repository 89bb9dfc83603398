"""``optimise_prompt``: find instructions and examples on training rows, and measure them on others."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from ftkit.arguments import check_amount, check_kind, explain_calls
from ftkit.backends import Request, Sampling
from ftkit.counts import counted
from ftkit.data import Dataset, Row, check_dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, RefusedError
from ftkit.evaluation.costs import Prices
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.prompt_search.answer_place import answer_place
from ftkit.evaluation.prompt_search.answer_store import AnswerStore
from ftkit.evaluation.prompt_search.asker import Asker, KeptModel
from ftkit.evaluation.prompt_search.candidate_prompts import EXAMPLES, LONGEST_TEXT, CandidatePrompts
from ftkit.evaluation.prompt_search.optimised_task import OptimisedTask
from ftkit.evaluation.prompt_search.search_metric import Scored, search_metric
from ftkit.evaluation.prompt_search.search_rows import SearchRows
from ftkit.evaluation.prompt_search.spending import PricedModel, Spending
from ftkit.evaluation.report_comparison import compare
from ftkit.evaluation.request_runner import EvaluableModel, RequestOptions, check_model
from ftkit.extras import require
from ftkit.model import Model
from ftkit.progress import ProgressBar
from ftkit.results.number_format import usd_text
from ftkit.results.prompt_record import AskedModel, PromptCandidate, PromptRecord, RowsUsed
from ftkit.results.report import Report
from ftkit.schema.answer_type import AnswerT
from ftkit.schema.comparators import Comparators
from ftkit.task import Task
from ftkit.version import __version__

__all__ = ["optimise_prompt"]

_REFLECTION_TOKENS = 2_048
"""Longest text that the reflection model writes, unless its sampling says otherwise."""
_MINIBATCH = 4
"""Rows that a proposal is made of and tried on first."""
_FIELDS_PER_ROW = 4
"""Texts of at most ``LONGEST_TEXT`` that the reflection model may read of a row."""


@explain_calls(instead='ft.optimise_prompt(task, "openai:gpt-6-luna", train)')
def optimise_prompt(
    task: Task[AnswerT],
    model: EvaluableModel | str,
    train: Dataset,
    metric: Scored = "auto",
    *,
    max_cost: float | None = None,
    reflection: EvaluableModel | str | None = None,
    rounds: int = 12,
    shots: int = 4,
    choosing: int = 40,
    held_out: int = 60,
    comparators: Comparators | None = None,
    sampling: Sampling | None = None,
    prices: Prices | None = None,
    reflection_prices: Prices | None = None,
    asking: RequestOptions | None = None,
    folder: str | os.PathLike[str] | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
    progress: bool = True,
) -> OptimisedTask[AnswerT]:
    """Find better instructions and examples for a task, by GEPA (Agrawal et al. 2025, arXiv:2507.19457).

    The rows are split into three parts. On the first, each round asks a few rows, and either a reflection model writes
    new instructions from what went wrong, or examples are drawn. A candidate that is better on these rows is asked the
    rows of the second part, on which candidates are compared. The best one and the prompt at the start are then asked
    the third part, which no choice has seen: the record's values and its comparison are of these rows.

    Args:
        task: the task with an input template. Its output and template stay as they are.
        model: the model to ask, or its name. Its task need not be ``task``.
        train: rows with wanted answers.
        metric: what to optimise: ``"auto"`` for the headline of the output, a metric's name, a grader, or a function of
            one :class:`RowResult`. It must score single rows.
        max_cost: the most that may be paid, in US dollars, the answers of an interrupted call included. Models at hosts
            need it. No request is sent that could exceed it.
        reflection: the model that writes instructions, or its name; by default ``model`` itself. A strong model helps.
        rounds: number of proposals.
        shots: number of examples in a prompt that has some; 0 searches for instructions only.
        choosing: rows that candidates are compared on; at most a third of the rows.
        held_out: rows for the measurement; at most a third of the rows.
        comparators: comparators for fields of a JSON output, as for :func:`ftkit.evaluate`.
        sampling: how answers are sampled; by default the model's own options.
        prices: prices by token of ``model``. They take precedence over the catalogue's.
        reflection_prices: the same of ``reflection``.
        asking: pace and attempts of requests.
        folder: where answers are kept. The same call takes every answer from there that it was given before, so that
            a search that was interrupted, or gets more rounds or a higher ``max_cost``, pays for none twice. By default
            a folder in ftkit's home, which is deleted at the end.
        seed: seed of the split and of the search. The same answers and seed give the same prompt.
        on_step: called with a sentence at every step.
        progress: show a progress bar if standard error is a terminal.

    Returns:
        The task with the best prompt; ``record`` says how it was found. It equals ``task`` if none was better. Where
        answers cost more than they could by their prices, the search ends with the best prompt so far, which may
        then be without a measurement.

    Raises:
        ConfigError: an argument is invalid, the task has no template, or there are too few rows.
        RefusedError: ``max_cost`` is missing or too low, no price is known, or the metric asks a model at a host.
        MissingExtraError: the extra ``prompt`` is not installed.
        ModelError: a model cannot be asked. What was answered is kept.
        RunError: another process uses the folder.
    """
    check_kind(task, Task, "task", 'an ft.Task("…", input="{note}")')
    check_dataset(train, "train")
    check_amount(max_cost, "max_cost")
    _check_numbers(rounds=(rounds, 1), shots=(shots, 0), choosing=(choosing, 1), held_out=(held_out, 1))
    if task.input is None:
        raise ConfigError(
            "optimise_prompt needs a task with an input template, whose instructions it can change: "
            'ft.Task("…", input="{question}"). Rows that hold whole conversations are asked as they are'
        )
    gepa = require("gepa", extra="prompt", needed_for="optimise_prompt")
    options = _options(asking)
    asked_model = Model(model, task, other_task=True) if isinstance(model, str) else model
    reflecting_model = Model(reflection, Task()) if isinstance(reflection, str) else reflection or asked_model
    for one in (asked_model, reflecting_model):
        check_model(one)
    asked = PricedModel.of(asked_model, sampling or asked_model.sampling, prices, "prices")
    reflecting = PricedModel.of(
        reflecting_model,
        _reflection_sampling(None if reflection is None else reflecting_model.sampling),
        prices if reflection is None else reflection_prices,
        "reflection_prices",
    )
    parts = SearchRows.of(train.with_task(task), choosing=choosing, held_out=held_out, seed=seed)
    scored_by = search_metric(metric, task, parts.learning, comparators)
    say = on_step or (lambda _: None)
    spending = Spending((asked, reflecting), max_cost)
    with (
        answer_place(folder, asked, reflecting, task, train, seed) as place,
        contextlib.closing(AnswerStore(place.path)) as store,
    ):
        prompts = CandidatePrompts(
            gepa,
            task,
            parts.learning_rows,
            scored_by,
            asked,
            reflecting,
            Asker(store, spending, options),
            shots,
            seed,
        )
        search = _Search(prompts, parts, spending, rounds, say)
        search.agree()
        with ProgressBar(f"optimising the prompt of {asked_model.name}", rounds, enabled=progress) as bar:
            search.bar = bar
            search.run(gepa, seed)
        found = search.result(metric, comparators, seed, max_cost)
        place.kept |= found.record.after is None  # so that a higher max_cost measures it, and pays for nothing twice
        return found


@dataclass
class _Search:
    """One search. GEPA calls it before each round, and after each candidate that was asked all rows for choosing."""

    prompts: CandidatePrompts
    parts: SearchRows
    spending: Spending
    rounds: int
    say: Callable[[str], None]
    bar: ProgressBar | None = None
    stopped: Literal["rounds", "cost", "perfect"] = "rounds"
    made: int = 0
    announced: int = 0
    candidates: list[tuple[int | None, dict[str, str], float]] = field(default_factory=list)

    def agree(self) -> None:
        """Check the cost before the first request."""
        start = [self._request(row) for row in self.parts.choosing_rows]
        end = self._most(2 * len(self.parts.held_out_rows))
        least = self.prompts.asked.most(len(start), self.prompts.asked.tokens(start)) + end
        self.say(self.spending.agree(least, least + self.rounds * self._round, self.rounds))
        self.spending.reserved = end

    def run(self, gepa: Any, seed: int) -> None:
        """Search until the rounds are made or the next one could cost too much."""
        rate = self.prompts.metric.unit == "rate"
        gepa.optimize(
            seed_candidate=self.prompts.start,
            trainset=list(self.parts.learning_rows),
            valset=list(self.parts.choosing_rows),
            adapter=self.prompts,
            reflection_minibatch_size=min(_MINIBATCH, len(self.parts.learning_rows)),
            skip_perfect_score=rate,
            perfect_score=1.0,
            stop_callbacks=self._ends,
            callbacks=[self],
            logger=_Quiet(),
            seed=seed,
            track_best_outputs=False,
        )

    def result(
        self, metric: Scored, comparators: Comparators | None, seed: int, max_cost: float | None
    ) -> OptimisedTask[Any]:
        """Measure the best candidate and the start on the rows that were held out.

        Returns:
            The task with its record.
        """
        prompts = self.prompts
        chosen = max(range(len(self.candidates)), key=lambda number: (self.candidates[number][2], -number))
        tasks = [prompts.task, prompts.task_of(self.candidates[chosen][1])]
        self.spending.reserved = 0.0
        reports = self._measured(tasks[: 1 if chosen == 0 else 2], metric, comparators, seed)
        before, after = (reports[0], reports[-1]) if reports else (None, None)
        record = PromptRecord(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ftkit_version=__version__,
            method=f"GEPA {importlib.metadata.version('gepa')}",
            seed=seed,
            metric=prompts.metric.name,
            stopped=self.stopped,
            rounds=self.made,
            start=prompts.task.model_dump(mode="json"),
            chosen=chosen,
            candidates=tuple(self._candidate(number, *one) for number, one in enumerate(self.candidates)),
            learning=_used(self.parts.learning),
            choosing=_used(self.parts.choosing),
            held_out=_used(self.parts.held_out),
            before=before,
            after=after,
            comparison=None
            if chosen == 0 or before is None or after is None
            else compare(before, after, seed=seed, other_prompts=True),
            models=(_asked(prompts.asked), _asked(prompts.reflecting)),
            max_cost=max_cost,
        )
        return OptimisedTask.of(tasks[1], record)

    def _measured(
        self, tasks: Sequence[Task[Any]], metric: Scored, comparators: Comparators | None, seed: int
    ) -> list[Report]:
        """The reports of prompts on the rows that were held out; none if answers cost more than they could."""
        prompts = self.prompts
        self.say(f"measuring on {counted(len(self.parts.held_out_rows), 'row')} held out")
        reports = []
        try:
            for one, label in zip(tasks, ("prompt at the start", "optimised prompt"), strict=False):
                report = evaluate(
                    KeptModel(prompts.asker, prompts.asked, one),
                    self.parts.held_out.with_task(one),
                    metrics=[metric, prompts.metric.name] if isinstance(metric, str) else metric,
                    primary=prompts.metric.name,
                    comparators=comparators,
                    label=label,
                    seed=seed,
                    probes=None,
                    progress=False,
                    asking=RequestOptions(resume=False),
                )
                reports.append(report)
        except RefusedError as error:
            if error.fields != ("max_cost",):
                raise
            self.stopped = "cost"
            self.say(f"the result is not measured: {error}")
            return []
        return reports

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Note a candidate that was asked the rows for choosing; GEPA calls it.

        Args:
            event: GEPA's event.
        """
        if self.prompts.failure is not None:
            return  # it was not asked all of them
        self.prompts.begun = True
        parents = [parent for parent in event["parent_ids"] if parent is not None]
        score = float(event["average_score"])
        self.candidates.append((parents[0] if parents else None, dict(event["candidate"]), score))

    def _ends(self, state: Any) -> bool:
        failure = self.prompts.failure
        if isinstance(failure, RefusedError) and failure.fields == ("max_cost",):
            self.stopped = "cost"
            return True
        if failure is not None:
            raise failure
        self.made = int(state.i) + 1
        paid = f"; {usd_text(self.spending.usd)} so far" if self.spending.paid else ""
        for number in range(self.announced, len(self.candidates)):
            score = self.candidates[number][2]
            self.say(f"prompt {number}: {score:.3g} on {counted(len(self.parts.choosing_rows), 'row')}{paid}")
        self.announced = len(self.candidates)
        if self.bar is not None:
            self.bar.update(completed=self.made, detail=usd_text(self.spending.usd) if self.spending.paid else "")
        best = max(score for _, _, score in self.candidates)
        if self.prompts.metric.unit == "rate" and best >= 1:
            self.stopped = "perfect"
        elif self.made < self.rounds and not self.spending.allows(self._round):
            self.stopped = "cost"
        return self.stopped != "rounds" or self.made >= self.rounds

    @cached_property
    def _round(self) -> float:
        """The most that one round can cost: a reflection, two small batches, and all rows for choosing."""
        read = _FIELDS_PER_ROW * _MINIBATCH * LONGEST_TEXT // 2 + _longest_tokens(self.prompts)
        reflection = self.prompts.reflecting.most(1, read)
        return reflection + self._most(2 * _MINIBATCH + len(self.parts.choosing_rows))

    def _most(self, count: int) -> float:
        """The most that asking rows can cost, with any prompt that the search may find."""
        return self.prompts.asked.most(count, count * (self._longest_row + _longest_tokens(self.prompts)))

    @cached_property
    def _longest_row(self) -> int:
        rows = (*self.parts.learning_rows, *self.parts.choosing_rows, *self.parts.held_out_rows)
        return max(self.prompts.asked.tokens([self._request(row)]) for row in rows) if self.spending.paid else 0

    def _request(self, row: Row) -> Request:
        return self.prompts.asker.request(self.prompts.asked, self.prompts.task, row)

    def _candidate(self, number: int, parent: int | None, texts: dict[str, str], score: float) -> PromptCandidate:
        task = self.prompts.task_of(texts)
        examples = tuple(example.model_dump() for example in task.examples)
        return PromptCandidate(
            number=number, parent=parent, instructions=task.instructions or "", examples=examples, score=score
        )


class _Quiet:
    """GEPA's log, which nobody reads: the record holds the candidates."""

    def log(self, message: str) -> None:
        """Drop a message.

        Args:
            message: the message.
        """


def _longest_tokens(prompts: CandidatePrompts) -> int:
    """Tokens of the longest instructions that can be written and of the longest examples that can be drawn."""
    examples = prompts.shots * prompts.longest_example // 2 if EXAMPLES in prompts.start else 0
    return prompts.reflecting.sampling.token_limit + examples


def _check_numbers(**given: tuple[int, int]) -> None:
    for name, (value, least) in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                ErrorText(Argument(name, text=name), f" must be a number of at least {least}, not {value}")
            )


def _options(asking: RequestOptions | None) -> RequestOptions:
    if asking is not None:
        check_kind(asking, RequestOptions, "asking", "ft.RequestOptions(concurrency=4)")
        if asking.batch:
            raise ConfigError(
                "optimise_prompt asks many small rounds, and a batch may take a day each; leave batch=True out"
            )
    return (asking or RequestOptions()).model_copy(update={"resume": False})


def _reflection_sampling(own: Sampling | None) -> Sampling:
    sampling = own or Sampling()
    written = "max_output_tokens" in sampling.model_fields_set
    return sampling if written else sampling.model_copy(update={"max_output_tokens": _REFLECTION_TOKENS})


def _used(rows: Dataset) -> RowsUsed:
    return RowsUsed(rows=len(rows), fingerprint=rows.fingerprint)


def _asked(one: PricedModel) -> AskedModel:
    source = None if one.price is None else f"{one.price.source}, {one.price.as_of}"
    return AskedModel(
        name=one.model.name,
        requests=one.requests,
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        usd=one.usd if one.hosted else None,
        price_source=source,
    )
