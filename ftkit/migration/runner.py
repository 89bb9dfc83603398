"""``migrate``: from a tuned model to a certificate of which candidates may replace it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftkit.arguments import check_amount, check_kind, explain_calls
from ftkit.backends import Sampling
from ftkit.counts import counted, verb
from ftkit.data import Dataset, check_dataset
from ftkit.error_text import Argument, ErrorText, error_text
from ftkit.errors import ConfigError, FtkitError, MigrationError
from ftkit.evaluation.costs import gpu_price
from ftkit.evaluation.row_comparison import check_margin
from ftkit.evaluation.statistics import check_confidence
from ftkit.files import canonical_digest
from ftkit.migration.certify import certify
from ftkit.migration.costs import check_budget, remaining_costs
from ftkit.migration.frozen import freeze
from ftkit.migration.names import CandidateName, SourceName
from ftkit.migration.power import power_before
from ftkit.migration.prompt_search import check_search_limit
from ftkit.migration.rows import TASK, GivenRows, MigrationRows, import_old_job, prepare_rows
from ftkit.migration.spending import spent_usd
from ftkit.migration.state import MigrationFolder
from ftkit.migration.trial import Trial, TrialOptions
from ftkit.recipe import Recipe
from ftkit.results.certificate import Certificate, PowerRecord
from ftkit.results.json_values import canonical
from ftkit.results.number_format import margin_text, percent_text
from ftkit.results.report import Report
from ftkit.runs import Run
from ftkit.task import Task

__all__ = ["migrate"]

_GO_ON = "What was done before is kept; run the same again to go on"


@explain_calls(instead='ft.migrate("openai:ftjob-abc123", to=["local:Qwen/Qwen3-8B"], margin=0.03)')
def migrate(
    source: str,
    *,
    to: Sequence[str],
    margin: float,
    folder: str | os.PathLike[str] = "migration",
    test: Dataset | None = None,
    test_share: float | None = None,
    train: Dataset | None = None,
    task: Task | None = None,
    recipe: Recipe | None = None,
    frozen: Report | None = None,
    primary: str | None = None,
    sampling: Sampling | None = None,
    shots: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
    batch: bool = False,
    requests_per_minute: float | None = None,
    gpu_hour_usd: float | None = None,
    gpu: str | None = None,
    lint: bool = True,
    leave_out_failed: bool = False,
    max_cost: float | None = None,
    yes: bool = False,
    on_step: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Certificate:
    """Find out which candidates may replace a tuned model, and write a certificate.

    The steps: import the rows and the recipe of the old job; freeze the old model's answers to the test rows; train
    each candidate, unless it is only prompted; ask each the same rows; test it for non-inferiority. After any
    interruption the same call goes on where it was, and nothing is paid twice. A candidate that fails does not lose
    the others; the same call tries it again.

    Args:
        source: the model to replace: ``"openai:ftjob-…"``, ``"openai:ft:…"``, or another host's with OpenAI's jobs API.
        to: the candidates: ``"local:smollm2-135m"`` or ``"together:…"`` are trained; ``"prompt:openai:gpt-6-luna"`` is
            asked with the prompt alone; ``"optimised-prompt:openai:gpt-6-luna"`` with the prompt that
            :func:`ftkit.optimise_prompt` finds on the training rows, for at most half of what is left of ``max_cost``,
            if every row is one question. Later calls may add candidates; the certificate has every one ever begun.
        margin: the largest acceptable loss of the headline metric, in its unit: 0.02 is two points of a rate. It is
            recorded first, and refuses to be changed after a candidate was asked.
        folder: the folder of the migration, with its state.
        test: test rows that the old model was not trained on. By default the old job's validation rows.
        test_share: share of the training rows to hold out instead.
        train: training rows in place of the old job's files.
        task: the task; by default that of ``test``, else the output is inferred from the answers.
        recipe: the recipe; by default the old job's. A value of the old job that a backend refuses becomes the
            backend's own, and the certificate says so.
        frozen: the old model's report on ``test``, if it was made earlier; then the old model is not asked.
        primary: the headline metric; by default the accuracy of the output.
        sampling: how every model is sampled; greedy by default. Options of reasoning are for the models that reason on
                request, and left out for the others; the certificate says so.
        shots: examples from the training rows before each question of candidates that are only prompted.
        confidence: confidence level of the verdicts.
        seed: seed of the split and of the choice of examples.
        batch: freeze the old model's answers through the host's batch API.
        requests_per_minute: highest rate of requests to a host.
        gpu_hour_usd: price of an hour of this machine, for the cost of answers of local candidates.
        gpu: id of a GPU in the catalogue, whose price is used instead.
        lint: check the training rows before each training.
        leave_out_failed: leave test rows that the old model cannot answer out of the comparison.
        max_cost: the most that the migration may cost, in US dollars, by estimates.
        yes: go on whatever it costs, also where a price is not known.
        on_step: called with a sentence at every step.
        progress: show the progress.

    Returns:
        The certificate, also written to ``certificate.json`` and ``certificate.html`` in ``folder``.

    Raises:
        ConfigError: an argument is invalid, or differs from that of the interrupted call.
        RefusedError: the cost is not agreed to: neither ``yes`` nor a sufficient ``max_cost`` is given.
        MigrationError: a step failed; names the step and the way on.
    """
    check_kind(source, str, "source", 'the model to replace: "openai:ftjob-…"')
    check_kind(to, Sequence, "to", 'a list of names: ["local:smollm2-135m"]')
    for name in [to] if isinstance(to, str) else to:
        check_kind(name, str, "to", 'names of candidates: "local:smollm2-135m"')
    for value, kind, argument, hint in (
        (task, Task, "task", "an ft.Task, or Task.from_yaml(path)"),
        (recipe, Recipe, "recipe", "a recipe such as ft.SFT(epochs=2)"),
        (frozen, Report, "frozen", "an ft.Report: ft.Report.load(path)"),
        (sampling, Sampling, "sampling", "ft.Sampling(max_output_tokens=64)"),
    ):
        if value is not None:
            check_kind(value, kind, argument, hint)
    check_amount(max_cost, "max_cost")
    check_amount(gpu_hour_usd, "gpu_hour_usd")
    old_name = SourceName.parse(source)
    names = [CandidateName.parse(text) for text in dict.fromkeys([to] if isinstance(to, str) else to)]
    _check(names, margin, shots, confidence, test, test_share, train)
    if gpu is not None and gpu_hour_usd is not None:
        raise ConfigError(
            ErrorText(
                "give one of ", Argument("gpu", text="gpu"), " and ", Argument("gpu_hour_usd", text="gpu_hour_usd")
            )
        )
    hourly = gpu_hour_usd if gpu is None else gpu_price(gpu).gpu_hour_usd
    sampling = sampling or Sampling()
    say = on_step or (lambda _: None)
    frozen_task = None if frozen is None else Task.model_validate(frozen.task)
    given = GivenRows(train, test, test_share, task, frozen_task, recipe, seed)
    check_margin(margin, "rate" if primary is None else "number")  # the headline of every output is an accuracy
    settings = _settings(old_name, given, frozen, primary, sampling, shots, confidence)
    with MigrationFolder.opened(Path(folder), settings, margin) as place:
        say(f"margin: {margin:g}, set {place.state.margins[-1].set_at}")
        rows = _rows(place, old_name, given, say)
        for candidate in names:
            check_search_limit(place, rows, candidate, sampling, max_cost)
        costs = remaining_costs(
            place, rows, names, sampling=sampling, shots=shots, batch=batch, spent_usd=spent_usd(place), frozen=frozen
        )
        for line in costs.lines():
            say(f"cost: {line}")
        check_budget(costs, max_cost=max_cost, yes=yes)
        with _step("freeze the old model's answers"):
            answers = freeze(
                place,
                rows,
                given=frozen,
                sampling=sampling,
                batch=batch,
                requests_per_minute=requests_per_minute,
                leave_out_failed=leave_out_failed,
                primary=primary,
                confidence=confidence,
                seed=seed,
                progress=progress,
            )
        check_margin(margin, answers.headline.unit)
        if place.state.unanswered:
            rows = prepare_rows(place, given)
        say(f"frozen: {counted(len(answers.rows), 'answer')} of {place.state.model}")
        say(_power_text(power_before(answers, margin, confidence), margin, answers))
        options = TrialOptions(
            sampling=sampling,
            shots=shots,
            primary=answers.primary,
            confidence=confidence,
            seed=seed,
            lint=lint,
            max_cost=None if max_cost is None else max(0.0, max_cost - spent_usd(place)),
            total_cost=max_cost,
            gpu_hour_usd=hourly,
            requests_per_minute=requests_per_minute,
            progress=progress,
        )
        _try_all([Trial(place, rows, name, options) for name in names], say)
        with _step("write the certificate"):
            certificate = certify(place, old_name, rows, answers, shots=shots, confidence=confidence)
            place.save()
            certificate.save(place.path / "certificate.json")
            certificate.save(place.path / "certificate.html")
    return certificate


def _try_all(trials: Sequence[Trial], say: Callable[[str], None]) -> None:
    """Train and ask every candidate. Training at hosts is started first, because it needs nothing of this machine."""
    runs: dict[str, Run | None] = {}
    for trial in sorted(trials, key=lambda one: not one.trains_elsewhere):
        name = trial.candidate.text
        if trial.trains_elsewhere:
            runs[name] = trial.attempt(trial.start)
    for trial in trials:
        name = trial.candidate.text
        if not trial.failed and name not in runs:
            runs[name] = trial.attempt(trial.start)
        if not trial.failed:
            run = runs.get(name)
            say(f"{name}: {'training in run ' + run.id if run is not None else 'asking'}")
            trial.attempt(lambda trial=trial, run=run: trial.report(run))  # type: ignore[misc]
        if trial.failed:
            say(f"{name}: FAILED: {trial.state.problem}")


def _rows(place: MigrationFolder, source: SourceName, given: GivenRows, say: Callable[[str], None]) -> MigrationRows:
    with _step("import the old job"):
        if given.train is None or source.is_job:
            import_old_job(place, source, files=given.train is None)
        elif place.state.model is None:
            place.state.model = f"{source.host}:{source.name}"
            place.save()
    with _step("prepare the rows"):
        rows = prepare_rows(place, given)
        if TASK not in place.state.files:
            rows.task.to_yaml(place.path / TASK)
            place.add_file(TASK)
            place.save()
    say(f"rows: {len(rows.train)} to train, {len(rows.test)} to test ({rows.origin})")
    if rows.left_out:
        say(f"rows: {rows.left_out} test rows have prompts of training rows and are left out")
    return rows


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """Name the step in an error, and say how to go on."""
    try:
        yield
    except MigrationError as error:
        raise MigrationError(ErrorText(f"{name}: ", error_text(error)), step=error.step or name) from None
    except FtkitError as error:
        raise MigrationError(ErrorText(f"{name}: ", error_text(error), f". {_GO_ON}"), step=name) from None


def _check(
    names: Sequence[CandidateName],
    margin: float,
    shots: int,
    confidence: float,
    test: Dataset | None,
    test_share: float | None,
    train: Dataset | None,
) -> None:
    if not names:
        raise ConfigError(ErrorText("name at least one candidate with ", Argument("to", text="to")))
    if isinstance(margin, bool) or not isinstance(margin, int | float) or margin == float("inf"):
        raise ConfigError(ErrorText(Argument("margin", text="margin"), f" must be a number such as 0.02, not {margin}"))
    if shots < 0:
        raise ConfigError(ErrorText(Argument("shots", text="shots"), f" must be a number of examples, not {shots}"))
    check_confidence(confidence)
    for value, name in ((test, "test"), (train, "train")):
        if value is not None:
            check_dataset(value, name)
    if test is not None and test_share is not None:
        raise ConfigError(
            ErrorText("give one of ", Argument("test", text="test"), " and ", Argument("test_share", text="test_share"))
        )


def _settings(
    source: SourceName,
    given: GivenRows,
    frozen: Report | None,
    primary: str | None,
    sampling: Sampling,
    shots: int,
    confidence: float,
) -> dict[str, Any]:
    """What determines the answers, as JSON."""
    recipe, task = given.recipe, given.task
    return {
        "source": f"{source.host}:{source.name}",
        "train": None if given.train is None else given.train.fingerprint,
        "test": None if given.test is None else given.test.fingerprint,
        "test_share": given.test_share,
        "task": None if task is None else task.fingerprint,
        "recipe": None if recipe is None else canonical_digest(canonical(recipe.model_dump(mode="json"))),
        "frozen": None if frozen is None else frozen.digest,
        "primary": primary,
        "sampling": sampling.model_dump(mode="json"),
        "shots": shots,
        "confidence": confidence,
        "seed": given.seed,
    }


def _power_text(power: PowerRecord, margin: float, report: Report) -> str:
    limit = margin_text(margin, report.headline.unit)
    enough = (
        "no number of rows gives 80 %"
        if power.rows_for_80 is None
        else f"{counted(power.rows_for_80, 'row')} {verb(power.rows_for_80, 'gives', 'give')} 80 %"
    )
    return (
        f"power: {counted(power.rows, 'row')} {verb(power.rows, 'certifies', 'certify')} {power.assumption}, "
        f"within {limit} with a probability of "
        f"{percent_text(round(power.power, 2))}; {enough}"
    )
