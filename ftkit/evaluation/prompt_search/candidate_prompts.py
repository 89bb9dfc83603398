"""GEPA's view of the search: a candidate is texts by name, and this turns them into tasks and proposes new ones."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ftkit.backends import Request
from ftkit.data import Row
from ftkit.errors import FtkitError, RefusedError
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.prompt_search.asker import AskedRow, Asker
from ftkit.evaluation.prompt_search.spending import PricedModel
from ftkit.results.json_values import canonical, plain
from ftkit.schema import TextOutput
from ftkit.task import Example, Message, Task

__all__ = ["EXAMPLES", "INSTRUCTIONS", "LONGEST_TEXT", "CandidatePrompts", "example_of"]

INSTRUCTIONS = "instructions"
EXAMPLES = "examples"
LONGEST_TEXT = 4_000
"""Characters of a question or an answer that the reflection model sees, and of the longest row that is an example."""
_WORST = -1e9
"""Score of a candidate that could not be asked, which is below that of every other."""
_MOST_INSTRUCTIONS = 20_000
"""Characters of the longest instructions that are tried."""


def example_of(task: Task, row: Row) -> Example | None:
    """Make an example of a row.

    Args:
        task: the task, whose input template wrote the row's question.
        row: the row.

    Returns:
        The example; None if the row has no text as answer, or is too long.
    """
    answer = None if row.completion is None else row.completion.get("content")
    if not isinstance(answer, str) or row.completion is None or row.completion.get("tool_calls"):
        return None
    question = row.prompt[-1]["content"]
    if not isinstance(question, str) or max(len(question), len(answer)) > LONGEST_TEXT:
        return None
    if task.output.problems(answer):
        return None
    return Example(input=question, output=answer)


@dataclass
class CandidatePrompts:
    """The adapter that GEPA calls: evaluate a candidate on rows, and propose new texts for one of its parts.

    Attributes:
        gepa: the library.
        task: the task as it was given.
        rows: the rows to learn from, which examples are taken from.
        metric: what to score by.
        asked: the model that answers.
        reflecting: the model that writes new instructions.
        asker: asks both.
        shots: number of examples in a prompt that has some.
        seed: seed of the choice of examples.
        failure: what ended the search, where GEPA would hide it.
        begun: whether the prompt at the start has its score, so that there is a result.
    """

    gepa: ModuleType
    task: Task
    rows: Sequence[Row]
    metric: RowMetric
    asked: PricedModel
    reflecting: PricedModel
    asker: Asker
    shots: int
    seed: int
    failure: FtkitError | None = None
    begun: bool = False
    _examples: dict[int, Example] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {} if not self.shots else {index: example_of(self.task, row) for index, row in enumerate(self.rows)}
        self._examples = {index: example for index, example in found.items() if example is not None}

    @property
    def start(self) -> dict[str, str]:
        """The candidate that the search starts from: the task's own prompt."""
        start = {INSTRUCTIONS: self.task.instructions or ""}
        return start | {EXAMPLES: "[]"} if len(self._examples) >= self.shots > 0 else start

    @property
    def longest_example(self) -> int:
        """Characters of the longest example."""
        return max((len(example.input) + len(example.output) for example in self._examples.values()), default=0)

    def task_of(self, candidate: Mapping[str, str]) -> Task:
        """Make the task of a candidate.

        Args:
            candidate: its texts.

        Returns:
            The task; the one that was given for the candidate that the search starts from.
        """
        changes: dict[str, Any] = {}
        if candidate[INSTRUCTIONS] != (self.task.instructions or ""):
            changes["instructions"] = candidate[INSTRUCTIONS]
        if chosen := json.loads(candidate.get(EXAMPLES, "[]")):
            changes["examples"] = [self._examples[index] for index in chosen]
        return self.task.model_copy(update=changes) if changes else self.task

    def evaluate(self, batch: list[Row], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Ask rows with a candidate's prompt.

        Args:
            batch: the rows.
            candidate: the candidate's texts.
            capture_traces: whether GEPA needs the rows' answers for a proposal.

        Returns:
            GEPA's ``EvaluationBatch``.

        Raises:
            RefusedError: the prompt at the start cannot be asked within the limit of cost.
        """
        try:
            scored = self.asker.score(self.asked, self.task_of(candidate), batch, self.metric)
        except RefusedError as error:
            if not self.begun or error.fields != ("max_cost",):
                raise
            self.failure = error  # the search ends with the best candidate so far, and this one is none
            worst = [_WORST] * len(batch)
            return self.gepa.EvaluationBatch(outputs=[""] * len(batch), scores=worst, trajectories=[])
        return self.gepa.EvaluationBatch(
            outputs=[row.result.text for row in scored],
            scores=[row.score for row in scored],
            trajectories=list(zip(batch, scored, strict=True)) if capture_traces else None,
        )

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Write what the reflection model reads of each row: the question, the answer, and what was wrong with it.

        Args:
            candidate: the candidate's texts.
            eval_batch: the result of :meth:`evaluate`.
            components_to_update: the parts that get a new text.

        Returns:
            The records by part.
        """
        records = [self._record(row, scored) for row, scored in eval_batch.trajectories]
        return {name: list(records) for name in components_to_update}

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Propose a new text for each part.

        Args:
            candidate: the candidate's texts.
            reflective_dataset: the records of :meth:`make_reflective_dataset`.
            components_to_update: the parts.

        Returns:
            The new texts; a part is missing if nothing usable was proposed.
        """
        texts: dict[str, str] = {}
        for name in components_to_update if self.failure is None else ():
            records = reflective_dataset[name]
            try:
                text = self._draw(candidate, records) if name == EXAMPLES else self._reflect(candidate[name], records)
            except FtkitError as error:  # GEPA would log it and ask again; the search ends with it instead
                self.failure = error
                return {}
            if text and text != candidate[name]:
                texts[name] = text
        return texts

    def _record(self, row: Row, scored: AskedRow) -> dict[str, Any]:
        result = scored.result
        feedback = [f"{self.metric.name}: {self.metric.description}"]
        if result.finish_reason == "length":
            feedback.append("The answer was cut off because it was too long.")
        if result.tool_calls:
            feedback.append(f"It called tools: {_shown(canonical(plain(result.tool_calls)))}")
        feedback += [problem.message for problem in result.problems[:3]]
        if result.failures:
            feedback += list(result.failures.values())
        if result.target_tool_calls:
            feedback.append(f"The wanted calls: {_shown(canonical(plain(result.target_tool_calls)))}")
        elif result.has_target and row.completion is not None:
            feedback.append(f"The wanted answer: {_shown(row.completion.get('content'))}")
        return {
            "Score": scored.score,
            "Inputs": _shown(result.prompt[-1].get("content")),
            "Generated Outputs": _shown(result.text),
            "Feedback": "\n".join(feedback),
        }

    def _reflect(self, instructions: str, records: Sequence[Mapping[str, Any]]) -> str | None:
        """Instructions that the reflection model writes; None if it wrote none that can be used."""
        from gepa.strategies.instruction_proposal import InstructionProposalSignature

        prompt = InstructionProposalSignature.prompt_renderer(
            {"current_instruction_doc": instructions, "dataset_with_feedback": list(records)}
        )
        request = Request([Message(role="user", content=str(prompt))], None, TextOutput())
        (answer,) = self.asker.ask(self.reflecting, [request])
        if answer.finish_reason != "stop":  # half of it is no instruction
            return None
        written = InstructionProposalSignature.output_extractor(answer.text.strip())["new_instruction"]
        return written if 0 < len(written) <= _MOST_INSTRUCTIONS else None

    def _draw(self, candidate: Mapping[str, str], records: Sequence[Mapping[str, Any]]) -> str:
        """Examples drawn by the seed: rows that were answered wrong first, and each answer once before any twice."""
        wrong = {str(record["Inputs"]) for record in records if record["Score"] < 1}
        draw = random.Random(canonical([self.seed, dict(candidate), sorted(wrong)]))  # noqa: S311 - not a secret
        order = sorted(self._examples)
        draw.shuffle(order)
        order.sort(key=lambda index: _shown(self._examples[index].input) not in wrong)
        by_answer: dict[str, list[int]] = {}
        for index in order:
            by_answer.setdefault(self._examples[index].output, []).append(index)
        chosen: list[int] = []
        while len(chosen) < self.shots:
            for same in by_answer.values():
                if same and len(chosen) < self.shots:
                    chosen.append(same.pop(0))
        draw.shuffle(chosen)
        return json.dumps(chosen)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} […]"
