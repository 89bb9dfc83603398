"""Optimise the prompt of a candidate that is not tuned, on questions taken out of the rows' conversations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ftkit.data import Dataset, Row
from ftkit.data.formats import text_content
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, DataError, FtkitError, MigrationError
from ftkit.evaluation import optimise_prompt
from ftkit.evaluation.cost_estimate import estimate_cost
from ftkit.migration.names import CandidateName
from ftkit.migration.rows import MigrationRows
from ftkit.migration.sampling import model_to_ask
from ftkit.migration.spending import spent_usd
from ftkit.migration.state import CandidateState, MigrationFolder
from ftkit.results.answer import Sampling
from ftkit.results.number_format import usd_text
from ftkit.results.prompt_record import PromptRecord
from ftkit.task import Task

__all__ = ["PromptSearch", "check_search_limit", "prompt_path", "questions"]

_STEP = "optimise"
_QUESTION, _ANSWER, _ID = "question", "answer", "id"


def prompt_path(candidate: CandidateName) -> str:
    """Return where a candidate's optimised prompt is.

    Args:
        candidate: the candidate.

    Returns:
        The path of a task below the migration's folder.
    """
    return f"candidates/{candidate.slug}/prompt.yaml"


def _record_path(candidate: CandidateName) -> str:
    return f"candidates/{candidate.slug}/prompt.record.json"


def questions(rows: MigrationRows) -> tuple[Dataset[Any], Dataset[Any]]:
    """Take the question out of each conversation, so that instructions and examples before it can be changed.

    Args:
        rows: the rows of a migration.

    Returns:
        Training rows and test rows of a task whose instructions are the rows' system message. Rows of a table have such
        a task already.

    Raises:
        MigrationError: a row has several turns, tools, or no answer; or the system messages differ.
    """
    if rows.recipe.grading is not None:
        raise MigrationError(_instead("the rows are graded, and have no wanted answers to search with"), step=_STEP)
    if rows.task.input is not None and rows.train.task == rows.task:
        return rows.train, rows.test
    if rows.task.input is not None or rows.train.task.input is not None:
        raise MigrationError(_instead("the test rows and the training rows are asked in different ways"), step=_STEP)
    parts = [list(_conversations(data, name)) for data, name in ((rows.train, "training"), (rows.test, "test"))]
    systems = dict.fromkeys(system for part in parts for system, _ in part)
    if len(systems) > 1:
        why = f"the rows have {len(systems)} different system messages, and an optimised prompt takes the place of one"
        raise MigrationError(_instead(why), step=_STEP)
    task: Task[Any] = Task(
        next(iter(systems), None), input=f"{{{_QUESTION}}}", output=rows.task.output, show_schema=False
    )
    train, test = (
        Dataset.from_rows((one for _, one in part), task, target=_ANSWER, id=_ID, name=name)
        for part, name in zip(parts, ("training", "test"), strict=True)
    )
    return train, test


def _conversations(rows: Dataset[Any], name: str) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The system message of each row, and its question with the answer."""
    for row in rows:
        roles = [turn["role"] for turn in row.prompt]
        if row.tools:
            raise MigrationError(_instead(f"{name} row at {row.place}: it has tools"), step=_STEP)
        if roles not in (["user"], ["system", "user"], ["developer", "user"]):
            turns = f"{name} row at {row.place}: its turns are {', '.join(roles)}"
            why = f"{turns}; only one question, after a system message or alone, can be asked with another prompt"
            raise MigrationError(_instead(why), step=_STEP)
        system = _text(row, 0) if len(roles) == 2 else None
        answer = None if row.completion is None or row.completion.get("tool_calls") else text_content(row.completion)
        if answer is None:
            raise MigrationError(_instead(f"{name} row at {row.place}: it has no answer in words"), step=_STEP)
        yield system, {_ID: row.id, _QUESTION: _text(row, -1), _ANSWER: answer}


def _text(row: Row, turn: int) -> str:
    try:
        text = text_content(row.prompt[turn])
    except DataError as error:
        raise MigrationError(_instead(f"row at {row.place}: {error.message}"), step=_STEP) from None
    if not isinstance(text, str):
        raise MigrationError(_instead(f"row at {row.place}: a message is no text"), step=_STEP)
    return text


