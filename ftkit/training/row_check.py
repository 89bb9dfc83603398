"""Find the rows that cannot be trained on, as training would find them, without loading the model's weights."""

from __future__ import annotations

from collections.abc import Iterator

from ftkit.data import Dataset, Row
from ftkit.errors import DataError, ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.pretrained import context_length, load_config
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import Recipe
from ftkit.training.dataloader import in_threads
from ftkit.training.losses import loss_of
from ftkit.training.recipe_check import check_recipe
from ftkit.training.row_length import is_huge

__all__ = ["RowCheck"]


class RowCheck:
    """Tokenises rows like a training run, and keeps nothing but what is wrong.

    Args:
        recipe: resolved.
        model: name of the base model.
        data: training rows.
        validation: validation rows, if any.

    Raises:
        RefusedError: the recipe cannot be trained on this machine.
        ModelError: the model cannot be found or its tokenizer cannot be loaded.
    """

    def __init__(self, recipe: Recipe, model: str, data: Dataset, validation: Dataset | None) -> None:
        source = check_recipe(recipe, model, data, validation)
        self._template = load_chat_template(source)
        self._limit = recipe.max_length or context_length(load_config(source))
        self._reserved = recipe.reserved_tokens
        self._loss = loss_of(recipe)

    def problems(self, data: Dataset) -> Iterator[DataError]:
        """Find what is wrong with rows.

        Args:
            data: the rows.

        Yields:
            The first problem of each faulty row, in their order.
        """
        for _, problem in in_threads(data, lambda row: self._problem(row, self._template)):
            if problem is not None:
                yield problem

    def _problem(self, row: Row, template: ChatTemplate) -> DataError | None:
        try:
            if is_huge(row, template, self._limit):
                return DataError(f"it has more than {self._limit:,} tokens, which the model takes", place=row.place)
            examples = self._loss.render(row, template)
        except DataError as error:
            return DataError(error.message, place=row.place, field=error.field)
        except ModelError as error:
            return DataError(str(error).removeprefix(f"{row.place}: "), place=row.place)
        length = max((len(sequence.ids) for example in examples for sequence in example.sequences), default=0)
        if self._limit is None or length + self._reserved <= self._limit:
            return None
        more = f", and its answer may take {self._reserved:,} more" if self._reserved else ""
        return DataError(f"it has {length:,} tokens{more}; the model takes {self._limit:,}", place=row.place)
