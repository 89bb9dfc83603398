"""One candidate: train it unless it is only prompted, and ask it the test rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftkit import runs
from ftkit.backends import Sampling, backend_of
from ftkit.backends.hosted.job_handle import JobHandle
from ftkit.counts import counted, verb
from ftkit.errors import FtkitError, ModelError, RunError, RunNotFoundError
from ftkit.evaluation.measurement import measured_report
from ftkit.migration.frozen import failed_rows, load_report, request_options
from ftkit.migration.names import CandidateName, report_path
from ftkit.migration.prompt_search import PromptSearch
from ftkit.migration.recipes import fit_recipe
from ftkit.migration.rows import MigrationRows
from ftkit.migration.sampling import model_to_ask
from ftkit.migration.state import CandidateState, MigrationFolder, now
from ftkit.results.report import Report
from ftkit.runs import Run
from ftkit.store import OPEN_STATES

__all__ = ["Trial", "TrialOptions"]


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """How candidates are trained and asked.

    Attributes:
        sampling: how answers are sampled.
        shots: examples before each question of candidates that are only prompted.
        primary: the headline metric.
        confidence: confidence level.
        seed: seed of the examples and of the report.
        lint: whether rows are checked before training.
        max_cost: the most that the migration may still cost, in US dollars.
        total_cost: the most that the whole migration may cost.
        gpu_hour_usd: price of an hour of this machine.
        requests_per_minute: highest rate at hosts.
        progress: show the progress.
    """

    sampling: Sampling
    shots: int
    primary: str
    confidence: float
    seed: int
    lint: bool
    max_cost: float | None
    total_cost: float | None
    gpu_hour_usd: float | None
    requests_per_minute: float | None
    progress: bool


class Trial:
    """The way of one candidate. Every step can be repeated after an interruption.

    Args:
        folder: the migration.
        rows: its rows.
        candidate: the candidate.
        options: how it is trained and asked.
    """

    def __init__(
        self, folder: MigrationFolder, rows: MigrationRows, candidate: CandidateName, options: TrialOptions
    ) -> None:
        self.folder, self.rows, self.candidate, self.options = folder, rows, candidate, options
        self.step = "train" if candidate.kind == "tuned" else "ask"
        self.failed = False

    @property
    def state(self) -> CandidateState:
        """The candidate's state."""
        return self.folder.candidate(self.candidate.text)

    @property
    def trains_elsewhere(self) -> bool:
        """Whether training runs at a host, so that it can be started before the others have ended."""
        return self.candidate.kind == "tuned" and hasattr(backend_of(self.candidate.model), "quote")

    def start(self) -> Run | None:
        """Start training, or find the run that an earlier process started. A run that failed is tried again.

        Returns:
            The run; None if the candidate is not trained.
        """
        if self.candidate.kind != "tuned" or self.state.report is not None:
            return None
        state = self.state
        run = self._earlier_run()
        if run is not None and (run.state in OPEN_STATES or run.state == "succeeded"):
            return run
        backend = backend_of(self.candidate.model)
        if run is not None and _may_have_a_job(run):
            return run.resume()  # which searches for the job before it asks for another one
        if run is not None and not hasattr(backend, "quote"):
            try:
                return run.resume()  # from its newest checkpoint
            except RunError:
                pass  # it has none, so it begins again
        recipe, changes = fit_recipe(backend, self.rows)
        if run is not None or not state.runs:
            state.runs.append(self._run_id(len(state.runs) + 1))
        state.recipe, state.changes = recipe.model_dump(mode="json"), changes
        self.folder.save()  # first, so that the run is found again whatever happens
        return runs.train(
            recipe,
            self.rows.train,
            backend=self.candidate.model,
            validation=self.rows.validation,
            lint=self.options.lint,
            max_cost=self.options.max_cost,
            run_id=state.runs[-1],
        )

    def report(self, run: Run | None) -> Report:
        """Ask the candidate the test rows, once.

        Args:
            run: the run that trains it; None if it is not trained.

        Returns:
            The report.

        Raises:
            ModelError: rows failed. At the second time they count as wrong.
        """
        path, state = report_path(self.candidate), self.state
        if state.report is not None:
            self.folder.drop_answers(self.candidate.slug)  # a process that was killed may have left them
            return load_report(self.folder, path)
        name = self.candidate.model
        if run is not None:
            self.step = "train"
            name = run.wait(progress=self.options.progress).model.name
        options, test = self.options, self.rows.test
        if self.candidate.kind == "optimised":
            self.step = "optimise the prompt"
            test = PromptSearch(self.folder, self.rows, self.candidate, state, options).test()
        self.step = "ask"
        with model_to_ask(name, test.task, options.sampling) as model:
            if state.asked_at is None:
                state.asked_at = now()
                self.folder.save()  # from now on the margin is fixed
            with measured_report(
                model,
                test,
                options=request_options(model, requests_per_minute=options.requests_per_minute),
                metrics=self.rows.metrics,
                primary=options.primary,
                shots=options.shots if self.candidate.kind == "prompt" else 0,
                examples=self.rows.train if options.shots and self.candidate.kind == "prompt" else None,
                confidence=options.confidence,
                seed=options.seed,
                label=self.candidate.text,
                training_usd=state.prompt_usd,
                gpu_hour_usd=None if model.about().get("host") else options.gpu_hour_usd,
                progress=options.progress,
                answers_in=self.folder.answers_of(self.candidate.slug),
            ) as (report, _):
                self._check_answers(report)
                report.save(self.folder.path / path)
                self.folder.add_file(path)
                state.report, state.problem = report.digest, None
                self.folder.save()
        self.folder.drop_answers(self.candidate.slug)
        return report

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Run a step, and note the reason if it fails, so that the other candidates go on.

        Args:
            action: the step.

        Returns:
            What the step returned; None if it failed.

        Raises:
            OSError: the disk is full or cannot be written, which stops all candidates.
        """
        try:
            return action()
        except FtkitError as error:
            problem = f"{self.step}: {error}".rstrip(".")
        except OSError:  # a full disk stops everything
            raise
        except Exception as error:  # a backend of a package may raise anything
            problem = f"{self.step}: unexpected {type(error).__name__}: {error}"
        self.failed, self.state.problem = True, problem
        self.folder.save()
        return None

    def _check_answers(self, report: Report) -> None:
        failed = failed_rows(report)
        if not failed:
            return
        self.state.incomplete += 1
        self.folder.save()
        if self.state.incomplete < 2 or len(failed) == len(report.rows):
            raise ModelError(
                f"{len(failed)} of {counted(len(report.rows), 'row')} {verb(len(failed), 'has', 'have')} no answer: "
                f"{report.rows[failed[0]].error}. Run the "
                "same again: rows with an answer are not asked again, and what fails then counts as wrong"
            )

    def _earlier_run(self) -> Run | None:
        if not self.state.runs:
            return None
        try:
            return runs.get(self.state.runs[-1])
        except RunNotFoundError:  # interrupted before the run was stored
            return None

    def _run_id(self, attempt: int) -> str:
        """An id that no other migration uses, and that is the same after an interruption."""
        key = f"{self.folder.path.absolute()}|{self.folder.state.created_at}|{self.candidate.text}"
        return f"migrate-{hashlib.sha256(key.encode()).hexdigest()[:10]}-{attempt}"


def _may_have_a_job(run: Run) -> bool:
    """Whether a run ended while its job was being created at a host, which may have it."""
    handle = JobHandle.of(run.record)
    return handle is not None and handle.phase == "creating" and handle.job is None
