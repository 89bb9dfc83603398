"""What a host would refuse, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

from ftkit.backends.hosted.field_support import FieldSupportTable, check_fields, flatten_recipe
from ftkit.catalog import days_until, load_catalog
from ftkit.data import Dataset
from ftkit.errors import DataError, RefusedError
from ftkit.recipe import Recipe

__all__ = ["check_recipe", "check_rows"]


def check_recipe(
    recipe: Recipe,
    support: Mapping[str, FieldSupportTable],
    out_of_range: Mapping[str, str],
    backend: str,
    model: str,
) -> None:
    """Refuse a kind of recipe that the host does not train, and fields that it does not support.

    Args:
        recipe: the recipe.
        support: the host's field support by kind of recipe.
        out_of_range: fields whose values are outside the host's ranges, each with the reason.
        backend: name of the backend.
        model: the model.

    Raises:
        RefusedError: names the fields.
    """
    if recipe.kind not in support:
        takes = f"takes {', '.join(sorted(support))}" if support else "trains nothing"
        raise RefusedError(
            f"{backend}:{model} {takes}, not {recipe.kind}; train it locally", backend=backend, fields=("kind",)
        )
    check_fields(recipe, support[recipe.kind], backend, model)
    if out_of_range:
        values = flatten_recipe(recipe)
        reasons = "; ".join(f"{field}={values[field]!s:.80}: {reason}" for field, reason in out_of_range.items())
        raise RefusedError(
            f"{backend}:{model} cannot honour the recipe. {reasons}", backend=backend, fields=tuple(out_of_range)
        )


def check_rows(
    recipe: Recipe,
    data: Dataset,
    validation: Dataset | None,
    backend: str,
    model: str,
    catalog_key: tuple[str, str],
    *,
    validation_required: bool = False,
) -> None:
    """Refuse rows that the recipe cannot learn from, and what the catalogue says that the host no longer takes.

    Args:
        recipe: the recipe.
        data: the training rows.
        validation: the validation rows.
        backend: name of the backend.
        model: the model.
        catalog_key: provider and model as the catalogue names them.
        validation_required: whether the host needs validation rows for this kind of recipe.

    Raises:
        RefusedError: the host takes no more jobs for the model, or does not tune it in this way.
        DataError: the rows are of the wrong kind, too few or too many.
    """
    kind, place = recipe.kind, f"{backend}:{model}"
    row_kinds = recipe.rows if recipe.hosted_rows is None else recipe.hosted_rows
    for rows in (data, validation):
        if rows is not None and rows.kind not in row_kinds:
            raise DataError(f"{kind} learns from {' or '.join(row_kinds)}, and these rows are {rows.kind}")
    if validation_required and validation is None:
        raise DataError(f"{place} takes no {kind} without validation rows; pass some of the rows as validation")
    catalog = load_catalog()
    closes = catalog.training_closes(*catalog_key)
    if closes is not None and days_until(closes.on) <= 0:
        raise RefusedError(
            f"{place} takes no training jobs since {closes.on} ({closes.source}, read {closes.as_of}); "
            "`ftkit catalog` lists what does",
            backend=backend,
            fields=("model",),
        )
    listed = catalog.model(*catalog_key)
    if listed is not None and kind not in listed.methods:
        raise RefusedError(
            f"{place} is not tuned by {kind}, only by {', '.join(listed.methods) or 'nothing'} ({listed.source}, read "
            f"{listed.as_of})",
            backend=backend,
            fields=("kind",),
        )
    limits = catalog.limits(catalog_key[0], kind)
    problem = None if limits is None else limits.rows_refused(len(data), 0 if validation is None else len(validation))
    if problem is not None:
        raise DataError(f"H001 {place} takes {problem} (see `ftkit catalog`)")