def _instead(why: str) -> str:
    return f"{why}. Use prompt:BACKEND:MODEL, which asks the rows as they are, or give rows of one question each"


def check_search_limit(
    folder: MigrationFolder, rows: MigrationRows, candidate: CandidateName, sampling: Sampling, max_cost: float | None
) -> None:
    """Refuse to search at a host without a limit, before anything is paid.

    Args:
        folder: the migration.
        rows: its rows.
        candidate: the candidate.
        sampling: how candidates are asked.
        max_cost: the most that the migration may cost, in US dollars; None for no limit.

    Raises:
        ConfigError: there is none, and a search is still to be paid.
    """
    if candidate.kind != "optimised" or max_cost is not None or prompt_path(candidate) in folder.state.files:
        return
    try:
        hosted = bool(model_to_ask(candidate.model, rows.task, sampling).about().get("host"))
    except FtkitError:
        return  # the candidate cannot be asked, which the costs say
    if hosted:
        raise ConfigError(
            ErrorText(
                f"{candidate.text} searches for a prompt as long as it may, so say how much the migration may cost "
                "with ",
                Argument("max_cost", "USD", text="max_cost=…"),
            )
        )


@dataclass(frozen=True, slots=True)
class PromptSearch:
    """The search for one candidate's prompt. It is done once, and goes on where it was after an interruption.

    Attributes:
        folder: the migration.
        rows: its rows.
        candidate: the candidate.
        state: the candidate's state.
        options: how candidates are asked (:class:`ftkit.migration.trial.TrialOptions`).
    """

    folder: MigrationFolder
    rows: MigrationRows
    candidate: CandidateName
    state: CandidateState
    options: Any

    def test(self) -> Dataset[Any]:
        """Find the prompt, unless it was found before.

        Returns:
            The test rows with the optimised task.

        Raises:
            MigrationError: the rows cannot be asked with another prompt.
            ConfigError: ``max_cost`` does not allow to ask the test rows with the prompt that was found.
        """
        train, test = questions(self.rows)
        path = prompt_path(self.candidate)
        if path not in self.folder.state.files:
            self._search(train)
        data = test.with_task(Task.from_yaml(self.folder.check_file(path)))
        self._check_cost(data)
        return data

    @property
    def record(self) -> PromptRecord:
        """How the prompt was found."""
        return PromptRecord.load(self.folder.check_file(_record_path(self.candidate)))

    def _search(self, train: Dataset[Any]) -> None:
        options = self.options
        model = model_to_ask(self.candidate.model, train.task, options.sampling)
        hosted = bool(model.about().get("host"))
        found = optimise_prompt(
            train.task,
            model,
            train,
            options.primary,
            # The other half is for asking the test rows, whose prompts get longer.
            max_cost=None if not hosted else (self._left() or 0.0) / 2,
            folder=self.folder.answers_of(self.candidate.slug) / "search",
            seed=options.seed,
            progress=options.progress,
        )
        place = self.folder.path
        found.record.save(place / _record_path(self.candidate))
        Task(**{name: getattr(found, name) for name in Task.model_fields}).to_yaml(place / prompt_path(self.candidate))
        for path in (_record_path(self.candidate), prompt_path(self.candidate)):
            self.folder.add_file(path)
        self.state.prompt_usd = found.record.usd
        self.folder.save()

    def _left(self) -> float | None:
        """What the migration may still cost; None for no limit."""
        total = self.options.total_cost
        return None if total is None else max(0.0, total - spent_usd(self.folder))

    def _check_cost(self, data: Dataset[Any]) -> None:
        """Refuse to ask if the examples of the prompt make the answers dearer than what is left."""
        left = self._left()
        if left is None:
            return
        model = model_to_ask(self.candidate.model, data.task, self.options.sampling)
        if not model.about().get("host"):
            return
        estimate = estimate_cost(model, data)
        if estimate.total_usd is not None and estimate.total_usd > left:
            raise ConfigError(
                ErrorText(
                    f"to ask the test rows with the prompt that was found costs about {usd_text(estimate.total_usd)}, "
                    "which is more than is left of ",
                    Argument("max_cost"),
                )
            )
