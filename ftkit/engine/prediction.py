"""An estimate from what the user has: a recipe, a model's name and rows. Reads the config and the tokenizer only."""

from __future__ import annotations

from ftkit.data import Dataset
from ftkit.engine.checking import check_recipe
from ftkit.engine.embedded import expand_embedded, is_embedded
from ftkit.engine.estimate import Estimate, estimate_run
from ftkit.engine.pretrained import context_length, load_config, load_renderer
from ftkit.engine.rows import TokenRows, render_rows
from ftkit.engine.source import Source, find_source
from ftkit.engine.target import named_gpu, this_machine
from ftkit.errors import RefusedError
from ftkit.recipe import Recipe, RecipeFacts

__all__ = ["SAMPLE", "predict"]

SAMPLE = 2_000
"""Rows that are tokenised; more would change the numbers little and take longer than anyone waits."""


def predict(
    recipe: Recipe, model: str, data: Dataset, validation: Dataset | None = None, *, device: str | None = None
) -> Estimate:
    """What training ``model`` on ``data`` would take.

    Args:
        recipe: as the user wrote it.
        model: name of the base model, see :func:`ftkit.engine.source.find_source`.
        device: a GPU by name, e.g. ``"h100-80gb"``; ``None`` is this machine.

    Raises:
        RefusedError: this machine cannot train so, or the model is an adapter.
        ModelError: there is no such model, or its layers are not known.
        DataError: a row that cannot be trained on.
        ConfigError: no such GPU.
    """
    target = this_machine() if device is None else named_gpu(device)
    source = check_recipe(recipe, model, len(data)) if device is None else _base(model)
    if is_embedded(source.base):
        expand_embedded()
    resolved = recipe.resolve(RecipeFacts(rows=len(data), fast_bf16=target.fast_bf16, device=target.device))
    config = load_config(source)
    renderer = load_renderer(source)
    limit = resolved.max_length or context_length(config)

    def rendered(rows: Dataset) -> TokenRows:
        return render_rows(rows if len(rows) <= SAMPLE else rows.shuffle(0).take(SAMPLE), renderer, limit)

    return estimate_run(
        resolved,
        config.to_dict(),
        rendered(data),
        target,
        of_rows=len(data),
        held_out=None if validation is None else rendered(validation),
        of_held_out=None if validation is None else len(validation),
    )


def _base(model: str) -> Source:
    source = find_source(model)
    if source.adapter is not None:
        raise RefusedError(
            f"{model!r} is an adapter; the local engine trains from a base model", backend="local", fields=("model",)
        )
    return source
