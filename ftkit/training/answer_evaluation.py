"""Evaluate the model in training by its answers: the inference engine answers validation rows with the current weights.

What the answers are measured by is the recipe's ``eval_metric``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftkit.errors import DataError
from ftkit.inference.answers import read_answer
from ftkit.inference.offline import generate
from ftkit.training.adapter_modes import sampling_mode
from ftkit.training.answer_rows import evaluated_rows, longest_answer
from ftkit.training.eval_metric import training_metric

if TYPE_CHECKING:
    from ftkit.training.example_source import TrainingContext

__all__ = ["AnswerEvaluation"]


class AnswerEvaluation:
    """Answers validation rows greedily, and measures the answers.

    The answers follow from the weights alone, so a resumed run measures what it would have measured.

    Args:
        context: what the run trains with; its recipe has an ``eval_metric``, and there are validation rows.

    Raises:
        RefusedError: there is no such metric for this task.
        DataError: a prompt leaves no room for an answer.
    """

    def __init__(self, context: TrainingContext) -> None:
        recipe, pretrained = context.recipe, context.pretrained
        assert context.validation is not None  # noqa: S101  (the recipe was checked)
        self._context = context
        metric = training_metric(recipe, context.validation.task, context.grader_context)
        assert metric is not None  # noqa: S101
        self.metric = metric
        self.rows = evaluated_rows(context.validation, int(recipe.eval_rows))
        template = pretrained.chat_template
        self.max_new_tokens = recipe.eval_max_output_tokens or longest_answer(self.rows, template)
        self.prompts = [template.encode_prompt(row.prompt, row.tools, row.place) for row in self.rows]
        limit = pretrained.max_length
        for row, prompt in zip(self.rows, self.prompts, strict=True):
            if limit is not None and len(prompt) + self.max_new_tokens > limit:
                raise DataError(
                    f"the prompt has {len(prompt)} tokens, and the model takes {limit}: no room for an answer of "
                    f"{self.max_new_tokens} (eval_max_output_tokens)",
                    place=row.place,
                )

    def measure(self) -> tuple[float, dict[str, Any]]:
        """Answer the rows with the current weights.

        Returns:
            The objective, which should fall, and entries of the evaluation's event: the metric under its own name,
            ``eval_metric`` (that name), ``answered`` (rows) and ``cut_off`` (answers that reached the token limit).

        Raises:
            RefusedError: the metric leaves every row out.
        """
        pretrained = self._context.pretrained
        with sampling_mode(self._context.adapted):
            generations = generate(pretrained, self.prompts, max_new_tokens=self.max_new_tokens)
        template = pretrained.chat_template
        answers = [
            read_answer(template, prompt, generation, row.tools, keep_thought=True)
            for row, prompt, generation in zip(self.rows, self.prompts, generations, strict=True)
        ]
        value = self.metric.value(self.rows, answers)
        found = {
            self.metric.name: value,
            "eval_metric": self.metric.name,
            "answered": len(self.rows),
            "cut_off": sum(not generation.stopped for generation in generations),
        }
        return (-value if self.metric.higher_is_better else value), found
