"""An estimate from what the user has: a recipe, a model's name and rows. Reads the config and the tokenizer only."""

from __future__ import annotations

from ftkit.data import Dataset
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.pretrained import context_length, load_config
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import RFT, Recipe, RecipeFacts
from ftkit.results.plan import Estimate
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.estimation.estimate import estimate
from ftkit.training.estimation.plan_target import named_gpu, this_machine
from ftkit.training.estimation.rl_workload import foreseen_work
from ftkit.training.estimation.workload import work_of
from ftkit.training.losses import loss_of
from ftkit.training.recipe_check import check_recipe

__all__ = ["SAMPLE", "predict"]

SAMPLE = 2_000
"""Rows that are tokenised; more would change the numbers little and take longer than anyone waits."""


def predict(
    recipe: Recipe, model: str, data: Dataset, validation: Dataset | None = None, *, device: str | None = None
) -> Estimate:
    """What training ``model`` on ``data`` would take.

    Args:
        recipe: as the user wrote it.
        model: name of the base model, see :func:`ftkit.modeling.model_source.find_source`.
        device: a GPU by name, e.g. ``"h100-80gb"``; ``None`` is this machine.

    Raises:
        RefusedError: the recipe cannot be trained so there.
        ModelError: there is no such model, or its layers are not known.
        DataError: a row that cannot be trained on.
        ConfigError: no such GPU.
    """
    target = this_machine() if device is None else named_gpu(device)
    source = check_recipe(recipe, model, data, validation, has_cuda=target.device == "cuda")
    if is_embedded(source.base):
        expand_embedded()
    resolved = recipe.resolve(RecipeFacts(rows=len(data), fast_bf16=target.fast_bf16, device=target.device))
    loss = loss_of(resolved)
    config = load_config(source)
    shape = model_shape(config.to_dict(), scores=resolved.score_head)
    chat_template = load_chat_template(source)
    limit = resolved.max_length or context_length(config)
    reserve = resolved.reserved_tokens

    def rendered(rows: Dataset) -> TokenRows:
        part = rows if len(rows) <= SAMPLE else rows.shuffle(0).take(SAMPLE)
        return render_rows(part, chat_template, loss, limit, reserve=reserve)

    known, held_out = rendered(data), None if validation is None else rendered(validation)
    longest = max(known.longest, held_out.longest if held_out else 0) + reserve
    shared = shape.window is None or shape.window >= longest
    counts = {"of_rows": len(data), "of_held_out": None if validation is None else len(validation)}
    if isinstance(resolved, RFT):
        work = foreseen_work(known, resolved, shared=shared, held_out=held_out, **counts)
    else:
        work = work_of(known, resolved, shared=shared, held_out=held_out, **counts)
    return estimate(resolved, shape, work, target, shared=shared)
