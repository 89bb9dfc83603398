"""Estimate a local run from a recipe, a model's name and rows. Reads the model's config and tokenizer, no weights."""

from __future__ import annotations

from dataclasses import replace

from ftkit.data import Dataset
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.pretrained import context_length, load_config
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import ModelSize, Recipe, RecipeFacts
from ftkit.results.plan import Estimate
from ftkit.training.answer_rows import evaluated_rows, longest_answer
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.estimation.batch_tokens import fit_batch_tokens
from ftkit.training.estimation.estimate import estimate
from ftkit.training.estimation.plan_target import named_gpu, this_machine
from ftkit.training.estimation.rl_workload import generation_workload
from ftkit.training.estimation.worker_estimate import check_planned, layout_of, share_of
from ftkit.training.estimation.workload import GenerationWorkload, Workload
from ftkit.training.losses import loss_of
from ftkit.training.recipe_check import check_recipe

__all__ = ["SAMPLE", "estimate_local_run"]

SAMPLE = 2_000
"""Largest number of rows that are tokenised. More would change the numbers little and take long."""


def estimate_local_run(
    recipe: Recipe,
    model: str,
    data: Dataset,
    validation: Dataset | None = None,
    *,
    device: str | None = None,
    workers: int = 1,
    strategy: str = "ddp",
    one_node: bool = True,
) -> Estimate:
    """Estimate a training run on this machine or on a GPU of the catalogue.

    Args:
        recipe: the recipe as the user wrote it.
        model: name of the base model, see :func:`ftkit.modeling.model_source.find_source`.
        data: the training rows.
        validation: the validation rows.
        device: id of a GPU, e.g. ``"h100-80gb"``, or with its nodes ``"8xh100-80gb@8xinfiniband-ndr"``; None is this
            machine.
        workers: how many workers train together, each on such a GPU.
        strategy: how they hold the model.
        one_node: whether all of them are on one node, however many.

    Returns:
        The estimate.

    Raises:
        RefusedError: the recipe cannot be trained there, or by several workers is not planned.
        ModelError: there is no such model, or its layers are not known.
        DataError: a row cannot be trained on.
        ConfigError: there is no such GPU.
    """
    target = (this_machine() if device is None else named_gpu(device)).beside_rollouts(recipe)
    source = check_recipe(recipe, model, data, validation, has_cuda=target.device == "cuda")
    if is_embedded(source.base):
        expand_embedded()
    config = load_config(source)
    facts = RecipeFacts(len(data), target.fast_bf16, target.device, ModelSize.of(config.to_dict()))
    resolved = recipe.resolve(facts)
    loss = loss_of(resolved)
    shape = model_shape(config.to_dict(), scores=resolved.score_head)
    chat_template = load_chat_template(source)
    limit = resolved.max_length or context_length(config)
    reserve = resolved.reserved_tokens

    def tokenise(rows: Dataset) -> TokenRows:
        sample = rows if len(rows) <= SAMPLE else rows.shuffle(0).take(SAMPLE)
        return loss.arrange(render_rows(sample, chat_template, loss.render, limit, reserve=reserve))

    train_rows, validation_rows = tokenise(data), None if validation is None else tokenise(validation)
    total_rows, validation_total = _total(train_rows, data), None
    if validation is not None and validation_rows is not None:
        validation_total = _total(validation_rows, validation)
    if total_rows != len(data):  # texts are packed into blocks
        resolved = recipe.resolve(replace(facts, rows=total_rows))
    layout = layout_of(target, workers, strategy, one_node=one_node)
    own, own_validation = share_of(train_rows, layout), validation_rows and share_of(validation_rows, layout)
    resolved = fit_batch_tokens(recipe, resolved, shape, own, own_validation, target, shared=True, shards=layout.shards)
    loss = loss_of(resolved)
    totals = {"total_rows": total_rows, "total_validation_rows": validation_total}
    work = loss.workload(train_rows, shared=True, validation=validation_rows, **totals)
    share = None
    if layout.count > 1:
        check_planned(resolved, work)
        share = loss.workload(own, shared=True, validation=own_validation, **totals)
    if resolved.eval_metric is not None and validation is not None:
        answers = _answers(resolved, validation, chat_template, work)  # which every worker computes
        work = replace(work, validation_generation=answers)
        share = None if share is None else replace(share, validation_generation=answers)
    return estimate(resolved, shape, work, target, layout=layout, share=share)


def _answers(recipe: Recipe, validation: Dataset, chat_template: ChatTemplate, work: Workload) -> GenerationWorkload:
    """What one evaluation by ``eval_metric`` generates, on as many rows as the workload counts as validation rows."""
    count = int(recipe.eval_rows)
    rows = evaluated_rows(validation, count)
    tokens = recipe.eval_max_output_tokens or longest_answer(rows, chat_template)
    prompts = [chat_template.encode_prompt(row.prompt, row.tools, row.place) for row in rows]
    # The estimate multiplies by the validation rows that the sample stands for; here all rows are known.
    kept = prompts[: max(1, round(len(prompts) / work.validation_scale))]
    return generation_workload(kept, 1, tokens, shared=True)


def _total(rows: TokenRows, data: Dataset) -> int:
    """The rows, or blocks of texts, of a dataset of which a sample was tokenised."""
    return max(1, round(len(rows.rows) * len(data) / min(len(data), SAMPLE)))
