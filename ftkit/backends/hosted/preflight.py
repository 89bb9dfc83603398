"""What a host would refuse, said before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from ftkit.backends.hosted.field_support import Treatments, flat, refuse
from ftkit.catalog import days_until, load_catalog
from ftkit.data import Dataset
from ftkit.errors import DataError, RefusedError
from ftkit.recipe import Recipe

__all__ = ["check_recipe", "check_rows"]

_LEARNS_FROM = {"sft": "demonstrations", "dpo": "preferences"}
"""What other methods learn from are prompts, which every row has."""


def check_recipe(recipe: Recipe, treatments: Mapping[str, Treatments], beyond: Mapping[str, str], backend: str) -> None:
    """Refuse a recipe of a kind that is not trained there, and fields that cannot be honoured.

    Args:
        treatments: by the recipe's kind.
        beyond: fields whose values are beyond the host's ranges, each with what it takes.
        backend: as ``"name:model"``.

    Raises:
        RefusedError: names the fields.
    """
    name = backend.partition(":")[0]
    if recipe.kind not in treatments:
        takes = f"takes {' and '.join(sorted(treatments))}" if treatments else "trains nothing"
        raise RefusedError(
            f"{backend} {takes}, not {recipe.kind}; train it locally",
            backend=name,
            fields=("kind",),
        )
    refuse(recipe, treatments[recipe.kind], backend)
    if beyond:
        told = "; ".join(f"{field}={flat(recipe)[field]!s:.80}: {why}" for field, why in beyond.items())
        raise RefusedError(f"{backend} cannot honour the recipe. {told}", backend=name, fields=tuple(beyond))


def check_rows(
    method: str,
    data: Dataset,
    validation: Dataset | None,
    backend: str,
    listed: tuple[str, str],
    *,
    validation_needed: bool = False,
) -> None:
    """Refuse rows of another kind than ``method`` learns from, and what the catalogue says the host takes no more of.

    Args:
        backend: as ``"name:model"``.
        listed: under which provider and name the catalogue has the model.
        validation_needed: whether the host takes no job of ``method`` without validation rows.

    Raises:
        RefusedError: the host takes no more jobs for the model, or does not tune it by ``method``.
        DataError: the wrong kind of rows, too few or too many.
    """
    wanted = _LEARNS_FROM.get(method)
    for rows in (data, validation):
        if rows is not None and wanted is not None and rows.kind != wanted:
            raise DataError(f"{method} learns from {wanted}, and these rows are {rows.kind}")
    if validation_needed and validation is None:
        raise DataError(f"{backend} takes no {method} without validation rows; give some of the rows as validation")
    name = backend.partition(":")[0]
    provider, model = listed
    known = load_catalog()
    closes = known.training_closes(provider, model)
    if closes is not None and days_until(closes.on) <= 0:
        raise RefusedError(
            f"{backend} takes no training jobs since {closes.on} ({closes.source}, read {closes.as_of}); "
            "`ftkit catalog` lists what does",
            backend=name,
            fields=("model",),
        )
    row = known.model(provider, model)
    if row is not None and method not in row.methods:
        raise RefusedError(
            f"{backend} is not tuned by {method}, only by {', '.join(row.methods) or 'nothing'} ({row.source}, read "
            f"{row.as_of})",
            backend=name,
            fields=("kind",),
        )
    limits = known.limits(provider, method)
    objection = None if limits is None else limits.rows_refused(len(data), 0 if validation is None else len(validation))
    if objection is not None:
        raise DataError(f"H001 {backend} takes {objection} (see `ftkit catalog`)")
